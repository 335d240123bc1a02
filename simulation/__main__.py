"""Play months of trouble.

python -m simulation soak [--months 1000] [--first 0]     many months; exit code 1 on any violation
python -m simulation replay SEED [--keep 3,7]             one month, with a trace
python -m simulation mutations                             rules broken on purpose, and who notices
"""

from __future__ import annotations

import argparse
import os
import sys
import time

from simulation.mutations import MUTATIONS, find_violation
from simulation.plan import make_plan
from simulation.scenario import SimulatedMonth
from simulation.soak import explain, run_seeds, silence_logs


def soak(first: int, months: int) -> int:
    """Play many months, and explain those that fail."""
    started = time.monotonic()
    report = run_seeds(range(first, first + months))
    elapsed, cores = time.monotonic() - started, os.cpu_count()
    print(f"{report.months:,} months, {report.steps:,} steps")
    print(f"{elapsed:.0f} s on {cores} cores, {report.cpu_seconds:.0f} s of processor time")
    print(report)
    for seed, violation in sorted(report.violations)[:3]:
        print(f"\nseed {seed} VIOLATES {violation}\n{explain(seed)}")
    if report.violations:
        seeds = sorted(seed for seed, _ in report.violations)
        print(f"\n{len(seeds)} of {report.months} months fail: {seeds}")
    return 1 if report.violations else 0


def replay(seed: int, keep: str | None) -> int:
    """Play one month and tell what happens in it."""
    plan = make_plan(seed)
    if keep is not None:
        plan = plan.select_faults([int(number) for number in keep.split(",") if number.isdigit()])
    result = SimulatedMonth(plan, trace=True).run()
    print("\n".join(result.trace))
    print(f"seed {seed}, {plan.source_name}: {plan.settings}\n{plan.exchange_rules}")
    print("holds" if result.violation is None else f"VIOLATES {result.violation}")
    return 0 if result.violation is None else 1


def run_mutations() -> int:
    """Break one rule after the other."""
    caught = 0
    for mutation in MUTATIONS:
        result = find_violation(mutation)
        caught += result.is_caught
        number = result.violation.number if result.violation is not None else "none"
        verdict = "" if result.is_caught else f"   NOT CAUGHT as it should be: {result.violation}"
        print(f"{mutation.name:<58} property {number}, within {result.seeds_run} seeds{verdict}", flush=True)
    return 0 if caught == len(MUTATIONS) else 1


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
    commands.add_parser("mutations", help="break rules on purpose")
    arguments = parser.parse_args()
    silence_logs()
    if arguments.command == "soak":
        return soak(arguments.first, arguments.months)
    return replay(arguments.seed, arguments.keep) if arguments.command == "replay" else run_mutations()


if __name__ == "__main__":
    sys.exit(main())
