"""Updates per second at 1 and 2 ranks, and what is lost outside denoiser and data gradient.

16 blocks of 80x80, 4356 measurements each; every rank on one core with one thread. Medians.

    python benchmarks/speed.py [--repeats R]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from asyncred.files.result import Result
from common import mpirun, rate, reconstruct, simulate, table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    rates: dict[int, list[float]] = {n: [] for n in options.ranks}
    last: dict[int, Result] = {}
    with tempfile.TemporaryDirectory() as folder:
        problem = simulate(Path(folder) / "problem.h5", "--size", "320")
        for _ in range(options.repeats):
            for (
                n
            ) in options.ranks:  # side by side: the machine is as noisy for one as for the other
                bound = (mpirun(), "--bind-to", "core", "-n", str(n))
                flags = ("--updates", str(320 * n), "--threads", "1", "--update", "gradient")
                last[n] = reconstruct(n, problem, *flags, launcher=bound)
                rates[n].append(rate(last[n]))
    rows = []
    for n, found in rates.items():
        _, denoiser, gradient, _, rest = last[n].timing.max(axis=0)
        per = last[n].per_rank.max()
        rows.append(
            [
                n,
                f"{np.median(found):.1f}",
                f"{np.median(found) / np.median(rates[options.ranks[0]]):.2f}",
                f"{1e3 * denoiser / per:.1f}",
                f"{1e3 * gradient / per:.1f}",
                f"{100 * rest:.1f} %",
                f"{100 * (max(found) - min(found)) / np.median(found):.0f} %",
            ]
        )
    head = ["ranks", "updates/s", "ratio", "denoiser, ms", "gradient, ms", "rest", "spread"]
    print(table(head, rows))


main()
