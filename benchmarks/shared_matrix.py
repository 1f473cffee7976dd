"""Twelve images that share A: seconds an image, everything counted, and how near each is to x*.

240x240 pixels, 9 blocks of 80x80, 4356 of 6400 measurements a block at 30 dB, tau 0.8: four of
scikit-image's photographs, three ways round. One job on two ranks that share every image and take
each other's blocks, from its start to the result file: with inner steps, with factors that are made
first, and with these at hand. x* of an image is a run of 100 epochs of its own.

    pip install scikit-image pooch
    python benchmarks/shared_matrix.py [--repeats 3]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

import h5py

from asyncred.files.result import read_result
from asyncred.metrics import snr
from common import ASYNCRED, apart, mpirun, photograph, simulate, table, timed

NAMES, WAYS = ("camera", "coffee", "chelsea", "astronaut"), 3
TOGETHER = ("--ranks-per-image", "2", "--steal", "on")
INNER_EPOCHS, FACTORED_EPOCHS = "8", "9"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        problem = stack(folder)
        run(problem, folder / "star.h5", "--factors", folder / "star-factors.h5", "--epochs", "100")
        for precision in ("single", "half"):
            factors = folder / f"{precision}.h5"
            kept = ("--matrix", precision, "--epochs")
            factored = (*kept, FACTORED_EPOCHS, "--factors", factors)
            ways = {
                "inner steps": (*kept, INNER_EPOCHS),
                "factors made too": factored,
                "factors at hand": factored,
            }
            for words, flags in ways.items():
                seconds = []
                for _ in range(options.repeats):
                    if words == "factors made too":
                        factors.unlink(missing_ok=True)
                    seconds.append(run(problem, folder / "r.h5", *flags))
                rows.append(row(f"A in {precision} precision, {words}", seconds, folder))
                print(rows[-1], flush=True)
    head = ["12 images on two ranks", "s", "s an image", "x - x*, relative, at most"]
    print(table([*head, "SNR - that of x*, dB, at most"], rows))


def row(words: str, seconds: list[float], folder: Path) -> list[str]:
    """The median time of some runs, and how far the images of the last one are from x*."""
    images, median = len(NAMES) * WAYS, float(np.median(seconds))
    compared = [compare(folder / "r.h5", folder / "star.h5", k) for k in range(images)]
    distance, difference = np.max(compared, axis=0)
    return [
        words,
        f"{median:.1f}",
        f"{median / images:.2f}",
        f"{distance:.1e}",
        f"{difference:.3f}",
    ]


def stack(folder: Path) -> Path:
    """The problem: y and truth of all images, A from the same seed."""
    path, y, truth = folder / "stack.h5", [], []
    for name in NAMES:
        picture = np.load(photograph(name, folder / f"{name}.npy"))
        for way in range(WAYS):
            np.save(folder / "turned.npy", np.rot90(picture, way).copy())
            single = simulate(folder / "one.h5", "--image", folder / "turned.npy")
            with h5py.File(single) as file:
                y.append(file["measurements/y"][()])
                truth.append(file["truth"][()])
    with h5py.File(single) as source, h5py.File(path, "w") as file:
        for name in ("image", "operator"):
            source.copy(name, file)
        file.attrs.update(source.attrs)
        file["measurements/y"], file["truth"] = np.array(y), np.array(truth)
    return path


def run(problem: Path, output: Path, *flags: str | Path) -> float:
    """Seconds of a job, from start to result."""
    job = (*ASYNCRED, "run", problem, "-o", output, "--overwrite", "--threads", "1")
    return timed((mpirun(), "-n", "2", *job, *TOGETHER, *flags), threads=1)[0]


def compare(found: Path, star: Path, row: int) -> tuple[float, float]:
    """Relative distance to x*, and the difference in SNR, of one image."""
    x, x_star = read_result(found, row), read_result(star, row)
    return apart(x, x_star), abs(snr(x.truth, x.image) - snr(x.truth, x_star.image))


main()
