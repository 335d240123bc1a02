"""End `listen` when its accounts were not live for too long."""

from __future__ import annotations

from dataclasses import dataclass, field

from binance_margin_stream.cli.runner import CommandError, ExitCode
from binance_margin_stream.stream.state import Severity, State, StatusChange, StatusChangeKind

__all__ = ["LivenessTimeout"]

_EXIT_CODE_BY_CHANGE = {
    StatusChangeKind.RATE_LIMITED: ExitCode.RATE_LIMITED,
    StatusChangeKind.BANNED: ExitCode.BANNED,
    StatusChangeKind.FIREWALL_BLOCKED: ExitCode.BLOCKED,
}


@dataclass
class LivenessTimeout:
    """Measures the time without all accounts being live, and keeps the reason."""

    seconds: float | None
    """None: no timeout."""
    _down_since: float | None = field(default=None, init=False)
    _reason: str = field(default="no response", init=False)
    _exit_code: ExitCode = field(default=ExitCode.UNREACHABLE, init=False)

    def on_change(self, change: StatusChange) -> None:
        """Record a change of the stream."""
        if change.kind in _EXIT_CODE_BY_CHANGE:
            self._exit_code = _EXIT_CODE_BY_CHANGE[change.kind]
        elif change.severity >= Severity.WARNING and change.detail:
            self._reason = change.detail

    def check(self, state: State, now: float) -> None:
        """Raise `CommandError` with the code of the reason after the timeout; `now` is monotonic, in seconds."""
        if state is State.LIVE:
            self._down_since, self._exit_code = None, ExitCode.UNREACHABLE
            return
        self._down_since = now if self._down_since is None else self._down_since
        if self.seconds is not None and now - self._down_since >= self.seconds:
            raise CommandError(f"not live for {self.seconds:g} s: {self._reason}", self._exit_code)
