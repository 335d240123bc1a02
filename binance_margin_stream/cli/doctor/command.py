"""The command `doctor`: run the probes, diagnose, print the report."""

from __future__ import annotations

import json as json_text
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict

from binance_margin_stream.auth import ApiKeyAuth
from binance_margin_stream.cli.doctor.report import Finding, all_ok, diagnose
from binance_margin_stream.cli.doctor.results import KeyCheck
from binance_margin_stream.cli.options import ConnectionOptions
from binance_margin_stream.cli.runner import CommandError, ExitCode
from binance_margin_stream.cli.spinner import show_spinner
from binance_margin_stream.cli.target import Target
from binance_margin_stream.exceptions import ApiValueError

__all__ = ["run_doctor"]

_KEY_FORM = re.compile("[A-Za-z0-9]{64}")
_SECRET_NAME = re.compile("BINANCE_API_SECRET|BINANCE_PRIVATE_KEY|--api-secret-file|the secret file|the private key")
_MIN_KEY_LENGTH = 16
"""Nothing is sent with a shorter key: it cannot be one."""
_LEVEL_STYLES = {"ok": ("ok", "green"), "note": ("note", "yellow"), "problem": ("problem", "bold red")}


def run_doctor(connection: ConnectionOptions, *, timeout: float, json: bool) -> ExitCode:
    """Print what is wrong with the key and the connection. Returns `ExitCode.FAILURE` if there is a problem."""
    target = connection.select_target()
    auth, key = _load_key(connection)
    with show_spinner("Checking") as on_progress:
        from binance_margin_stream.cli.doctor.rest_probe import run_probes

        findings = diagnose(run_probes(target.name, target.endpoints, auth, key, timeout, on_progress))
    if json:
        ok = all_ok(findings)
        print(json_text.dumps({"exchange": target.name, "ok": ok, "findings": list(map(asdict, findings))}))
    else:
        _print_report(target, findings)
    return ExitCode.SUCCESS if all_ok(findings) else ExitCode.FAILURE


def _load_key(connection: ConnectionOptions) -> tuple[ApiKeyAuth | None, KeyCheck]:
    try:
        auth = connection.load_api_key()
        key = auth.get_api_key()
    except (CommandError, ApiValueError) as error:
        problem, _, _ = str(error).partition(";")
        problem, _, _ = problem.partition(": set ")
        return None, KeyCheck(problem=problem, is_secret_problem=_SECRET_NAME.search(problem) is not None)
    has_usual_form = _KEY_FORM.fullmatch(key) is not None
    check = KeyCheck(length=len(key), can_sign=auth.can_sign, has_usual_form=has_usual_form)
    return (auth if len(key) >= _MIN_KEY_LENGTH else None), check


def _print_report(target: Target, findings: Sequence[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    table = Table.grid(padding=(0, 2))
    for finding in findings:
        mark, style = _LEVEL_STYLES[finding.level]
        message = Text(finding.message)
        if finding.hint:
            message.append(f"\n→ {finding.hint}", "bold" if finding.level == "problem" else "")
        table.add_row(Text(mark, style), finding.check, message)
    problems = sum(finding.level == "problem" for finding in findings)
    verdict = "No problems found." if not problems else f"{problems} problem{'s' * (problems != 1)} to solve."
    console.print(f"Checked {target.name}")
    console.print(table)
    console.print(verdict, style="green" if not problems else "bold red")
