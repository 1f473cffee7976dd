"""What a slow rank costs: async against sync, and against async with stolen work.

First table: two ranks, the second four times slower, on the demo problem; medians of updates per
second relative to the same method with equal ranks.

Second table: four ranks, the last 2, 4 and 10 times slower, with gradient and proximal updates; 16
blocks. Seconds of a run of so many epochs (medians, and over those with equal ranks), the fewest
and the most updates of a block in it; seconds until the SNR stays within 0.05 dB of the fixed
point's, which is where a run with equal ranks stops at the same tolerance. "Ideal" is
4 / (3 + 1 / factor): what is lost is the slow rank's share, no more.

A rank is slow because it sleeps after every update (--slow), for factor - 1 times what the update
took, waiting for a core included. With fewer cores than ranks the others take over the core it
leaves: they then gain by it what they would not gain by a rank on a slow core of its own, and
ratios may fall below the ideal. One core a rank measures what is claimed.

    python benchmarks/stragglers.py [--repeats R] [--only two|four] [--factors F ...] ...
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from asyncred.files.result import Result
from asyncred.metrics import snr
from common import rate, reconstruct, simulate, table

RANKS = 4
NEAR = 0.05
"""dB from the fixed point's SNR that count as there."""

METHODS = {
    "async": ("--method", "async"),
    "async, --steal on": ("--method", "async", "--steal", "on"),
    "sync": ("--method", "sync"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tau", default="2", help="of the runs to the fixed point")
    parser.add_argument("--tol", default="2e-5", help="of the runs to the fixed point")
    parser.add_argument("--rates-only", action="store_true", help="no runs to the fixed point")
    parser.add_argument("--only", choices=("two", "four"), help="one of the tables")
    parser.add_argument("--factors", type=float, nargs="+", default=[2, 4, 10])
    parser.add_argument("--updates", nargs="+", default=["gradient", "proximal"])
    parser.add_argument("--epochs", type=int, default=30, help="of the timed runs on four ranks")
    parser.add_argument("--size", default="240", help="of the image on four ranks, a multiple of 4")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.only != "four":
            two_ranks(simulate(Path(folder) / "two.h5", "--size", "240"), options)
        if options.only != "two":
            size = ("--size", options.size, "--block", str(int(options.size) // 4))
            four_ranks(simulate(Path(folder) / "four.h5", *size), options)


def two_ranks(problem: Path, options: argparse.Namespace) -> None:
    """Print the first table."""
    rows = []
    for method in ("async", "sync"):
        rates: dict[str, list[float]] = {"1:1": [], "1:4": []}
        for _ in range(options.repeats):
            for slow, found in rates.items():
                flags = ("--method", method, "--slow", slow, "--max-time", "10")
                found.append(rate(reconstruct(2, problem, *flags, "--threads", "1")))
        equal, unequal = (float(np.median(found)) for found in rates.values())
        quality = "-"
        if not options.rates_only:
            flags = ("--method", method, "--tau", options.tau, "--tol", options.tol)
            end = reconstruct(2, problem, *flags, "--slow", "1:4", "--epochs", "3000")
            quality = f"{snr(end.truth, end.image):.3f} in {end.column('seconds')[-1]:.0f} s"
        rows.append([method, f"{equal:.1f}", f"{unequal:.1f}", f"{unequal / equal:.2f}", quality])
    head = ["method", "updates/s, equal", "updates/s, one 4x slower", "kept", "final SNR, dB"]
    print(table(head, rows), flush=True)


def four_ranks(problem: Path, options: argparse.Namespace) -> None:
    """Print the second table."""
    head = ["update", "slow rank", "method", f"{options.epochs} epochs, s", "over equal", "ideal"]
    head += ["updates of a block", "to the fixed point, s", "over equal", "SNR there, dB"]
    print(table(head, []), flush=True)
    for update in options.updates:
        for row in rows_of(problem, update, options):  # as they come: it takes long
            print("| " + " | ".join(map(str, row)) + " |", flush=True)


def rows_of(problem: Path, update: str, options: argparse.Namespace) -> Iterator[Sequence[object]]:
    """Of one kind of update: every method with equal ranks, then with each slow one."""
    seconds, way = {}, {}
    goal = np.nan
    for factor in (1.0, *options.factors):
        common = ("--update", update, "--slow", f"{RANKS - 1}:{factor:g}", "--threads", "1")
        runs = timed(problem, common, options)
        for method, flags in METHODS.items():
            found = runs[method]
            seconds[method, factor] = float(np.median([duration(run) for run in found]))
            columns = ["-", "-", "-"]
            if not options.rates_only:
                end = reconstruct(RANKS, problem, *common, *flags, *to_the_end(update, options))
                there = snr(end.truth, end.image)
                goal = there if np.isnan(goal) else goal
                way[method, factor] = arrival(end, goal)
                columns = [f"{way[method, factor]:.1f}", ratio(way, method, factor), f"{there:.3f}"]
            counts = found[-1].per_block
            slow = "none" if factor == 1 else f"{factor:g}x"
            ideal = f"{RANKS / (RANKS - 1 + 1 / factor):.2f}"
            measured = [f"{seconds[method, factor]:.1f}", ratio(seconds, method, factor), ideal]
            yield [update, slow, method, *measured, f"{counts.min()} to {counts.max()}", *columns]


def timed(
    problem: Path, common: Sequence[str], options: argparse.Namespace
) -> dict[str, list[Result]]:
    """Runs of so many epochs, the methods side by side: the machine is as noisy for each."""
    runs: dict[str, list[Result]] = {method: [] for method in METHODS}
    for _ in range(options.repeats):
        for method, flags in METHODS.items():
            epochs = ("--epochs", str(options.epochs))
            runs[method].append(reconstruct(RANKS, problem, *common, *flags, *epochs))
    return runs


def to_the_end(update: str, options: argparse.Namespace) -> Sequence[str]:
    """Flags of a run to the fixed point.

    Proximal updates have the default tau: with mu = 0.4 tau they do not converge at tau 2.
    """
    weight = ("--tau", options.tau) if update == "gradient" else ()
    return (*weight, "--tol", options.tol, "--epochs", "3000", "--report", "0.1")


def duration(run: Result) -> float:
    """Seconds of the whole run."""
    return float(run.column("seconds")[-1])


def arrival(run: Result, goal: float) -> float:
    """Seconds after which the SNR stays near ``goal``; NaN where it ends elsewhere."""
    away = np.flatnonzero(~(np.abs(run.column("snr") - goal) <= NEAR))
    first = 0 if away.size == 0 else int(away[-1]) + 1
    seconds = run.column("seconds")
    return float(seconds[first]) if first < len(seconds) else np.nan


def ratio(found: dict[tuple[str, float], float], method: str, factor: float) -> str:
    """Over the same method with equal ranks."""
    return f"{found[method, factor] / found[method, 1.0]:.2f}"


main()
