"""The stream over real sockets against the sandbox: every kind of fault, under load."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from stream_helpers import (
    BTC,
    ETH,
    QUICK_SETTINGS,
    Traffic,
    TrafficChecker,
    inject_fault,
    make_async_stream,
    run_stream,
    run_under_traffic,
    wait_until,
)

from binance_margin_stream import ApiKeyAuth, Endpoints, exceptions
from binance_margin_stream.sandbox import ExchangeRules, Sandbox, faults
from binance_margin_stream.stream.accounts import CROSS, isolated
from binance_margin_stream.stream.async_stream import AsyncMarginStream
from binance_margin_stream.stream.events.models import (
    BalanceUpdate,
    ExecutionReport,
    MarginLevelStatusChange,
    StreamGap,
)
from binance_margin_stream.stream.settings import get_limits, with_limits
from binance_margin_stream.stream.state import State

SERVE_RETIRED = ExchangeRules(retired_endpoints="served", listen_key_characters="base64")


async def wait_briefly(exchange, stream):
    await asyncio.sleep(0.3)


class TestSubscribing:
    @pytest.mark.parametrize(
        "rules", [ExchangeRules(), ExchangeRules(subscription_id="missing")], ids=["ids", "no ids"]
    )
    def test_events_are_under_their_account_though_they_carry_no_symbol(self, rules):
        checker, health = run_stream(rules, (CROSS, BTC, ETH), wait_briefly)
        assert checker.gaps == []
        assert checker.delivered > 50
        assert health.connections == 1

    def test_more_accounts_than_a_connection_takes_open_a_second_one(self):
        rules = replace(QUICK_SETTINGS, accounts_per_connection=2)
        checker, health = run_stream(ExchangeRules(), (CROSS, BTC, ETH), wait_briefly, settings=rules)
        assert checker.gaps == []
        assert health.connections == 2

    def test_a_connection_that_takes_fewer_than_it_should_is_no_problem(self):
        checker, health = run_stream(ExchangeRules(active_subscription_limit=2), (CROSS, BTC, ETH), wait_briefly)
        assert checker.gaps == []
        assert health.connections == 2

    def test_events_before_the_response_are_kept(self):
        async def main():
            with Sandbox() as exchange:
                traffic = Traffic(exchange, (CROSS,))
                checker = TrafficChecker(traffic)
                exchange.inject_fault(faults.DelayedSubscribeResponse())
                with traffic:
                    async with make_async_stream(exchange, CROSS) as stream:
                        await asyncio.to_thread(traffic.stop)
                        traffic.sent.clear()
                        last = await asyncio.to_thread(traffic.send_event)
                        async for item in stream:
                            checker.gaps += [item] if isinstance(item, StreamGap) else []
                            if isinstance(item, BalanceUpdate) and int(item.delta) == last:
                                break
                assert checker.gaps == []

        asyncio.run(main())

    @pytest.mark.parametrize("source", ["listen-key-v2", "listen-key-uta", "listen-key"])
    def test_listen_keys_carry_the_same(self, source):
        accounts = (CROSS, BTC) if source == "listen-key" else (CROSS,)
        checker, _ = run_stream(SERVE_RETIRED, accounts, wait_briefly, source=source)
        assert checker.gaps == []
        assert checker.delivered > 50

    @pytest.mark.parametrize("host", ["stream", "margin_stream"])
    def test_a_listen_key_v2_streams_from_the_host_that_the_endpoints_name(self, host):
        checker, _ = run_stream(ExchangeRules(listen_key_v2_host=host), (CROSS,), wait_briefly, source="listen-key-v2")
        assert checker.gaps == []
        assert checker.delivered > 50

    def test_orders_and_risk_events_come_typed_through_one_iterator(self):
        async def main():
            with Sandbox() as exchange:
                async with make_async_stream(exchange, CROSS, risk=True) as stream:
                    await asyncio.to_thread(exchange.send_margin_call, "1.2")
                    await asyncio.to_thread(exchange.place_order)
                    kinds = set()
                    async for event in stream:
                        kinds.add(type(event))
                        if {ExecutionReport, MarginLevelStatusChange} <= kinds:
                            break

        asyncio.run(main())


class TestRenewal:
    def test_nothing_is_missing_whatever_the_response_to_a_renewal(self):
        limits = {"renewal_fraction": 0.1, "replacement_fraction": 0.85, "expiry_grace": 0.3, "stable_after": 0.1}
        rules = replace(with_limits(QUICK_SETTINGS, **limits), token_validity=12.0)
        readings = [
            ExchangeRules(resubscribe_response=renewal, subscription_id=presence)
            for renewal in ("same_id", "new_id", "refused", "refused_but_extended")
            for presence in ("present", "missing")
        ]

        async def one(reading):
            with Sandbox(rules=reading) as exchange:
                checker, health = await run_under_traffic(
                    exchange, (CROSS, BTC), lambda _: asyncio.sleep(5.0), every=0.02, settings=rules
                )
            assert checker.gaps == [], reading
            assert health.renewals > 3 or health.rotations > 1, (reading, health)

        async def main():
            await asyncio.gather(*map(one, readings))

        asyncio.run(main())

    def test_a_failing_renewal_is_retried_and_reported(self):
        async def during(exchange, stream):
            exchange.inject_fault(faults.server_error(), path="/sapi/v1/userListenToken", times=4)
            await wait_until(lambda: stream.health.failures >= 4 and stream.health.renewals >= 1)

        rules = replace(with_limits(QUICK_SETTINGS, renewal_fraction=0.05), token_validity=30.0)
        checker, health = run_stream(ExchangeRules(), (CROSS,), during, settings=rules, every=0.02)
        assert checker.gaps == []
        assert health.failures >= 4
        assert health.renewals >= 1

    def test_an_expiry_in_spite_of_it_is_a_gap_and_is_recovered_from(self):
        async def during(exchange, stream):
            exchange.inject_fault(faults.server_error(), path="/sapi/v1/userListenToken", times=None)
            await wait_until(lambda: stream.state is State.RECOVERING)
            exchange.clear_faults()

        rules = replace(QUICK_SETTINGS, token_validity=1.0)
        checker, _ = run_stream(ExchangeRules(), (CROSS,), during, settings=rules, every=0.02)
        assert [gap.reason for gap in checker.gaps][:1] == ["terminated"]


class TestRotation:
    def test_before_the_cut_nothing_is_lost_or_doubled_under_load(self):
        rules = replace(
            with_limits(QUICK_SETTINGS, stable_after=0.1), connection_max_age=0.8, connection_age_jitter=0.2
        )

        async def during(exchange, stream):
            await asyncio.sleep(4.0)

        checker, health = run_stream(ExchangeRules(), (CROSS, BTC), during, settings=rules, every=0.0005)
        assert checker.gaps == []
        assert health.rotations >= 3
        assert checker.delivered > 1000

    @pytest.mark.parametrize("shape", ["host", "event", "bare"])
    def test_on_a_shutdown_notice_nothing_is_lost_or_delivered_twice_under_load(self, shape):
        notice = faults.ShutdownNotice(close_after_seconds=2.0, envelope=shape)
        checker, health = run_stream(ExchangeRules(), (CROSS, BTC), inject_fault(notice, 3.0), every=0.0005)
        assert checker.gaps == []
        assert health.rotations == 1

    def test_and_on_a_stream_host(self):
        notice = faults.ShutdownNotice(close_after_seconds=2.0)
        checker, health = run_stream(
            SERVE_RETIRED, (CROSS,), inject_fault(notice, 3.0), source="listen-key", every=0.0005
        )
        assert checker.gaps == []
        assert health.rotations == 1


class TestRecovery:
    @pytest.mark.parametrize("how", ["close", "reset", "eof"])
    def test_a_drop_is_one_gap_for_each_account(self, how):
        checker, health = run_stream(ExchangeRules(), (CROSS, BTC), inject_fault(faults.DropConnections(how)))
        assert sorted(str(gap.account) for gap in checker.gaps) == ["cross", "isolated:BTCUSDT"]
        assert {gap.reason for gap in checker.gaps} == {"disconnected"}
        assert health.reconnects == 1

    def test_a_frozen_peer_is_found(self):
        rules = replace(QUICK_SETTINGS, idle_timeout=1.0)
        exchange_rules = ExchangeRules(ping_interval_ms=300)
        checker, _ = run_stream(exchange_rules, (CROSS,), inject_fault(faults.FreezeConnections(), 2.0), settings=rules)
        assert [gap.reason for gap in checker.gaps] == ["frozen"]

    @pytest.mark.parametrize(
        "fault",
        [
            faults.SlowHandshake(5.0),
            faults.RefuseHandshake(503),
            faults.RefuseHandshake(502),
            faults.RefuseHandshake(429, (("Retry-After", "1"),)),
        ],
        ids=["slow", "503", "502", "429"],
    )
    def test_a_failed_handshake_is_retried(self, fault):
        async def during(exchange, stream):
            exchange.inject_fault(fault)
            exchange.inject_fault(faults.DropConnections("reset"))
            await asyncio.sleep(0.5)

        rules = replace(QUICK_SETTINGS, open_timeout=1.0)
        checker, health = run_stream(ExchangeRules(), (CROSS,), during, settings=rules)
        assert len(checker.gaps) == 1
        assert health.failures >= 2

    def test_a_connection_that_is_accepted_and_then_silent_times_out(self):
        async def during(exchange, stream):
            exchange.inject_fault(faults.SilentConnection())
            exchange.inject_fault(faults.DropConnections())
            await asyncio.sleep(0.5)

        rules = replace(QUICK_SETTINGS, idle_timeout=1.5)
        checker, _ = run_stream(ExchangeRules(ping_interval_ms=300), (CROSS,), during, settings=rules)
        assert len(checker.gaps) == 1

    def test_a_lost_subscribe_response_is_found_out(self):
        async def during(exchange, stream):
            exchange.inject_fault(faults.LostSubscribeResponse())
            exchange.inject_fault(faults.DropConnections())
            await asyncio.sleep(0.5)

        checker, _ = run_stream(ExchangeRules(), (CROSS, BTC), during)
        assert len(checker.gaps) == 2

    def test_a_refused_subscribe_is_retried_with_a_new_token(self):
        async def during(exchange, stream):
            exchange.inject_fault(faults.RefuseSubscribe(-1209))
            exchange.inject_fault(faults.DropConnections())
            await asyncio.sleep(0.5)

        checker, health = run_stream(ExchangeRules(), (CROSS,), during)
        assert len(checker.gaps) == 1
        assert health.rest_calls == 2

    @pytest.mark.parametrize("fault", [faults.MalformedFrame(), faults.MalformedFrame("{"), faults.BinaryFrame()])
    def test_a_frame_that_cannot_be_read_is_a_gap_and_the_stream_goes_on(self, fault):
        checker, health = run_stream(ExchangeRules(), (CROSS,), inject_fault(fault))
        assert [gap.reason for gap in checker.gaps] == ["malformed frame"]
        assert (health.reconnects, health.malformed_frames) == (0, 1)

    def test_an_event_that_is_sent_twice_comes_twice(self):
        async def main():
            with Sandbox() as exchange:
                async with make_async_stream(exchange) as stream:
                    exchange.inject_fault(faults.DuplicateEvent())
                    traffic = Traffic(exchange)
                    await asyncio.to_thread(traffic.send_event)
                    first, second = await anext(stream), await anext(stream)
                    assert first == second

        asyncio.run(main())

    @pytest.mark.parametrize("time", ["string", "integer"])
    def test_an_expired_listen_key_is_replaced(self, time):
        rules = replace(SERVE_RETIRED, listen_key_expired_time_type=time)
        expiry = faults.ExpireCredentials("listen_keys")
        checker, _ = run_stream(rules, (CROSS, BTC), inject_fault(expiry), source="listen-key")
        assert {gap.account for gap in checker.gaps} == {CROSS, BTC}
        assert {gap.reason for gap in checker.gaps} == {"expired"}

    def test_an_expired_token_is_replaced(self):
        checker, _ = run_stream(ExchangeRules(), (CROSS, BTC), inject_fault(faults.ExpireCredentials("listen_tokens")))
        assert {gap.reason for gap in checker.gaps} == {"terminated"}

    def test_a_deleted_key_that_went_quiet_is_found(self):
        async def during(exchange, stream):
            await asyncio.to_thread(exchange.delete_listen_key)
            await asyncio.sleep(2.0)

        rules = replace(with_limits(QUICK_SETTINGS, health_check_spacing=0.1), health_check_interval=0.5)
        checker, _ = run_stream(ExchangeRules(), (CROSS,), during, source="listen-key-v2", settings=rules)
        assert [gap.reason for gap in checker.gaps] == ["credential gone"]

    def test_the_exchange_may_be_away_for_a_while_and_forget_its_tokens(self):
        async def main():
            exchange = Sandbox(seed=1).start()
            auth, endpoints = ApiKeyAuth(exchange.api_key), exchange.endpoints
            async with AsyncMarginStream(auth, endpoints=endpoints, settings=QUICK_SETTINGS) as stream:
                await asyncio.to_thread(exchange.close)
                await wait_until(lambda: stream.health.failures > 5)
                assert stream.state is State.RECOVERING
                with Sandbox(seed=1, port=int(exchange.url.rpartition(":")[2])):
                    await wait_until(lambda: stream.state is State.LIVE)
                    assert isinstance(await anext(stream), StreamGap)

        asyncio.run(main())

    @pytest.mark.parametrize("address", ["wss://127.0.0.1:{port}/ws-api/v3", "ws://nowhere.invalid:{port}"])
    def test_tls_and_dns_failures_are_retried_until_closed(self, address):
        async def main():
            with Sandbox() as exchange:
                port = exchange.url.rpartition(":")[2]
                endpoints = replace(exchange.endpoints, websocket_api=address.format(port=port))
                stream = make_async_stream(exchange, endpoints=endpoints)
                entering = asyncio.create_task(stream.__aenter__())
                await wait_until(lambda: stream._engine is not None and stream.health.failures >= 2)
                assert stream.state is State.CONNECTING
                await stream.close()
                with pytest.raises(exceptions.StreamError):
                    await entering

        asyncio.run(main())


class TestWaiting:
    @pytest.mark.parametrize("fault", [faults.too_many_requests(1), faults.ip_banned(1)], ids=["429", "418"])
    def test_a_limit_is_waited_out_and_nothing_else_is_sent(self, fault):
        async def main():
            accounts = [isolated(f"A{number}USDT") for number in range(20)]
            with Sandbox() as exchange:
                exchange.inject_fault(fault, path="/sapi/v1/userListenToken")
                stream = make_async_stream(exchange, *accounts)
                entering = asyncio.create_task(stream.__aenter__())
                await wait_until(lambda: any(call.status in (418, 429) for call in exchange.rest_log))
                await asyncio.sleep(0.7)
                assert len(exchange.rest_log) <= get_limits(QUICK_SETTINGS).rest_concurrency
                await entering
                assert len(exchange.rest_log) == len(accounts) + 1
                await stream.close()

        asyncio.run(main())

    def test_a_pause_of_one_stream_holds_for_the_others_of_the_process(self):
        async def main():
            with Sandbox() as exchange:
                exchange.inject_fault(faults.too_many_requests(2), path="/sapi/v1/userListenToken")
                first, second = make_async_stream(exchange), make_async_stream(exchange)
                entering = [asyncio.create_task(first.__aenter__())]
                await wait_until(lambda: len(exchange.rest_log) == 1)
                entering.append(asyncio.create_task(second.__aenter__()))
                await asyncio.wait(entering, timeout=1.5)
                assert [call.status for call in exchange.rest_log] == [429]
                await asyncio.gather(*entering)
                assert [call.status for call in exchange.rest_log] == [429, 200, 200]
                await first.close()
                await second.close()

        asyncio.run(main())


class TestFatal:
    def test_a_revoked_key_raises_at_once_with_the_cause(self):
        async def main():
            with Sandbox() as exchange:
                async with make_async_stream(exchange, settings=replace(QUICK_SETTINGS, token_validity=2.0)) as stream:
                    exchange.revoke_api_key()
                    with pytest.raises(exceptions.StreamError, match="the stream failed") as raised:
                        async with asyncio.timeout(5):
                            await anext(stream)
                    assert isinstance(raised.value.__cause__, exceptions.KeyRejectedError)
                    assert stream.state is State.FAILED

        asyncio.run(main())

    @pytest.mark.parametrize(
        ("accounts", "key", "cause"),
        [
            ([isolated("NOSUCHTHING")], None, exceptions.BadParameterError),
            ([CROSS], "x" * 64, exceptions.KeyRejectedError),
        ],
    )
    def test_a_bad_symbol_and_a_wrong_key_raise_on_entering(self, accounts, key, cause):
        async def main():
            with Sandbox(rules=ExchangeRules(symbols=frozenset({"BTCUSDT"}))) as exchange:
                auth = ApiKeyAuth(key or exchange.api_key)
                with pytest.raises(exceptions.StreamError) as raised:
                    async with AsyncMarginStream(auth, accounts, endpoints=exchange.endpoints):
                        pass
                assert isinstance(raised.value.__cause__, cause)

        asyncio.run(main())

    def test_when_all_sources_are_retired_it_raises_and_says_so(self):
        async def main():
            with Sandbox() as exchange:
                for path in ("/sapi/v1/userListenToken", "/sapi/v2/margin/listen-key"):
                    exchange.retire_endpoint(path)
                with pytest.raises(exceptions.StreamError) as raised:
                    async with make_async_stream(exchange):
                        pass
                assert isinstance(raised.value.__cause__, exceptions.EndpointRetiredError)
                calls = len(exchange.rest_log)
                await asyncio.sleep(0.3)
                assert len(exchange.rest_log) == calls

        asyncio.run(main())

    def test_when_one_is_retired_while_running_the_next_takes_over_without_a_gap(self):
        changes = []

        async def during(exchange, stream):
            exchange.retire_endpoint("/sapi/v1/userListenToken")
            await wait_until(lambda: set(stream.health.sources.values()) == {"listen-key-v2"})
            await asyncio.sleep(1.0)

        rules = replace(with_limits(QUICK_SETTINGS, renewal_fraction=0.05), token_validity=30.0)
        checker, _ = run_stream(ExchangeRules(), (CROSS,), during, settings=rules, on_change=changes.append)
        assert checker.gaps == []
        assert "source retired" in {change.kind for change in changes}


class TestConsumer:
    def test_a_slow_one_gets_one_gap_with_the_count(self):
        async def main():
            with Sandbox() as exchange:
                async with make_async_stream(exchange, settings=replace(QUICK_SETTINGS, buffer_size=100)) as stream:
                    traffic = Traffic(exchange)
                    await asyncio.to_thread(lambda: [traffic.send_event() for _ in range(300)])
                    await wait_until(lambda: stream.health.dropped == 200)
                    items = [await anext(stream) for _ in range(101)]
                    assert isinstance(items[0], StreamGap)
                    assert (items[0].dropped, items[0].reason) == (200, "slow consumer")
                    assert not any(isinstance(item, StreamGap) for item in items[1:])

        asyncio.run(main())


def test_the_endpoints_are_explicit():
    stream = AsyncMarginStream(ApiKeyAuth("x" * 64))
    assert stream._config.endpoints == Endpoints.production()
    assert not any("testnet" in name for name in dir(Endpoints))
