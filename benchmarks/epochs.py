"""Epochs and seconds to the fixed point: by update, start and ranks, and by kind of problem.

x* is GM-RED, at a step of 1e-6 an epoch. A run is done when ||x - x*|| / ||x*|| <= 2e-3; to follow
it, it is told x* for its truth, so that its SNR is this distance. Then a run of as many epochs is
compared with x* in SNR. The demo problem: 240x240 pixels, 9 blocks of 80x80 (4356 of 6400
measurements, 30 dB, tau 0.8). The other kinds: the photograph at 128x128 in 16 blocks, where
--kinds are named. One thread a rank; seconds are of the loop.

    python benchmarks/epochs.py [--kinds ct mri blur inpaint sr] [--folder DIR] [--repeats 3]
"""

from __future__ import annotations

import argparse
import math
import shutil
import tempfile
from pathlib import Path

import numpy as np

import h5py

from asyncred.files.result import Result
from asyncred.metrics import snr
from common import apart, reconstruct, simulate, star_of, table

DISTANCE = 2e-3
DEMO = [
    ("the paper's gradient", 1, ("--update", "gradient")),
    ("the paper's gradient", 2, ("--update", "gradient")),
    ("proximal, from zero", 2, ("--start", "zero")),
    ("proximal, from zero, continuation 5", 2, ("--start", "zero", "--continuation", "5")),
    ("proximal, from A^T y", 2, ("--start", "centered")),
    ("proximal, no momentum, mu = tau", 2, ("--momentum", "0", "--mu", "0.8")),
    ("proximal, no drafts", 2, ("--draft", "none")),
    ("proximal", 1, ()),
    ("proximal", 2, ()),
    ("proximal", 4, ()),
    ("proximal, --steal on", 4, ("--steal", "on")),
    ("proximal, --steal on, one rank 10x slower", 4, ("--steal", "on", "--slow", "3:10")),
]
KIND = [
    ("the paper's gradient", 2, ("--update", "gradient")),
    ("proximal", 1, ("--update", "proximal")),
    ("proximal", 2, ("--update", "proximal")),
    ("proximal", 4, ("--update", "proximal")),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", nargs="*", default=[])
    parser.add_argument("--folder", type=Path, help="keep problems and x* here")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="", help="part of the names of updates")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        for kind in options.kinds or ["cs"]:
            problem, runs = folder / f"{kind}.h5", KIND if options.kinds else DEMO
            size = ("--size", "128", "--block", "32") if options.kinds else ("--size", "240")
            simulate(problem, *size, kind=kind)
            star = star_of(problem, folder / f"{kind}-star.h5")
            told = told_star(problem, folder / f"{kind}-told.h5", star)
            for name, ranks, flags in runs:
                if options.only not in name:
                    continue
                found = [measure(problem, told, star, ranks, flags) for _ in range(options.repeats)]
                columns = zip(*found, strict=True)
                rows.append([kind, name, ranks, *(f"{np.median(c):.3g}" for c in columns)])
                print(rows[-1], flush=True)
    head = ["kind", "update", "ranks", "epochs", "loop, s", "x - x*, relative", "SNR - that of x*"]
    print(table(head, rows))


def measure(
    problem: Path, told: Path, star: Result, ranks: int, flags: tuple[str, ...]
) -> tuple[float, float, float, float]:
    """Epochs and seconds to x*, distance and SNR of a run of as many epochs."""
    common = ("--threads", "1", "--report", "0.01")
    until = reconstruct(ranks, told, *common, "--epochs", "3000", "--tol", "2e-5", *flags)
    reached = np.flatnonzero(until.column("snr") >= -20 * math.log10(DISTANCE))
    if not reached.size:
        return math.inf, math.inf, math.nan, math.nan
    blocks, at = until.per_block.size, reached[0]
    epochs, seconds = until.column("updates")[at] / blocks, until.column("seconds")[at]
    found = reconstruct(ranks, problem, *common, "--epochs", str(math.ceil(epochs)), *flags)
    distance = apart(found, star)
    difference = snr(found.truth, found.image) - snr(star.truth, star.image)
    return float(epochs), float(seconds), float(distance), float(difference)


def told_star(problem: Path, path: Path, star: Result) -> Path:
    """The same problem with x* for its truth."""
    shutil.copy(problem, path)
    with h5py.File(path, "a") as file:
        file["truth"][...] = star.image
    return path


main()
