"""What a denoiser with a potential promises, on every kind of problem: descent to one stationary x.

For each kind, on a picture of 128 pixels:

- the objective F(x) = f(x) + tau p(x), computed anew from x after 1, 2, ... epochs of one rank: its
  largest rise from one epoch to the next, over all that it falls
- the same of the column ``objective`` of the history, where each block has the share of its last
  update, at 1 and 4 ranks
- how far the ends of the gradient's and the proximal update at 1 and 4 ranks are from each other,
  relatively, by a tolerance of 1e-6
- a step ten times too long: the highest F, the last, the least of the other runs, and by how much
  the guard has shortened the step

    python benchmarks/descent.py [--denoiser potential] [--sigma 5] [--kinds KIND ...]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from asyncred.files.result import Result
from common import reconstruct, simulate, table

KINDS = ("cs", "ct", "mri", "blur", "inpaint", "sr")
EPOCHS = 16
"""After each of which F is computed anew."""
TIGHT = ["--tol", "1e-6", "--epochs", "3000"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--denoiser", default="potential")
    parser.add_argument("--sigma", default="5")
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    options = parser.parse_args()
    prior = ["--denoiser", options.denoiser, "--sigma", options.sigma]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for kind in options.kinds:
            flags = ["--image", "camera", "--size", "128", "--block", "32"]
            problem = simulate(Path(folder) / f"{kind}.h5", *flags, kind=kind)
            rows.append([kind, *descent(problem, prior), *ends(problem, prior)])
            print(" ".join(rows[-1]), flush=True)
    head = ["kind", "rise of F", "of its column, 1 rank", "4 ranks", "gradient, 1 rank", "4 ranks"]
    head += ["proximal, 4 ranks", "too long: highest F", "last", "least F", "step shortened to"]
    print(table(head, rows))


def descent(problem: Path, prior: list[str]) -> list[str]:
    """The largest rises of F, over all that it falls."""
    exact = []
    for epochs in range(1, EPOCHS + 1):
        found = reconstruct(1, problem, *prior, "--epochs", str(epochs), "--report", "1000")
        exact.append(objective(problem, found, prior))
    columns = [
        reconstruct(ranks, problem, *prior, "--report", "0.001").column("objective")
        for ranks in (1, 4)
    ]
    return [f"{rise(F):.0e}" for F in (exact, *columns)]


def objective(problem: Path, found: Result, prior: list[str]) -> float:
    """F of an x: what a gradient step of the whole image says, too short to move it."""
    start = found.path.rename(problem.with_name("x.h5"))
    still = ["--start", str(start), "--method", "gm", "--step", "1e-9", "--bounds", "none"]
    updates = ["--updates", str(found.per_block.size)]
    return float(reconstruct(1, problem, *prior, *still, *updates).column("objective")[-1])


def rise(F: Sequence[float]) -> float:
    """The largest from one to the next, over all that it falls."""
    steps = np.diff(F)
    return float(max(steps.max(), 0) / (F[0] - min(F)))


def ends(problem: Path, prior: list[str]) -> list[str]:
    """Where other runs end, and what becomes of a step that is too long."""
    star = reconstruct(1, problem, *prior, *TIGHT)
    distances = []
    for ranks, update in ((1, "gradient"), (4, "gradient"), (4, "proximal")):
        found = reconstruct(ranks, problem, *prior, *TIGHT, "--update", update)
        difference = np.linalg.norm(found.image - star.image)
        distances.append(f"{difference / np.linalg.norm(star.image):.0e}")
    mu = star.provenance["parameters"]["mu"]
    flags = ["--mu", f"{mu / 10:g}", "--report", "0.001"]
    bold = reconstruct(1, problem, *prior, *flags)
    F, least = bold.column("objective"), star.column("objective")[-1]
    relaxed = bold.provenance["relaxation"]
    return [*distances, *(f"{value:.4g}" for value in (max(F), F[-1], least)), f"{relaxed:g}"]


if __name__ == "__main__":
    main()
