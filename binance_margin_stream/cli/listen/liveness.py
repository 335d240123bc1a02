"""How long `listen` goes on without a stream that is live."""

from __future__ import annotations

from dataclasses import dataclass, field

from binance_margin_stream.cli.errors import CommandError
from binance_margin_stream.cli.exit_codes import ExitCode
from binance_margin_stream.stream.protocol.actions import Change, Level, State

__all__ = ["Patience"]

_CODES = {"limited": ExitCode.LIMITED, "banned": ExitCode.BANNED, "blocked": ExitCode.BLOCKED}


@dataclass
class Patience:
    """Counts the time without all accounts being live, and remembers why they are not."""

    seconds: float | None
    """None for ever."""
    _since: float | None = field(default=None, init=False)
    _why: str = field(default="no answer", init=False)
    _code: ExitCode = field(default=ExitCode.UNREACHABLE, init=False)

    def changed(self, change: Change) -> None:
        """The stream told of a change."""
        if change.name in _CODES:
            self._code = _CODES[change.name]
        elif change.level.value >= Level.WARNING.value and change.detail:
            self._why = change.detail

    def look(self, state: State, now: float) -> None:
        """Raise `CommandError` with the code of the trouble when it has been long enough; `now` is in seconds."""
        if state is State.LIVE:
            self._since, self._code = None, ExitCode.UNREACHABLE
            return
        self._since = now if self._since is None else self._since
        if self.seconds is not None and now - self._since >= self.seconds:
            raise CommandError(f"given up after {self.seconds:g} s: {self._why}", self._code)
