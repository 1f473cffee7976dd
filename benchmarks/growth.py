"""Images that grow: time per update and memory of a rank, from 480x480 to --largest.

Inpainting, whose A takes no memory, in blocks of 120x120 with one thread a rank. First with 16
blocks a rank, so that the ranks grow with the image; these take turns on the cores there are, so
the time of an update is that of a core: seconds times cores, over updates. Then on two ranks.

    python benchmarks/growth.py [--ranks 1 4 16 64] [--largest 8160] [--updates U]
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np

from asyncred.files.result import read_result
from common import peak_of, simulate, table

BLOCK, BLOCKS = 120, 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--largest", type=int, default=8160)
    parser.add_argument("--updates", type=int, default=800, help="of each run")
    options = parser.parse_args()
    sides = [round((BLOCKS * n) ** 0.5) for n in options.ranks]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for ranks, side in zip(options.ranks, sides, strict=True):
            rows.append(row(Path(folder), side, ranks, options.updates))
            print(rows[-1], flush=True)
        for side in [4, 8, 16, 32, options.largest // BLOCK]:
            rows.append(row(Path(folder), side, 2, options.updates))
            print(rows[-1], flush=True)
    head = ["side, pixels", "blocks", "ranks", "blocks of a rank", "core-ms an update"]
    print(table([*head, "rest", "peak of a rank, MiB", "its part of the image, MiB"], rows))


def row(folder: Path, side: int, ranks: int, updates: int) -> list[str]:
    """One run on an image of side x side blocks."""
    pixels = side * BLOCK
    rows, cols = np.mgrid[:pixels, :pixels].astype(np.float32) / 40
    np.save(folder / "picture.npy", 0.5 + 0.4 * np.sin(rows) * np.cos(cols))
    flags = ("--image", folder / "picture.npy", "--block", str(BLOCK))
    problem = simulate(folder / "problem.h5", *flags, kind="inpaint")
    peak = peak_of(problem, ranks, updates=updates, update="gradient")
    found = read_result(problem.with_name("r.h5"))
    cores = min(ranks, len(os.sched_getaffinity(0)))
    seconds = found.timing[:, 0].max() * cores / found.column("updates")[-1]
    return [
        str(pixels),
        str(side**2),
        str(ranks),
        str(-(-(side**2) // ranks)),
        f"{1e3 * seconds:.2f}",
        f"{100 * np.median(found.timing[:, -1]):.1f} %",
        f"{peak:.0f}",
        f"{4 * pixels**2 / ranks / 2**20:.1f}",
    ]


main()
