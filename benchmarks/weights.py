"""The weight tau that a run takes by itself, against smaller and larger ones, at several noises.

For each kind of problem, noise and picture: the default tau, and the SNR with it and with multiples
of it. A default is good where the median over the pictures is near the best for every noise, and a
quarter of it is far worse than four times it: too little weight leaves all the noise.

    pip install asyncred[mpich,card]
    python benchmarks/weights.py [--kinds KIND ...] [--pictures NAME ...] [--size PIXELS]
                                 [--factors F ...] [-- FLAGS OF asyncred run]
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asyncred.files.result import read_result
from common import ASYNCRED, gray_picture, simulate, table

NOISES = {
    "ct": ("--photons", 1e5, 1e4, 1e3),
    "fan": ("--photons", 1e5, 1e4, 1e3),
    "mri": ("--noise-snr", 30, 20, 10),
    "blur": ("--noise", 2, 6, 18),
    "sr": ("--noise", 2, 6, 18),
    "inpaint": ("--noise", 5, 15, 45),
}
"""Of a kind: the flag of asyncred simulate, and its values."""
PICTURES = ("astronaut", "coffee", "chelsea", "page", "brick")


@dataclass(frozen=True)
class Run:
    """What came of one."""

    tau: float
    snr: float
    """dB."""
    verdict: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", default=NOISES, choices=NOISES)
    parser.add_argument("--pictures", nargs="+", default=PICTURES, choices=PICTURES)
    parser.add_argument("--size", type=int, default=128, help="longer side of the pictures")
    parser.add_argument("--factors", type=float, nargs="+", default=[0.25, 0.5, 2.0, 4.0])
    parser.add_argument("flags", nargs="*", help="of asyncred run, after --")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        pictures = [gray_picture(name, options.size, Path(folder)) for name in options.pictures]
        for kind in options.kinds:
            flag, *noises = NOISES[kind]
            for noise in noises:
                problems = [
                    simulate(
                        picture.with_suffix(".h5"),
                        *("--image", picture, flag, noise, "--block", options.size // 2),
                        kind=kind,
                    )
                    for picture in pictures
                ]
                rows.append([kind, f"{flag} {noise:g}", *cells(problems, options)])
                print(" ".join(rows[-1]), flush=True)
    gains = [f"{factor:g} tau" for factor in options.factors]
    print(table(["kind", "noise", "tau", "SNR, dB", *gains, "converged"], rows))


def cells(problems: list[Path], options: argparse.Namespace) -> list[str]:
    """The default tau and its median SNR, and how much other factors add to that, median."""
    with ThreadPoolExecutor(2) as pool:
        own = list(pool.map(lambda problem: run(problem, None, options.flags), problems))
        found = {
            factor: list(
                pool.map(
                    lambda p, base, factor=factor: run(p, factor * base.tau, options.flags),
                    problems,
                    own,
                )
            )
            for factor in options.factors
        }
    snr = float(np.median([one.snr for one in own]))
    gains = [
        f"{np.median([one.snr - base.snr for one, base in zip(runs, own, strict=True)]):+.2f}"
        for runs in found.values()
    ]
    converged = sum(one.verdict == "converged" for one in own)
    taus = [one.tau for one in own]
    return [
        f"{min(taus):.2g} to {max(taus):.2g}",
        f"{snr:.2f}",
        *gains,
        f"{converged} of {len(own)}",
    ]


def run(problem: Path, tau: float | None, flags: list[str]) -> Run:
    """One with some tau, or with the default."""
    output = problem.with_name(f"{problem.stem}-result.h5")
    command = [*ASYNCRED, "run", problem, "-o", output, "--overwrite", "--threads", 1, *flags]
    command += [] if tau is None else ["--tau", f"{tau:g}"]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode not in (0, 4):
        raise SystemExit(f"{command}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    found = read_result(output)
    assert found.truth is not None
    error = np.linalg.norm(found.truth - found.image)
    snr = float(20 * np.log10(np.linalg.norm(found.truth) / error))
    return Run(found.provenance["parameters"]["tau"], snr, found.provenance["verdict"])


if __name__ == "__main__":
    main()
