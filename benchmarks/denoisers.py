"""RED with every shipped denoiser on one problem: does it converge, where, how fast?

The demo problem: 240x240 pixels, 9 blocks of 80x80, 4356 of 6400 measurements a block at 30 dB.
Async-RED on two ranks, until ||G||^2 / ||G0||^2 is below --tol-distance. Then a window of a block,
D(x~), timed with one thread for all of them in turn.

    python benchmarks/denoisers.py [NAME|FILE ...] [--sigma 5] [--tau TAU] [--folder DIR]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from asyncred.denoisers.onnx import OnnxDenoiser
from asyncred.denoisers.shipped import find_model, model_names
from asyncred.metrics import snr
from common import rate, reconstruct, simulate, table

BLOCK = 80
REPEATS = 25


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("denoisers", nargs="*", metavar="NAME|FILE")
    parser.add_argument("--sigma", type=float, default=5.0, help="level of those that are told it")
    parser.add_argument("--tau", default="0.8")
    parser.add_argument("--tol-distance", default="1e-7")
    parser.add_argument("--epochs", default="1500")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    names = options.denoisers or [name for name in model_names() if fits(name, options.sigma)]
    milliseconds = times(names, options.sigma)
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        problem = simulate((options.folder or Path(temporary)) / "problem.h5", "--size", "240")
        for name in names:
            flags = [
                "--denoiser",
                name,
                "--update",
                "gradient",
                "--tau",
                options.tau,
                "--epochs",
                options.epochs,
            ]
            if find_model(name).conditional:
                flags += ["--sigma", str(options.sigma)]
            found = reconstruct(
                2, problem, *flags, "--tol-distance", options.tol_distance, "--report", "0.5"
            )
            rows.append(
                [
                    name,
                    f"{snr(found.truth, found.image):.3f}",
                    f"{found.column('distance')[-1]:.1e}",
                    f"{found.column('updates')[-1] / found.per_block.size:.0f}",
                    f"{found.column('seconds')[-1]:.0f}",
                    f"{rate(found):.1f}",
                    f"{milliseconds[name]:.2f}",
                ]
            )
            print(rows[-1], flush=True)
    head = ["denoiser", "SNR, dB", "G^2/G0^2", "epochs", "s", "updates/s", "window, ms"]
    print(table(head, rows))


def fits(name: str, sigma: float) -> bool:
    """Whether a shipped model is one for this noise level."""
    model = find_model(name)
    if model.conditional:
        low, high = model.sigma_range or (0.0, 1.0)
        return low <= sigma / 255 <= high
    return model.sigma is not None and abs(255 * model.sigma - sigma) < 0.5


def times(names: list[str], sigma: float) -> dict[str, float]:
    """Milliseconds of a window of a block in the middle, medians, one thread, taken in turn."""
    rng = np.random.default_rng(0)
    calls = {}
    for name in names:
        model = find_model(name)
        told = find_model(name, sigma=sigma) if model.conditional else model
        side = BLOCK + 2 * model.field.halo
        window = rng.random((side, side), dtype=np.float32)
        calls[name] = (OnnxDenoiser(told, threads=1), window)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(REPEATS):
        for name, (D, window) in calls.items():
            start = time.perf_counter()
            D(window)
            seconds[name].append(time.perf_counter() - start)
    return {name: 1e3 * float(np.median(values)) for name, values in seconds.items()}


main()
