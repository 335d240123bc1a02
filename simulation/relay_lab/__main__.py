"""Run the relay lab and print its table.

python -m simulation.relay_lab [--rounds 1] [--only TEXT]     exit code 1 on any violation
"""

from __future__ import annotations

import argparse
import sys

from simulation.relay_lab.lab import LabResult, run_scenario
from simulation.relay_lab.scenarios import SCENARIOS

_COLUMNS = (
    "happened", "stored", "lost", "doubled", "gaps", "filled", "ms in gaps", "ms missed", "missing in gaps",
    "L ms", "K ms", "late", "takeover s", "run s",
)  # fmt: skip


def format_row(result: LabResult) -> str:
    """One row of the table."""
    found = result.comparison
    values = (
        found.happened,
        found.stored,
        len(found.lost),
        len(found.doubled),
        found.gaps,
        result.filled_gaps,
        found.gap_ms,
        found.missed_ms,
        found.missing_in_gaps,
        result.largest_delay_ms,
        result.largest_clock_error_ms,
        found.out_of_order,
        "" if result.takeover is None else f"{result.takeover:.1f}",
        f"{result.seconds:.0f}",
    )
    cells = (f"{value:,}" if isinstance(value, int) else value for value in values)
    return f"| {result.scenario} | {' | '.join(cells)} |"


def main() -> int:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m simulation.relay_lab", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    failures = 0
    print(f"| scenario | {' | '.join(_COLUMNS)} |\n|{' --- |' * (len(_COLUMNS) + 1)}", flush=True)
    for _ in range(arguments.rounds):
        for name, scenario in SCENARIOS.items():
            if arguments.only not in name:
                continue
            result = run_scenario(name, scenario.settings, scenario.inject)
            print(format_row(result), flush=True)
            if not result.is_right:
                failures += 1
                print(f"VIOLATION: {result.comparison.lost[:5]} {result.comparison.doubled[:5]}", file=sys.stderr)
    print(f"{failures} violations", file=sys.stderr)
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
