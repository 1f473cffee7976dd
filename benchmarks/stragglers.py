"""What a slow rank costs: two ranks, the second four times slower; async against sync.

The demo problem; medians of updates per second relative to the same method with equal ranks.

    python benchmarks/stragglers.py [--repeats R]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from asyncred.metrics import snr
from common import rate, reconstruct, simulate, table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tau", default="2", help="of the runs to the fixed point")
    parser.add_argument("--tol", default="2e-5", help="of the runs to the fixed point")
    parser.add_argument("--rates-only", action="store_true", help="no runs to the fixed point")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        problem = simulate(Path(folder) / "problem.h5", "--size", "240")
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
            rows.append(
                [method, f"{equal:.1f}", f"{unequal:.1f}", f"{unequal / equal:.2f}", quality]
            )
    head = ["method", "updates/s, equal", "updates/s, one 4x slower", "kept", "final SNR, dB"]
    print(table(head, rows))


main()
