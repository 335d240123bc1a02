"""The faults of the lab, by name."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import nats

from binance_margin_stream.relay.broker.store import StoreOptions
from simulation.relay_lab.lab import Lab, LabSettings
from simulation.relay_lab.processes import NatsCluster, NatsServer, wait_for

__all__ = ["SCENARIOS", "SHORT", "LabScenario"]


@dataclass(frozen=True, slots=True)
class LabScenario:
    """A fault, and how the lab is set up for it."""

    inject: Callable[[Lab], None]
    settings: LabSettings = field(default_factory=LabSettings)


def _kill_relay(lab: Lab) -> None:
    for relay in lab.relays:
        relay.kill()
        time.sleep(2)
        relay.start()
        wait_for(lab.is_live, "the relay follows again")
        lab.settle()


def _freeze_relay(seconds: float) -> Callable[[Lab], None]:
    def inject(lab: Lab) -> None:
        lab.relays[0].send(signal.SIGSTOP)
        time.sleep(seconds)
        lab.relays[0].send(signal.SIGCONT)

    return inject


def _cut_one(lab: Lab) -> None:
    for _ in range(3):
        for proxy in lab.proxies:
            proxy.cut()
            time.sleep(4)


def _cut_both(lab: Lab) -> None:
    for _ in range(2):
        for proxy in lab.proxies:
            proxy.block()
        time.sleep(1)
        for proxy in lab.proxies:
            proxy.heal()
        wait_for(lab.is_live, "both follow again")
        lab.settle()


def _silence(numbers: tuple[int, ...]) -> Callable[[Lab], None]:
    def inject(lab: Lab) -> None:
        for number in numbers:
            lab.proxies[number].fall_silent()
        time.sleep(8)
        for number in numbers:
            lab.proxies[number].heal()

    return inject


def _kill_broker(lab: Lab) -> None:
    broker = lab.broker
    if isinstance(broker, NatsServer):
        broker.kill()
        time.sleep(3)
        broker.restart()


def _kill_leader(lab: Lab) -> None:
    broker = lab.broker
    if isinstance(broker, NatsCluster):
        leader = asyncio.run(_find_leader(broker))
        broker.kill_node(leader)
        time.sleep(6)
        broker.start_node(leader)


async def _find_leader(broker: NatsCluster) -> int:
    client = await nats.connect(broker.urls)
    try:
        info = await client.jetstream().stream_info(StoreOptions().stream)
        leader = info.cluster.leader if info.cluster is not None else None
        if leader is None:
            raise RuntimeError("the stream has no leader")
        return int(leader.removeprefix("n"))
    finally:
        await client.close()


def _stop_both(lab: Lab) -> None:
    for relay in lab.relays:
        relay.stop()
    time.sleep(10)
    for relay in lab.relays:
        relay.start()


def _set_clocks(lab: Lab) -> None:
    for relay in lab.relays:
        relay.send(signal.SIGUSR1)
        time.sleep(3)


def _split_equal_deposits(lab: Lab) -> None:
    """Cut a connection between two equal deposits, of one relay or of both, again and again."""
    name = lab.settings.names[0]
    for number in range(12):
        lab.exchange.emit(name, 2)
        for proxy in lab.proxies if number % 3 == 2 else [lab.proxies[number % 3]]:
            proxy.cut()
        lab.exchange.emit(name, 2)
        time.sleep(1)


def _rotate(lab: Lab) -> None:
    for _ in range(40):
        lab.exchange.emit(lab.settings.names[0], 3)
        time.sleep(0.5)


def _kill_hosts(lab: Lab) -> None:
    takeovers: list[float] = []
    for relay in lab.relays:
        relay.kill()
        takeovers.append(wait_for(lab.is_live, "other hosts have the jobs", 90))
        lab.settle()
        relay.start()
        wait_for(lambda started=relay: bool(started.read_health()), "the host runs again")  # type: ignore[misc]
    lab.takeover = max(takeovers)


SCENARIOS: Mapping[str, LabScenario] = {
    "SIGKILL of one relay, then of the other": LabScenario(_kill_relay),
    "SIGSTOP of one relay for 60 s": LabScenario(_freeze_relay(60)),
    "connections cut, one relay at a time": LabScenario(_cut_one),
    "connections cut, both relays": LabScenario(_cut_both),
    "half-open connections of one relay": LabScenario(_silence((0,))),
    "half-open connections of both relays": LabScenario(_silence((0, 1))),
    "broker killed and restarted": LabScenario(_kill_broker),
    "leader of three brokers killed": LabScenario(_kill_leader, LabSettings(is_cluster=True)),
    "both relays stopped for 10 s": LabScenario(_stop_both),
    "clocks wrong by -3600 s and 90 s, and set": LabScenario(_set_clocks, LabSettings(skews=(-3600.0, 90.0))),
    "equal deposits around a cut": LabScenario(_split_equal_deposits),
    "rotation every 5 s": LabScenario(
        _rotate, LabSettings(stream={"connection_max_age": 5.0, "connection_age_jitter": 1.0})
    ),
    "64 keys, 2 replicas, 4 hosts killed in turn": LabScenario(
        _kill_hosts, LabSettings(names=[f"desk{number}" for number in range(64)], relays=4, takes_jobs=True)
    ),
}

SHORT = ("SIGKILL of one relay, then of the other", "broker killed and restarted")
"""What `make test` runs."""
