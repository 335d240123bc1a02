"""Fuzz the three ways on which bytes from the network come in, for some minutes, and print the figures.

    python fuzz/run.py [--minutes 10] [--target frames|rest|answers]
    python fuzz/run.py --target frames --replay FILE

Guided by coverage, with atheris, where that is installed; else at random from `--seed`. Inputs are valid frames and
answers with something changed, and bytes. Ends by itself; the exit code is 1 when an input broke something.
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

NAMES = ("frames", "rest", "answers")
MEGABYTE = 1 << 20
INSTRUMENTED = ["binance_margin_stream", "json", "http.client", "urllib3"]


@dataclass
class Figures:
    """What one target did."""

    target: str
    executions: int = 0
    longest: float = 0.0
    outcomes: dict[str, int] = field(default_factory=dict)
    warm_kilobytes: int = 0
    peak_kilobytes: int = 0

    def note(self, outcome: str, took: float) -> None:
        """Count one execution. Memory is compared with what it was after the first 2000."""
        self.executions += 1
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        self.longest = max(self.longest, took)
        if self.executions == 2000:
            self.warm_kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def kept_in(self, file: Path) -> None:
        """Write them down; a fuzzer's process ends without a last word."""
        self.peak_kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        file.write_text(json.dumps(asdict(self)))

    def line(self, coverage: str) -> str:
        """One line for people."""
        grown = (self.peak_kilobytes - self.warm_kilobytes) / 1024 if self.warm_kilobytes else 0.0
        return (
            f"{self.target:8} {self.executions:>9,} executions, {len(self.outcomes)} outcomes, {coverage}, "
            f"longest {self.longest * 1000:.0f} ms, memory +{grown:.0f} MB"
        )


def guided(name: str, seconds: int, folder: Path) -> None:
    """Let atheris choose the inputs. Does not return: the process ends with the fuzzer."""
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED):
        import mutation
        import targets

    figures, last = Figures(name), time.monotonic()

    def one(data: bytes) -> None:
        nonlocal last
        figures.note(*targets.timed(name, data))
        if time.monotonic() - last > 1:
            last = time.monotonic()
            figures.kept_in(folder / "figures.json")

    def mutated(data: bytes, most: int, seed: int) -> bytes:
        changed = mutation.mutated(name, bytes(data), random.Random(seed))
        return atheris.Mutate(data, most) if changed is None else changed[:most]

    dice = random.Random(name)
    corpus = folder / "corpus"
    corpus.mkdir()
    for number in range(200):
        (corpus / f"seed{number}").write_bytes(targets.MAKERS[name](dice))
    options = [
        f"-max_total_time={seconds}", "-max_len=16384", "-len_control=0", "-timeout=20", "-rss_limit_mb=2048",
        f"-artifact_prefix={folder}/", "-print_final_stats=1", str(corpus),
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *options], one, custom_mutator=mutated)
    atheris.Fuzz()


def blind(name: str, seconds: float, folder: Path, seed: int, most: int = sys.maxsize) -> Figures:
    """Inputs at random, without any guidance, until the time is over or there were `most`."""
    import mutation
    import targets

    figures, dice, end = Figures(name), random.Random(f"{seed} {name}"), time.monotonic() + seconds
    while time.monotonic() < end and figures.executions < most:
        data = targets.MAKERS[name](dice)
        data = (mutation.mutated(name, data, dice) if dice.random() < 0.5 else None) or data
        try:
            figures.note(*targets.timed(name, data))
        except BaseException:
            (folder / "crash-at-random").write_bytes(data)
            raise
    figures.kept_in(folder / "figures.json")
    return figures


def run(name: str, seconds: int, seed: int) -> bool:
    """Fuzz one target in a process of its own, print its figures, and say whether all went well."""
    folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-"))
    is_guided = importlib.util.find_spec("atheris") is not None
    child = [sys.executable, __file__, "--target", name, "--seed", str(seed), "--child", str(folder), str(seconds)]
    with (folder / "log").open("wb") as log:
        done = subprocess.run(child, stdout=log, stderr=subprocess.STDOUT, timeout=seconds + 120, check=False)
    said = (folder / "log").read_text(errors="replace")
    found = sorted([*folder.glob("crash-*"), *folder.glob("timeout-*"), *folder.glob("oom-*")])
    covered = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", said)
    coverage = "coverage {} edges, {} features, corpus {}".format(*covered[-1]) if covered else "not guided"
    if (folder / "figures.json").exists():
        print(Figures(**json.loads((folder / "figures.json").read_text())).line(coverage), flush=True)
    for file in found:
        print(f"{name}: an input broke it; to see how:\n  {sys.executable} {__file__} --target {name} --replay {file}")
        print(f"  {file.read_bytes()[:2000]!r}")  # its secrets are planted ones
    if done.returncode and not found:
        print(f"{name}: the fuzzer ended with {done.returncode}:\n{said[-2000:]}")
    went_well = not (found or done.returncode or (is_guided and not covered))
    if went_well:
        shutil.rmtree(folder)
    return went_well


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=10, help="for all targets together")
    parser.add_argument("--target", choices=NAMES)
    parser.add_argument("--seed", type=int, default=1, help="where there is no atheris")
    parser.add_argument(
        "--replay", type=Path, metavar="FILE", help="play one input, which raises if it breaks something"
    )
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.replay is not None:
        import targets

        print(targets.timed(asked.target, asked.replay.read_bytes()))
        return 0
    if asked.child is not None:
        folder, seconds = Path(asked.child[0]), int(asked.child[1])
        if importlib.util.find_spec("atheris") is not None:
            guided(asked.target, seconds, folder)
        blind(asked.target, seconds, folder, asked.seed)
        return 0
    names = [asked.target] if asked.target else list(NAMES)
    seconds = max(1, round(asked.minutes * 60 / len(names)))
    well = [run(name, seconds, asked.seed) for name in names]
    print(f"inputs that broke something: {'none' if all(well) else 'see above'}")
    return 0 if all(well) else 1


if __name__ == "__main__":
    sys.exit(main())
