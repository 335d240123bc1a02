"""Play months of trouble.

python -m simulation soak [--months 1000] [--first 0]     many months; exit code 1 on any violation
python -m simulation replay SEED [--keep 3,7]             one month, with a trace
python -m simulation breaks                               rules broken on purpose, and who notices
"""

from __future__ import annotations

import argparse
import os
import sys
import time

from simulation.mutations import BREAKS, catch
from simulation.plan import plan_of
from simulation.scenario import Month
from simulation.soak import be_quiet, explain, play_all


def soak(first: int, months: int) -> int:
    """Play many months, and explain those that fail."""
    started = time.monotonic()
    report = play_all(range(first, first + months))
    took, cores = time.monotonic() - started, os.cpu_count()
    print(f"{report.months:,} months, {report.steps:,} steps")
    print(f"{took:.0f} s on {cores} cores, {report.seconds:.0f} s of processor time")
    print(report)
    for seed, violation in sorted(report.violations)[:3]:
        print(f"\nseed {seed} VIOLATES {violation}\n{explain(seed)}")
    if report.violations:
        seeds = sorted(seed for seed, _ in report.violations)
        print(f"\n{len(seeds)} of {report.months} months fail: {seeds}")
    return 1 if report.violations else 0


def replay(seed: int, keep: str | None) -> int:
    """Play one month and tell what happens in it."""
    plan = plan_of(seed)
    if keep is not None:
        plan = plan.keeping([int(number) for number in keep.split(",") if number.isdigit()])
    outcome = Month(plan, trace=True).play()
    print("\n".join(outcome.trace))
    print(f"seed {seed}, {plan.way}: {plan.rules}\n{plan.exchange}")
    print("holds" if outcome.violation is None else f"VIOLATES {outcome.violation}")
    return 0 if outcome.violation is None else 1


def breaks() -> int:
    """Break one rule after the other."""
    right = 0
    for rule in BREAKS:
        each = catch(rule)
        right += each.is_right
        number = each.violation.number if each.violation is not None else "none"
        verdict = "" if each.is_right else f"   NOT CAUGHT as it should be: {each.violation}"
        print(f"{rule.name:<58} property {number}, within {each.seeds} seeds{verdict}", flush=True)
    return 0 if right == len(BREAKS) else 1


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m simulation", description=__doc__.splitlines()[0] if __doc__ else None
    )
    commands = parser.add_subparsers(dest="command", required=True)
    many = commands.add_parser("soak", help="play many months")
    many.add_argument("--months", type=int, default=1000)
    many.add_argument("--first", type=int, default=0, help="the first seed")
    one = commands.add_parser("replay", help="play one month with a trace")
    one.add_argument("seed", type=int)
    one.add_argument("--keep", help="numbers of the strikes to keep, such as 3,7")
    commands.add_parser("breaks", help="break rules on purpose")
    asked = parser.parse_args()
    be_quiet()
    if asked.command == "soak":
        return soak(asked.first, asked.months)
    return replay(asked.seed, asked.keep) if asked.command == "replay" else breaks()


if __name__ == "__main__":
    sys.exit(main())
