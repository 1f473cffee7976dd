"""Every kind of problem on pictures nobody tuned for, all defaults: what each run says of itself.

The photographs are scikit-image's, gray, their longer side scaled to 256 to 383 pixels. Of every
run: its verdict, exit code, epochs and seconds, the SNR at the end and the best on the way, and how
far the largest value strays from the range 0 to 1. A run is wrong if it ends more than 0.5 dB below
its best without saying ``diverged``, or says ``converged`` far from x*, the end of a long run with
a hundredth of its tolerance (--stars, which takes long).

    pip install asyncred[mpich,card]
    python benchmarks/battery.py [--kinds KIND ...] [--pictures NAME ...] [--ranks N ...] [--stars]
                                 [-- FLAGS OF asyncred run]
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asyncred.files.result import Result, read_result
from common import ASYNCRED, gray_picture, mpirun, simulate, table

KINDS = ("cs", "ct", "mri", "blur", "inpaint", "sr")
PICTURES = {
    "camera": 256,
    "astronaut": 256,
    "coffee": 320,
    "chelsea": 299,
    "page": 383,
    "brick": 256,
}
"""Names in skimage.data, and what the longer side is scaled to."""

LOSS = 0.5
"""dB below the best on the way, at which an image is lost."""

FAR = 5e-3
"""Relative distance from x* at which a run has not converged."""

EPOCHS = 4000
"""Of a run to x*, at most."""


@dataclass(frozen=True)
class Run:
    """What came of one."""

    verdict: str
    code: int
    epochs: float
    seconds: float
    last: float
    """SNR of the result, dB."""
    best: float
    """Of all samples of the history, dB."""
    strays: float
    """The largest distance of a value of the result from 0 to 1."""
    distance: float
    """||x - x*|| / ||x*||; NaN where x* was not asked for."""

    @property
    def wrong(self) -> bool:
        """Whether it says what is not so."""
        lost = self.best - self.last > LOSS and self.verdict != "diverged"
        return lost or (self.verdict == "converged" and self.distance > FAR)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--pictures", nargs="+", default=list(PICTURES), choices=list(PICTURES))
    parser.add_argument("--ranks", nargs="+", type=int, default=[1, 2, 4])
    parser.add_argument("--stars", action="store_true", help="compare with x*, too")
    parser.add_argument("flags", nargs="*", help="of asyncred run, after --")
    options = parser.parse_args()
    rows, runs = [], []
    with tempfile.TemporaryDirectory() as folder:
        for kind in options.kinds:
            for name in options.pictures:
                problem = simulate(
                    Path(folder) / "problem.h5",
                    "--image",
                    gray_picture(name, PICTURES[name], Path(folder)),
                    kind=kind,
                )
                star = solve(problem, 1, STAR)[1] if options.stars else None
                for ranks in options.ranks:
                    runs.append(judged(problem, ranks, options.flags, star))
                    rows.append([kind, name, str(ranks), *words(runs[-1])])
                    print(" ".join(rows[-1]), flush=True)
    head = ["kind", "picture", "ranks", "verdict", "exit code", "epochs", "s", "SNR, dB"]
    print(table([*head, "best, dB", "strays", "x - x*, relative", "wrong"], rows))
    counts = {v: sum(run.verdict == v for run in runs) for v in ("converged", "diverged")}
    print(f"{len(runs)} runs: {counts}, {sum(run.wrong for run in runs)} wrong")


STAR = ["--tol", "1e-6", "--epochs", str(EPOCHS), "--draft", "none"]


def solve(problem: Path, ranks: int, flags: list[str]) -> tuple[int, Result]:
    """The exit code, which may be that of a run that diverged, and the result."""
    output = problem.with_name("result.h5")
    command = [
        mpirun(),
        "-n",
        ranks,
        *ASYNCRED,
        "run",
        problem,
        "-o",
        output,
        "--overwrite",
        *flags,
    ]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode not in (0, 4):
        raise SystemExit(f"{command}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.returncode, read_result(output)


def judged(problem: Path, ranks: int, flags: list[str], star: Result | None) -> Run:
    """One run."""
    code, found = solve(problem, ranks, ["--report", "0.2", *flags])
    x, snr = found.image, found.column("snr")
    magnitude = np.abs(x) if np.iscomplexobj(x) else x
    distance = np.nan
    if star is not None:
        distance = float(np.linalg.norm(x - star.image) / np.linalg.norm(star.image))
    assert found.truth is not None
    error = np.linalg.norm(found.truth - x)
    last = float(20 * np.log10(np.linalg.norm(found.truth) / error))
    return Run(
        found.provenance["verdict"],
        code,
        found.column("updates")[-1] / found.per_block.size,
        found.column("seconds")[-1],
        last,
        max(last, float(np.nanmax(snr))),
        float(max(magnitude.max() - 1, -magnitude.min(), 0)),
        distance,
    )


def words(run: Run) -> list[str]:
    """A run as cells of a table."""
    return [
        run.verdict,
        str(run.code),
        f"{run.epochs:.0f}",
        f"{run.seconds:.1f}",
        f"{run.last:.2f}",
        f"{run.best:.2f}",
        f"{run.strays:.2f}",
        "" if np.isnan(run.distance) else f"{run.distance:.1e}",
        "WRONG" if run.wrong else "",
    ]


if __name__ == "__main__":
    main()
