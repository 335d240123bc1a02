"""How recovery asks the exchange, how often, and what it takes for certain."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Final, Literal

from binance_margin_stream.exceptions import ApiValueError

__all__ = ["Recovery"]

_UNSCALED: Final = frozenset({"weight_share"})
_FLOORS: Final = {"lag_guard": 0.2, "repeat_after": 0.5, "backoff_initial": 0.1, "read_timeout": 5.0}
"""Seconds that machine and network need, however fast the exchange's time runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What a stream recovers after a gap, and how. Times are in seconds.

    The API key needs the right to read, and a secret or private key to sign with. Raises `ApiValueError` for a
    setting that cannot be.
    """

    symbols: frozenset[str] = frozenset()
    """Symbols of the cross account to ask for fills after every gap, besides those that the stream knows itself:
    symbols of open orders, of events, and of the account's capital flow in the gap."""
    orders: Literal["known", "all"] = "known"
    """``"all"`` also finds orders that were made and ended inside a gap without a fill; a call that the exchange
    allows 60 times a minute."""
    since: int | None = None
    """Recover from here on when the stream starts: milliseconds since 1970-01-01 UTC. None: from the start."""
    checkpoint: str | os.PathLike[str] | None = None
    """A file that keeps what the user has handled. A stream that finds it recovers what happened since."""
    checkpoint_name: str = ""
    """Whose checkpoint it is: a file of another name is refused."""
    commit: Literal["explicit", "next"] = "explicit"
    """When an item counts as handled: ``"explicit"`` when `commit` is called, ``"next"`` when the next one is
    taken. The file is written by `commit` either way."""
    show_changes: bool = False
    """Whether the stream emits an `AccountChanged` when an account has changed, at most once a second."""
    weight_share: float = 1 / 3
    """The part of each endpoint's weight limit that all streams of the process may use together."""

    overlap: float = 60.0
    """How long before a gap fills are asked for again; it covers the error of clocks."""
    lag_guard: float = 2.0
    """How long after the stream is live again the first look waits, so that the exchange's read side catches up."""
    repeat_after: float = 10.0
    """How long after a look ended the next one starts: rows may appear late."""
    late_after: float = 660.0
    """When the last look at a gap starts, counted from when the stream was live: rows may appear within ten
    minutes."""
    unproven_after: float = 60.0
    """When a gap is closed although something about it is unproven. Looks go on until the last one."""
    audit_interval: float = 300.0
    """How often open orders and balances are compared with the exchange."""
    debt_interval: float = 60.0
    """How often an isolated account is read: no event reports its debts."""
    retention: float = 900.0
    """How long delivered fills are remembered at least."""
    max_retention: float = 3600.0
    """How long delivered fills are remembered for an audit that cannot be made; an older gap cannot be found."""

    backoff_initial: float = 1.0
    """The bound of the first delay before a read is tried again; it doubles with every failure."""
    backoff_max: float = 120.0
    """The largest bound of such a delay."""
    read_attempts: int = 4
    """How often one read is tried before its look ends and a later look starts anew."""
    read_timeout: float = 60.0
    """When a read that was not answered counts as failed."""
    page_rows: int = 1_000
    """Rows of one response that are asked for, up to what the call allows."""
    concurrent_reads: int = 6
    """Reads in flight of one stream."""
    concurrent_looks: int = 4
    """Accounts of one stream that recover at the same time; cross is first."""

    def __post_init__(self) -> None:
        if self.orders not in ("known", "all"):
            raise ApiValueError("orders must be 'known' or 'all'")
        if self.commit not in ("explicit", "next"):
            raise ApiValueError("commit must be 'explicit' or 'next'")
        if not 0 < self.weight_share <= 1:
            raise ApiValueError("weight_share must be above 0 and at most 1")
        if self.since is not None and (isinstance(self.since, bool) or not isinstance(self.since, int)):
            raise ApiValueError("since must be whole milliseconds since 1970-01-01 UTC")
        for field in fields(self):
            value = getattr(self, field.name)
            is_number = isinstance(value, float | int) and not isinstance(value, bool)
            if is_number and field.name != "since" and not value > 0:
                raise ApiValueError(f"{field.name} must be above 0")
        if not self.lag_guard <= self.repeat_after <= self.unproven_after <= self.late_after <= self.retention:
            raise ApiValueError("lag_guard, repeat_after, unproven_after, late_after and retention must not decrease")

    @property
    def checkpoint_path(self) -> Path | None:
        """The checkpoint file."""
        return None if self.checkpoint is None else Path(self.checkpoint)

    def scaled(self, factor: float) -> Recovery:
        """These settings for an exchange whose time runs `factor` times as fast, such as ``Sandbox(speed=60)``.

        What waits for this machine or the network keeps a part of its length.
        """
        scaled = {
            field.name: max(value / factor, min(value, _FLOORS.get(field.name, 0.0)))
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), float) and field.name not in _UNSCALED
        }
        return replace(self, **scaled)  # type: ignore[arg-type]  # each by the name of its field
