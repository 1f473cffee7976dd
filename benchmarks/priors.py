"""What the default denoiser of a kind costs, beside fast-s5: updates a second, and the way to x*.

The photograph at 256 pixels in blocks of 64, one rank, one thread; runs of both denoisers in turn,
medians. x* is the end of a run with a tolerance of 1e-6. A run is there when it is 2e-3 from it: to
follow that it is told x* for its truth.

    python benchmarks/priors.py [--kinds KIND ...] [--repeats 3]
"""

from __future__ import annotations

import argparse
import math
import shutil
import tempfile
from pathlib import Path

import numpy as np

import h5py

from asyncred.metrics import snr
from common import rate, reconstruct, simulate, table

KINDS = ("ct", "mri", "blur", "inpaint", "sr", "cs")
DENOISERS = {"default": (), "fast-s5": ("--denoiser", "fast-s5", "--draft", "none")}
DISTANCE = 2e-3
ONE = ("--threads", "1", "--report", "0.05")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for kind in options.kinds:
            path = Path(folder) / f"{kind}.h5"
            problem = simulate(path, "--size", "256", "--block", "64", kind=kind)
            rates: dict[str, list[float]] = {name: [] for name in DENOISERS}
            for _ in range(options.repeats):
                for name, flags in DENOISERS.items():
                    found = reconstruct(1, problem, *ONE, *flags, "--epochs", "6")
                    rates[name].append(rate(found))
            for name, flags in DENOISERS.items():
                updates = f"{np.median(rates[name]):.1f}"
                rows.append([kind, name, updates, *way(problem, flags)])
                print(*rows[-1], flush=True)
    head = [
        "kind",
        "denoiser",
        "updates/s",
        "epochs to 2e-3 of x*",
        "s",
        "verdict",
        "SNR of x*, dB",
    ]
    print(table(head, rows))


def way(problem: Path, flags: tuple[str, ...]) -> list[str]:
    """Epochs and seconds to x*, what the run to x* says of itself, and its SNR."""
    star = reconstruct(1, problem, *flags, "--threads", "1", "--tol", "1e-6", "--epochs", "1000")
    assert star.truth is not None
    verdict, quality = star.provenance["verdict"], f"{snr(star.truth, star.image):.2f}"
    told = problem.with_name("told.h5")
    shutil.copy(problem, told)
    with h5py.File(told, "a") as file:
        file["truth"][...] = star.image
    found = reconstruct(1, told, *ONE, *flags, "--epochs", "400")
    reached = np.flatnonzero(found.column("snr") >= -20 * math.log10(DISTANCE))
    if not reached.size:
        return ["", "", verdict, quality]
    at = reached[0]
    epochs = found.column("updates")[at] / found.per_block.size
    return [f"{epochs:.0f}", f"{found.column('seconds')[at]:.1f}", verdict, quality]


if __name__ == "__main__":
    main()
