"""Resident memory of a rank as the image grows with the ranks fixed, and with its own blocks fixed.

Compressive sensing in blocks of 80x80 with 4356 measurements (111 MB of A each), and tomography in
blocks of 128x128 with 90 views; the largest rank's peak over a run of two epochs.

    python benchmarks/memory.py
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from common import peak_of, simulate, table

SIZES = ((4, 2), (4, 4), (4, 8), (1, 2), (16, 8))
"""Ranks, and blocks a side."""


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for ranks, side in SIZES:
            picture = make_picture(Path(folder) / "picture.npy", 80 * side)
            problem = simulate(Path(folder) / "problem.h5", "--image", picture)
            peak, most = peak_of(problem, ranks, epochs=2.0), -(-side * side // ranks)
            matrices = 4 * 4356 * 6400 * most / 2**20
            rows.append(["cs", 80 * side, side * side, ranks, most, f"{peak:.0f}"])
            rows[-1].append(f"{peak - matrices:.0f}")
        for ranks, side in SIZES:
            picture = make_picture(Path(folder) / "picture.npy", 128 * side)
            flags = ("--image", picture, "--block", "128", "--views", "90")
            problem = simulate(Path(folder) / "problem.h5", *flags, kind="ct")
            peak, most = peak_of(problem, ranks, epochs=2.0), -(-side * side // ranks)
            rows.append(["ct", 128 * side, side * side, ranks, most, f"{peak:.0f}", "-"])
    head = ["kind", "side, pixels", "blocks", "ranks", "blocks of a rank", "peak, MiB"]
    print(table([*head, "without its A, MiB"], rows))


def make_picture(path: Path, side: int) -> Path:
    rows, cols = np.mgrid[:side, :side] / 40
    np.save(path, (0.5 + 0.4 * np.sin(rows) * np.cos(cols)).astype(np.float32))
    return path


main()
