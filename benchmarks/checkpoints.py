"""What checkpoints cost: updates per second of a 2048x2048 image with one every five seconds.

Inpainting in 64 blocks of 256x256 with total variation, two ranks; runs with and without taken in
turn, medians. At one a minute the cost is a twelfth.

    python benchmarks/checkpoints.py [--repeats 3] [--seconds 20]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from common import rate, reconstruct, simulate, table

SIDE, EVERY = 2048, 5.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        rows, cols = np.mgrid[:SIDE, :SIDE] / 40
        picture = (0.5 + 0.4 * np.sin(rows) * np.cos(cols)).astype(np.float32)
        np.save(folder / "picture.npy", picture)
        flags = ("--image", folder / "picture.npy", "--block", "256")
        problem = simulate(folder / "problem.h5", *flags, kind="inpaint")
        kept = ("--checkpoint", str(folder / "c.h5"), "--checkpoint-every", str(EVERY / 60))
        updates = budget(problem, options.seconds)
        rates: dict[str, list[float]] = {"without": [], "with": []}
        for _ in range(options.repeats):
            rates["without"].append(run(problem, updates))
            rates["with"].append(run(problem, updates, *kept))
    without, with_them = (float(np.median(rates[name])) for name in ("without", "with"))
    loss = 1 - with_them / without
    print(
        table(
            ["updates/s without", "with one every 5 s", "loss", "loss at one a minute"],
            [[f"{without:.1f}", f"{with_them:.1f}", f"{loss:.2%}", f"{loss * EVERY / 60:.2%}"]],
        )
    )


FLAGS = ("--denoiser", "tv", "--sigma", "5", "--threads", "1")


def budget(problem: Path, seconds: float) -> int:
    """Updates that take about so long."""
    found = reconstruct(2, problem, *FLAGS, "--updates", "200")
    return max(200, round(rate(found) * seconds))


def run(problem: Path, updates: int, *flags: str) -> float:
    """Updates per second."""
    return rate(reconstruct(2, problem, *FLAGS, "--updates", str(updates), *flags))


main()
