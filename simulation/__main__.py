"""Run simulated months with injected faults.

python -m simulation soak [--months 1000] [--first 0]     many simulated months; exit code 1 on any violation
python -m simulation replay SEED [--keep 3,7]             one simulated month, with a trace
python -m simulation mutations                             mutate one rule after the other; which property detects it
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
    """Run many months, and explain those that fail."""
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
    """Run one month and print its trace."""
    plan = make_plan(seed)
    if keep is not None:
        plan = plan.select_faults([int(number) for number in keep.split(",") if number.isdigit()])
    result = SimulatedMonth(plan, trace=True).run()
    print("\n".join(result.trace))
    print(f"seed {seed}, {plan.source_name}: {plan.settings}\n{plan.exchange_rules}")
    print("all properties hold" if result.violation is None else f"VIOLATES {result.violation}")
    return 0 if result.violation is None else 1


def run_mutations() -> int:
    """Mutate one rule after the other, and print which property detects it."""
    detected = 0
    for mutation in MUTATIONS:
        result = find_violation(mutation)
        detected += result.is_detected
        number = result.violation.number if result.violation is not None else "none"
        note = "" if result.is_detected else f"   NOT DETECTED as expected: {result.violation}"
        print(f"{mutation.name:<58} property {number}, within {result.seeds_run} seeds{note}", flush=True)
    return 0 if detected == len(MUTATIONS) else 1


def main() -> int:
    """Run the command of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m simulation", description=__doc__.splitlines()[0] if __doc__ else None
    )
    commands = parser.add_subparsers(dest="command", required=True)
    many = commands.add_parser("soak", help="run many simulated months")
    many.add_argument("--months", type=int, default=1000)
    many.add_argument("--first", type=int, default=0, help="the first seed")
    one = commands.add_parser("replay", help="run one simulated month with a trace")
    one.add_argument("seed", type=int)
    one.add_argument("--keep", help="indexes of the faults to keep, such as 3,7")
    commands.add_parser("mutations", help="mutate rules on purpose")
    arguments = parser.parse_args()
    silence_logs()
    if arguments.command == "soak":
        return soak(arguments.first, arguments.months)
    return replay(arguments.seed, arguments.keep) if arguments.command == "replay" else run_mutations()


if __name__ == "__main__":
    sys.exit(main())
