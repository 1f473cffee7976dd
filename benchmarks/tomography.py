"""Tomography by every method, with minibatches of views, and the drift of the residual.

The CT head that pydicom ships, 512x512 in 16 blocks of 128x128, 90 views, 1e4 photons a bin. x* is
the end of a long run of GM-RED with total variation. Then the paper's size with a network: 800x800
in 16 blocks of 200x200, 180 views.

    python benchmarks/tomography.py [--folder DIR] [--epochs E]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from asyncred.files.result import Result
from asyncred.metrics import snr
from common import apart, head_slice, rate, reconstruct, simulate, table

METHODS = [
    ("BC-RED", 1, ("--method", "bc")),
    *(("Sync-RED", n, ("--method", "sync")) for n in (2, 4)),
    *(("Async-RED-BG", n, ("--method", "async")) for n in (1, 2, 4)),
]
UPDATES = 1000
"""After which the residual's drift is measured."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--epochs", default="300")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        common = ("--denoiser", "tv", "--sigma", "5", "--tau", "0.1")
        flags = ("--image", head_slice(folder), "--block", "128", "--views", "90")
        problem = simulate(folder / "head.h5", *flags, "--photons", "1e4", kind="ct")
        methods(problem, common, options.epochs)
        drift(problem, common)
        paper(folder, ("--denoiser", "fast-s5", "--tau", "0.2"))


def methods(problem: Path, common: tuple[str, ...], epochs: str) -> None:
    """The same fixed point by every method?"""
    star = reconstruct(1, problem, *common, "--method", "gm", "--epochs", epochs)
    rows = [row("GM-RED", 1, star, star)]
    for name, ranks, flags in METHODS:
        found = reconstruct(ranks, problem, *common, "--epochs", epochs, *flags)
        rows.append(row(name, ranks, found, star))
        print(rows[-1], flush=True)
    for w, decay in ((30, "100"), (10, "30")):
        flags = ("--minibatch", str(w), "--decay", decay, "--epochs", epochs)
        found = reconstruct(2, problem, *common, *flags)
        rows.append(row(f"Async-RED-SG, {w} of 90 views", 2, found, star))
        print(rows[-1], flush=True)
    head = ["method", "ranks", "SNR, dB (start)", "x - x*, relative", "step of an epoch"]
    print(table([*head, "updates/s", "drift of r"], rows), flush=True)


def row(name: str, ranks: int, found: Result, star: Result) -> list[str]:
    distance = apart(found, star)
    before, after = (snr(found.truth, image) for image in (found.start, found.image))
    return [
        name,
        str(ranks),
        f"{after:.3f} ({before:.2f})",
        f"{distance:.1e}",
        f"{found.column('step')[-1]:.1e}",
        f"{rate(found):.1f}",
        f"{max(found.provenance['residual_drift']):.1e}",
    ]


def drift(problem: Path, common: tuple[str, ...]) -> None:
    """How far r is from A x - y, relative to y, after so many updates on four ranks."""
    blocks, rows = 16, []
    for every in (0, 500, 100):
        flags = ("--updates", str(UPDATES), "--refresh", str(every / blocks))
        found = reconstruct(4, problem, *common, *flags)
        drifts = found.provenance["residual_drift"]
        rows.append([every or "never", len(drifts), f"{max(drifts):.1e}"])
    print(table(["updates between renewals", "renewals", "largest drift of r"], rows), flush=True)


def paper(folder: Path, common: tuple[str, ...]) -> None:
    """The size of the paper's experiment."""
    problem, picture = folder / "paper.h5", folder / "paper.npy"
    side = np.linspace(-1, 1, 800)
    rings = 0.5 + 0.4 * np.cos(40 * np.hypot(side[:, None], side) ** 2)
    disc = np.hypot(side[:, None], side) < 0.9
    np.save(picture, np.where(disc, rings, 0).astype(np.float32))
    flags = ("--image", picture, "--block", "200", "--views", "180")
    simulate(problem, *flags, kind="ct")
    rows = []
    for ranks in (1, 2):
        found = reconstruct(ranks, problem, *common, "--epochs", "20", "--threads", "1")
        before, after = (snr(found.truth, image) for image in (found.start, found.image))
        share = 1000 * found.timing[:, :3].sum(axis=0) / found.column("updates")[-1]
        parts = [f"{share[1]:.1f}", f"{share[2]:.1f}", f"{100 * found.timing[:, -1].max():.1f} %"]
        rows.append([ranks, f"{rate(found):.1f}", *parts, f"{before:.2f}", f"{after:.2f}"])
    head = ["ranks", "updates/s", "denoiser, ms", "data term, ms", "rest"]
    print(table([*head, "FBP, dB", "after 20 epochs, dB"], rows))


main()
