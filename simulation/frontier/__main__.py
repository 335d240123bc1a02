"""Explore the frontier rule.

python -m simulation.frontier explore [--random 60000] [--faults 2]     schedules; exit code 1 on any violation
python -m simulation.frontier replay SEED READERS                       one random schedule
python -m simulation.frontier mutations                                  broken rules, and which property notices
"""

from __future__ import annotations

import argparse
import sys
import time
from itertools import chain

from simulation.frontier.explore import Schedule, enumerate_schedules, explore, random_schedules
from simulation.frontier.mutations import FRONTIER_MUTATIONS, find_frontier_violation


def run_exploration(number: int, most_faults: int) -> int:
    """Play random schedules, and every one with few faults."""
    failed = False
    exhaustive = chain(*(enumerate_schedules(readers, most_faults) for readers in (1, 2)))
    for title, schedules in (("random", random_schedules(number)), ("exhaustive", exhaustive)):
        started = time.monotonic()
        report = explore(schedules)
        print(f"{title}: {report}\n{time.monotonic() - started:.0f} s", flush=True)
        for schedule, violation in report.violations[:3]:
            print(f"  {schedule} VIOLATES {violation}")
        failed = failed or bool(report.violations)
    return int(failed)


def run_mutations() -> int:
    """Break each rule, and see which property notices."""
    missed = 0
    for mutation in FRONTIER_MUTATIONS:
        schedules, violation = find_frontier_violation(mutation)
        is_caught = violation is not None and violation.rule in mutation.expected
        missed += not is_caught
        print(
            f"{mutation.name:<58} {violation.rule if violation else 'NOT NOTICED':<42} after {schedules:,}", flush=True
        )
    return int(missed > 0)


def main() -> int:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m simulation.frontier", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    exploring = commands.add_parser("explore")
    exploring.add_argument("--random", type=int, default=60_000)
    exploring.add_argument("--faults", type=int, default=2)
    replaying = commands.add_parser("replay")
    replaying.add_argument("seed", type=int)
    replaying.add_argument("readers", type=int)
    commands.add_parser("mutations")
    arguments = parser.parse_args()
    if arguments.command == "explore":
        return run_exploration(arguments.random, arguments.faults)
    if arguments.command == "replay":
        print(Schedule(arguments.seed, arguments.readers).play())
        return 0
    return run_mutations()


if __name__ == "__main__":
    sys.exit(main())
