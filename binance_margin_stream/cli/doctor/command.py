"""`doctor`: finds out, judges, and prints the report."""

from __future__ import annotations

import json as json_text
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from binance_margin_stream.auth import ApiKeyAuth
from binance_margin_stream.cli.credentials import load_api_key
from binance_margin_stream.cli.doctor.report import Finding, all_ok, diagnose
from binance_margin_stream.cli.doctor.results import KeyCheck
from binance_margin_stream.cli.errors import CommandError
from binance_margin_stream.cli.exit_codes import ExitCode
from binance_margin_stream.cli.spinner import show_spinner
from binance_margin_stream.cli.target import Target

__all__ = ["run_doctor"]

_LEVEL_STYLES = {"ok": ("ok", "green"), "note": ("note", "yellow"), "problem": ("problem", "bold red")}


def run_doctor(
    target: Target, key_file: Path | None, secret_file: Path | None, *, timeout: float, json: bool
) -> ExitCode:
    """Print what is wrong with the way to an exchange; answers whether anything is."""
    auth, key = _load_key(key_file, secret_file)
    with show_spinner("Looking") as on_progress:
        from binance_margin_stream.cli.doctor.rest_probe import run_probes

        findings = diagnose(run_probes(target.name, target.endpoints, auth, key, timeout, on_progress))
    if json:
        ok = all_ok(findings)
        print(json_text.dumps({"exchange": target.name, "ok": ok, "findings": list(map(asdict, findings))}))
    else:
        _print_report(target, findings)
    return ExitCode.SUCCESS if all_ok(findings) else ExitCode.FAILURE


def _load_key(key_file: Path | None, secret_file: Path | None) -> tuple[ApiKeyAuth | None, KeyCheck]:
    try:
        auth = load_api_key(key_file, secret_file)
    except CommandError as error:
        return None, KeyCheck(problem=str(error))
    return auth, KeyCheck(length=len(auth.get_api_key()), can_sign=auth.can_sign)


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
    verdict = "All is well." if not problems else f"{problems} problem{'s' * (problems != 1)} to solve."
    console.print(f"Examined {target.name}")
    console.print(table)
    console.print(verdict, style="green" if not problems else "bold red")
