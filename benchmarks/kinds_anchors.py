"""Every kind of problem against the loops of ``whole_image.py``, to the same distance from x*.

x* is that of Anderson acceleration on the whole image. asyncred is told x* for its truth, so that
its SNR is the distance; its seconds are those of its loop, with one thread a rank, against the best
of the loops on two threads, each tuned by its inner steps and momentum. Same start for all.

    python benchmarks/kinds_anchors.py [--kinds ct mri blur inpaint sr] [--size 128] [--block 32]
                                       [--denoiser potential] [--ranks 1 2] [-- flags of run]
"""

from __future__ import annotations

import argparse
import math
import shutil
import tempfile
from pathlib import Path

import numpy as np

import h5py

from common import reconstruct, simulate, table
from whole_image import Whole, anderson, heavy_ball, limit, until_near

DISTANCE = 2e-3
KINDS = ("ct", "mri", "blur", "inpaint", "sr")
LEVELS = {"mri": 5.0}
STEPS = (3, 8, 30)
MOMENTA = (0.3, 0.5, 0.7, 0.8)
PASSES = 120


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--size", default="128")
    parser.add_argument("--block", default="32")
    parser.add_argument("--denoiser", default="potential")
    parser.add_argument("--ranks", nargs="+", type=int, default=(1, 2))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("flags", nargs="*", help="of asyncred run, after --")
    asked = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for kind in asked.kinds:
            problem = Path(folder) / f"{kind}.h5"
            simulate(problem, "--size", asked.size, "--block", asked.block, kind=kind)
            rows.append(row(kind, problem, asked))
            print(rows[-1], flush=True)
    ranks = [f"asyncred, {n} rank{'s' * (n > 1)}: epochs / s" for n in asked.ranks]
    print(table(["kind", "tau", "best loop", "passes / s", *ranks, "time, of the loop's"], rows))


def row(kind: str, problem: Path, asked: argparse.Namespace) -> list[str]:
    sigma = LEVELS.get(kind, 10.0) if asked.denoiser == "potential" else None
    whole = Whole.read(problem, asked.denoiser, sigma, threads=2)
    star = limit(whole)
    name, passes, seconds = best_loop(whole, star, asked.repeats)
    image = star if whole.phases is None else whole.phases * star
    told = problem.with_name("told.h5")
    shutil.copy(problem, told)
    with h5py.File(told, "a") as file:
        file["truth"][...] = image
    flags = ("--denoiser", asked.denoiser, "--threads", "1", "--report", "0.02", *asked.flags)
    flags += ("--sigma", f"{sigma:g}") if sigma is not None else ()
    found = [[measure(told, ranks, flags) for _ in range(asked.repeats)] for ranks in asked.ranks]
    medians = [tuple(np.median(runs, axis=0)) for runs in found]
    return [
        kind,
        f"{whole.tau:.3g}",
        name,
        f"{passes} / {seconds:.2f}",
        *(f"{epochs:.3g} / {loop:.2f}" for epochs, loop in medians),
        f"{medians[-1][1] / seconds:.2f}",
    ]


def best_loop(whole: Whole, star: np.ndarray, repeats: int) -> tuple[str, int, float]:
    """The quickest of the loops: its name, calls of the denoiser, seconds."""
    mu = whole.tau * max(0.5, whole.curvature / 2)
    best = ("none", PASSES, math.inf)
    for steps in STEPS:
        loops = {f"heavy ball {beta}": (heavy_ball, (beta,)) for beta in MOMENTA}
        for name, (loop, more) in {**loops, "Anderson": (anderson, ())}.items():
            passes, seconds = until_near(loop(whole, mu, steps, *more), star, DISTANCE, PASSES)
            if seconds < 1.3 * best[2]:
                times = [seconds]
                for _ in range(repeats - 1):
                    again = loop(whole, mu, steps, *more)
                    times.append(until_near(again, star, DISTANCE, PASSES)[1])
                seconds = float(np.median(times))
            if seconds < best[2]:
                best = (f"{name}, {steps} inner steps", passes, seconds)
    return best


def measure(told: Path, ranks: int, flags: tuple[str, ...]) -> tuple[float, float]:
    """Epochs and seconds of the loop until the SNR says that x* is near; inf where never."""
    found = reconstruct(ranks, told, *flags)
    reached = np.flatnonzero(found.column("snr") >= -20 * math.log10(DISTANCE))
    if not reached.size:
        return math.inf, math.inf
    at = reached[0]
    return found.column("updates")[at] / found.per_block.size, found.column("seconds")[at]


if __name__ == "__main__":
    main()
