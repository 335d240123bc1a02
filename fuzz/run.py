"""Fuzz all code that reads bytes from the network, for some minutes, and print statistics.

    python fuzz/run.py [--minutes 10] [--target frames|rest|stream]
    python fuzz/run.py --target frames --replay FILE

Guided by coverage if atheris is installed, and otherwise random from `--seed`. Inputs are mutations of valid frames and
responses, and random bytes. The exit code is 1 if an input failed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

TARGET_NAMES = ("frames", "rest", "stream")
MEGABYTE = 1 << 20
INSTRUMENTED = ["binance_margin_stream", "json", "http.client", "urllib3"]


@dataclass
class FuzzStatistics:
    """The statistics of one target."""

    target: str
    executions: int = 0
    longest: float = 0.0
    outcomes: dict[str, int] = field(default_factory=dict)
    warm_kilobytes: int = 0
    peak_kilobytes: int = 0

    def record(self, outcome: str, seconds: float) -> None:
        """Count one execution. The growth of memory is measured from the 2000th execution on."""
        self.executions += 1
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        self.longest = max(self.longest, seconds)
        if self.executions == 2000:
            self.warm_kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def save(self, file: Path) -> None:
        """Write the statistics to a file, since a guided process ends without a chance to print them."""
        self.peak_kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        file.write_text(json.dumps(asdict(self)))

    def format_line(self, coverage: str) -> str:
        """The statistics as one line of text."""
        grown = (self.peak_kilobytes - self.warm_kilobytes) / 1024 if self.warm_kilobytes else 0.0
        return (
            f"{self.target:8} {self.executions:>9,} executions, {len(self.outcomes)} outcomes, {coverage}, "
            f"longest {self.longest * 1000:.0f} ms, memory +{grown:.0f} MB"
        )


def run_guided(name: str, seconds: int, folder: Path) -> None:
    """Run atheris. Does not return: atheris ends the process."""
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED):
        import mutation
        import targets

    statistics, last = FuzzStatistics(name), time.monotonic()

    def run_input(data: bytes) -> None:
        nonlocal last
        statistics.record(*targets.run_timed(name, data))
        if time.monotonic() - last > 1:
            last = time.monotonic()
            statistics.save(folder / "statistics.json")

    def mutate_input(data: bytes, most: int, seed: int) -> bytes:
        changed = mutation.mutate(name, bytes(data), random.Random(seed))
        return atheris.Mutate(data, most) if changed is None else changed[:most]

    rng = random.Random(name)
    corpus = folder / "corpus"
    corpus.mkdir()
    for number in range(200):
        (corpus / f"seed{number}").write_bytes(targets.GENERATORS[name](rng))
    options = [
        f"-max_total_time={seconds}", "-max_len=16384", "-len_control=0", "-timeout=20", "-rss_limit_mb=2048",
        f"-artifact_prefix={folder}/", "-print_final_stats=1", str(corpus),
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *options], run_input, custom_mutator=mutate_input)
    atheris.Fuzz()


def run_random(name: str, seconds: float, folder: Path, seed: int, limit: int = sys.maxsize) -> FuzzStatistics:
    """Run random inputs for `seconds`, but at most `limit` of them."""
    import mutation
    import targets

    statistics, rng, end = FuzzStatistics(name), random.Random(f"{seed} {name}"), time.monotonic() + seconds
    while time.monotonic() < end and statistics.executions < limit:
        data = targets.GENERATORS[name](rng)
        data = (mutation.mutate(name, data, rng) if rng.random() < 0.5 else None) or data
        try:
            statistics.record(*targets.run_timed(name, data))
        except BaseException:
            (folder / "crash-at-random").write_bytes(data)
            raise
    statistics.save(folder / "statistics.json")
    return statistics


def run_target(name: str, seconds: int, seed: int) -> bool:
    """Fuzz one target in a process of its own and print its statistics. Returns whether no input failed."""
    folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-"))
    is_guided = importlib.util.find_spec("atheris") is not None
    child = [sys.executable, __file__, "--target", name, "--seed", str(seed), "--child", str(folder), str(seconds)]
    with (folder / "log").open("wb") as log:
        process = subprocess.run(child, stdout=log, stderr=subprocess.STDOUT, timeout=seconds + 120, check=False)
    output = (folder / "log").read_text(errors="replace")
    found = sorted([*folder.glob("crash-*"), *folder.glob("timeout-*"), *folder.glob("oom-*")])
    coverages = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", output)
    coverage = "coverage {} edges, {} features, corpus {}".format(*coverages[-1]) if coverages else "not guided"
    if (folder / "statistics.json").exists():
        print(FuzzStatistics(**json.loads((folder / "statistics.json").read_text())).format_line(coverage), flush=True)
    for file in found:
        print(f"{name}: an input failed; to reproduce:\n  {sys.executable} {__file__} --target {name} --replay {file}")
        print(f"  {file.read_bytes()[:2000]!r}")  # contains no real secret
    if process.returncode and not found:
        print(f"{name}: the fuzzer ended with {process.returncode}:\n{output[-2000:]}")
    went_well = not (found or process.returncode or (is_guided and not coverages))
    if went_well:
        shutil.rmtree(folder)
    return went_well


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=10, help="for all targets together")
    parser.add_argument("--target", choices=TARGET_NAMES)
    parser.add_argument("--seed", type=int, default=1, help="used without atheris")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run one input; raises if it fails")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.replay is not None:
        import targets

        print(targets.run_timed(arguments.target, arguments.replay.read_bytes()))
        return 0
    if arguments.child is not None:
        folder, seconds = Path(arguments.child[0]), int(arguments.child[1])
        if importlib.util.find_spec("atheris") is not None:
            run_guided(arguments.target, seconds, folder)
        run_random(arguments.target, seconds, folder, arguments.seed)
        return 0
    names = [arguments.target] if arguments.target else list(TARGET_NAMES)
    seconds = max(1, round(arguments.minutes * 60 / len(names)))
    results = [run_target(name, seconds, arguments.seed) for name in names]
    print(f"failing inputs: {'none' if all(results) else 'see above'}")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
