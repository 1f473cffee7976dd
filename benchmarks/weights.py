"""The weight tau of every kind of problem, and which denoiser is its default: by five pictures.

For each kind and denoiser tau goes up and down by factors of two from the kind's default, until the
median SNR over five pictures falls on both sides. A denoiser that diverges on any of them is no
default. Runs are kept in a file as they come, and not made again.

    pip install asyncred[mpich,card]
    python benchmarks/weights.py [--kinds KIND ...] [--denoisers NAME[:SIGMA] ...] [--size PIXELS]
                                 [--kept runs.csv]
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
from PIL import Image as pillow

from asyncred.files.result import read_result
from common import ASYNCRED, simulate, table

KINDS = ("cs", "ct", "fan", "mri", "blur", "inpaint", "sr")
PICTURES = ("astronaut", "coffee", "chelsea", "page", "brick")
DENOISERS = ("fast-s5", "fast-s10", "quality:5", "quality:10", "nonexpansive:5", "nonexpansive:10")
FIRST = {
    "cs": 0.4,
    "ct": 0.0125,
    "fan": 0.00625,
    "mri": 0.1,
    "blur": 0.025,
    "inpaint": 0.125,
    "sr": 0.025,
}
"""tau to begin with."""
WIDEST = 6
"""Factors of two that the search goes, up or down."""


@dataclass(frozen=True)
class Run:
    """One run, and what came of it."""

    kind: str
    denoiser: str
    tau: float
    picture: str
    verdict: str
    epochs: float
    snr: float
    best: float
    seconds: float


class Runs:
    """All that were made, in a file."""

    def __init__(self, kept: Path, folder: Path, size: int) -> None:
        self._kept, self._folder, self._size = kept, folder, size
        self._problems: dict[tuple[str, str], Path] = {}
        self._found: dict[tuple[str, ...], Run] = {}
        if kept.exists():
            with kept.open(newline="") as file:
                for row in csv.DictReader(file):
                    words = [row[field.name] for field in fields(Run)]
                    figures = [float(words[k]) for k in (2, 5, 6, 7, 8)]
                    tau, epochs, *rest = figures
                    self._keep(Run(*words[:2], tau, *words[3:5], epochs, *rest))

    def of(self, kind: str, denoiser: str, tau: float) -> list[Run]:
        """Those of all pictures."""
        missing = [p for p in PICTURES if (kind, denoiser, f"{tau:g}", p) not in self._found]
        for picture in missing:
            self._problem(kind, picture)
        with ThreadPoolExecutor(2) as pool:
            for run in pool.map(lambda p: self._run(kind, denoiser, tau, p), missing):
                self._keep(run)
                self._append(run)
        return [self._found[kind, denoiser, f"{tau:g}", p] for p in PICTURES]

    def _keep(self, run: Run) -> None:
        self._found[run.kind, run.denoiser, f"{run.tau:g}", run.picture] = run

    def _append(self, run: Run) -> None:
        new = not self._kept.exists()
        with self._kept.open("a", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow([field.name for field in fields(Run)])
            writer.writerow(astuple(run))

    def _problem(self, kind: str, picture: str) -> Path:
        if (kind, picture) not in self._problems:
            image = self._folder / f"{picture}.png"
            if not image.exists():
                from skimage import data

                gray = pillow.fromarray(getattr(data, picture)()).convert("L")
                scale = self._size / max(gray.size)
                size = [round(scale * side) for side in gray.size]
                gray.resize(size, pillow.Resampling.LANCZOS).save(image)
            path = self._folder / f"{kind}-{picture}.h5"
            self._problems[kind, picture] = simulate(
                path, "--image", image, "--block", "64", kind=kind
            )
        return self._problems[kind, picture]

    def _run(self, kind: str, denoiser: str, tau: float, picture: str) -> Run:
        name, _, sigma = denoiser.partition(":")
        output = self._folder / f"result-{picture}.h5"
        problem = self._problem(kind, picture)
        command = [*ASYNCRED, "run", problem, "-o", output, "--overwrite", "--denoiser", name]
        command += ["--tau", f"{tau:g}", "--threads", 1, "--draft", "none", "--report", 0.5]
        command += ["--epochs", 150, "--tol", 3e-4]
        command += ["--sigma", sigma] if sigma else []
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
        if done.returncode not in (0, 4):
            raise SystemExit(f"{command}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        found = read_result(output)
        assert found.truth is not None
        error = np.linalg.norm(found.truth - found.image)
        last = float(20 * np.log10(np.linalg.norm(found.truth) / error))
        seconds, epochs = found.column("seconds")[-1], found.column("updates")[-1]
        epochs /= found.per_block.size
        best = max(last, float(np.nanmax(found.column("snr"))))
        verdict = found.provenance["verdict"]
        return Run(kind, denoiser, tau, picture, verdict, epochs, last, best, seconds)


def search(runs: Runs, kind: str, denoiser: str) -> dict[float, list[Run]]:
    """Runs by tau, those with the best median and its neighbours on both sides among them."""
    first = FIRST[kind]
    tried = {k: runs.of(kind, denoiser, first * 2.0**k) for k in (0, -1, 1)}
    while True:
        best = max(tried, key=lambda k: median(tried[k]))
        missing = [k for k in (best - 1, best + 1) if k not in tried and abs(k) <= WIDEST]
        if not missing:
            return {first * 2.0**k: tried[k] for k in sorted(tried)}
        tried |= {k: runs.of(kind, denoiser, first * 2.0**k) for k in missing}


def median(runs: list[Run]) -> float:
    """SNR in dB."""
    return float(np.median([run.snr for run in runs]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--denoisers", nargs="+", default=DENOISERS)
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--kept", type=Path, default=Path("weights.csv"))
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(options.kept, Path(folder), options.size)
        for kind in options.kinds:
            for denoiser in options.denoisers:
                found = search(runs, kind, denoiser)
                tau = max(found, key=lambda t: median(found[t]))
                rows.append([kind, denoiser, f"{tau:g}", *cells(found, tau)])
                print(" ".join(rows[-1]), flush=True)
    head = ["kind", "denoiser", "tau", "SNR, dB: median", "of each", "at tau/2", "at 2 tau"]
    print(table([*head, "epochs", "converged", "diverged", "s"], rows))


def cells(found: dict[float, list[Run]], tau: float) -> list[str]:
    """What is said of the best tau."""
    runs = found[tau]
    beside = [found.get(tau * factor) for factor in (0.5, 2)]
    return [
        f"{median(runs):.2f}",
        " / ".join(f"{run.snr:.2f}" for run in runs),
        *("" if some is None else f"{median(some):.2f}" for some in beside),
        f"{np.median([run.epochs for run in runs]):.0f}",
        *(str(sum(run.verdict == v for run in runs)) for v in ("converged", "diverged")),
        f"{np.median([run.seconds for run in runs]):.1f}",
    ]


if __name__ == "__main__":
    main()
