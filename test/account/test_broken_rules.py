"""Recovery with one rule broken: the properties find each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from account_trouble import Trouble, play
from account_world import Lag

from binance_margin_stream.account.audit import OrderAudit
from binance_margin_stream.account.manager import AccountManager
from binance_margin_stream.account.progress import _Account
from binance_margin_stream.account.reads.budget import ReadBudget
from binance_margin_stream.account.reads.queries import Queries
from binance_margin_stream.account.reconcile import Reconciler
from binance_margin_stream.account.recovery import AccountRecovery
from binance_margin_stream.account.state.account_state import AccountState
from binance_margin_stream.account.state.balances import BalanceTable
from binance_margin_stream.account.state.fills import FillLedger
from binance_margin_stream.account.state.order_sums import OrderSums, Proof

GAPS = Trouble(minutes=8, downs=8, trades_a_minute=20.0, lag=Lag(late_share=0.2))
PAGES = Trouble(minutes=8, downs=4, trades_a_minute=20.0, page_rows=5)
SILENT = Trouble(minutes=10, downs=0, silent_spells=3, late_fills=False)
RESTARTS = Trouble(minutes=10, downs=6, restarts=6, read_failures=0.8, trades_a_minute=20.0)
MANY_READS = Trouble(minutes=8, downs=20, trades_a_minute=40.0, orders="all")
NO_LOSS = Trouble(minutes=8, downs=4, trades_a_minute=40.0, lag=Lag(orders=500, account=20_000))
RUNS = 40


def add_proof(sums: OrderSums) -> Proof:
    """Every sum counts, whether it agrees with what was executed or not."""
    total, found = sums.base, {}
    for trade_id in sorted(sums.fills):
        total = found[trade_id] = total.plus(sums.fills[trade_id].amounts)
    return Proof(found, is_complete=True)


def trust_one_read(table: BalanceTable, asset, holding, sent_at) -> bool:
    asset.holding, asset.is_settled = holding, True
    return False


def read_one_page(queries: Queries, paged, first, later):
    return (yield from queries._page(paged, first))


def grant_everything(budget: ReadBudget, owner, now, room) -> list[int]:
    granted = []
    for endpoint in budget._endpoints.values():
        mine = [entry for entry in endpoint.queue if entry.owner() is owner][: room - len(granted)]
        endpoint.queue = [entry for entry in endpoint.queue if entry not in mine]
        granted += [entry.read_id for entry in mine]
    return granted


def take_unknown_for_ended(reconciler: Reconciler, refusal, symbol, order_id=None) -> None:
    if order_id is not None:
        reconciler.state.orders.remove((symbol, order_id))


@dataclass(frozen=True)
class Mutation:
    name: str
    target: type
    attribute: str
    replacement: Callable[..., object] | property
    trouble: Trouble


MUTATIONS = [
    Mutation("a fill that was recovered is delivered when it arrives", AccountManager, "is_duplicate",
             lambda *_: False, NO_LOSS),
    Mutation("delivered fills are not remembered", FillLedger, "__contains__", lambda *_: False, GAPS),
    Mutation("fills are forgotten at once", FillLedger, "__contains__", lambda *_: True, GAPS),
    Mutation("the first look is the last one", AccountRecovery, "_is_late", lambda *_: True, GAPS),
    Mutation("sums are claimed without proof", OrderSums, "prove", add_proof, GAPS),
    Mutation("one page is read", Queries, "_pages", read_one_page, PAGES),
    Mutation("no order is news", Reconciler, "_is_news", lambda *_: False, GAPS),
    Mutation("an order that is unknown once has ended", Reconciler, "on_refused", take_unknown_for_ended,
             Trouble(minutes=8, downs=8, trades_a_minute=20.0, lag=Lag(orders=8_000, unknown_for=20_000))),
    Mutation("the budget grants everything", ReadBudget, "grant", grant_everything, MANY_READS),
    Mutation("trade ids are asked for from a later one on", FillLedger, "largest_id", lambda *_: 50_400, GAPS),
    Mutation("one read of the balances is trusted", BalanceTable, "_compare", trust_one_read, NO_LOSS),
    Mutation("the audit finds nothing", OrderAudit, "on_open_orders", lambda *_: False, SILENT),
    Mutation("progress ignores gaps", _Account, "since", property(lambda account: account.handled_until), RESTARTS),
    Mutation("fills do not reach the ledger", AccountState, "_on_report", lambda *_: None, GAPS),
]  # fmt: skip


def find_violation(trouble: Trouble) -> str | None:
    for seed in range(RUNS):
        try:
            play(seed, trouble).check()
        except (AssertionError, ValueError, KeyError) as error:
            return str(error) or "a check failed"
    return None


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_broken_rule_is_found(mutation, monkeypatch):
    monkeypatch.setattr(mutation.target, mutation.attribute, mutation.replacement)
    assert find_violation(mutation.trouble) is not None
