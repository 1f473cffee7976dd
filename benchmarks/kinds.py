"""What a denoiser does for every kind of problem: the start, total variation and a network.

Everything by `simulate` and `run` alone, Async-RED on two ranks. The photograph at 240x240 in 9
blocks, but for tomography: the CT head that pydicom ships, 512x512 in 16 blocks.

    python benchmarks/kinds.py [KIND ...] [--folder DIR]
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

from asyncred.metrics import snr
from common import head_slice, reconstruct, simulate, table

PHOTOGRAPH = ("--size", "240")
NOISY = "1e4"
"""Photons a bin."""


@dataclass(frozen=True)
class Case:
    """A problem, and the denoisers with their best tau."""

    kind: str
    what: str
    flags: tuple[str, ...]
    tv: tuple[str, ...]
    network: tuple[str, ...]
    epochs: int = 400


TV = ("--denoiser", "tv", "--sigma", "5")
CASES = [
    Case(
        "cs", "4356 of 6400 a block, 30 dB", PHOTOGRAPH, (*TV, "--tau", "0.8"), ("fast-s5", "0.8")
    ),
    Case(
        "ct",
        f"90 views, {NOISY} photons",
        ("--block", "128", "--views", "90", "--photons", NOISY),
        (*TV, "--tau", "0.1"),
        ("fast-s5", "0.2"),
    ),
    Case(
        "fan",
        f"180 views, {NOISY} photons",
        (*PHOTOGRAPH, "--photons", NOISY),
        (*TV, "--tau", "0.1"),
        ("fast-s5", "0.2"),
    ),
    Case(
        "mri",
        "8 coils, one column in 4, 30 dB",
        PHOTOGRAPH,
        (*TV, "--tau", "0.1"),
        ("fast-s5", "0.2"),
        epochs=800,
    ),
    Case("blur", "Gaussian of 1.6, 2/255", PHOTOGRAPH, (*TV, "--tau", "0.02"), ("fast-s5", "0.1")),
    Case("inpaint", "30 % measured, 5/255", PHOTOGRAPH, (*TV, "--tau", "0.1"), ("fast-s5", "0.5")),
    Case("sr", "factor 2, 2/255", PHOTOGRAPH, (*TV, "--tau", "0.05"), ("fast-s5", "0.05")),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "kinds", nargs="*", metavar="KIND", help="cs ct fan mri blur inpaint sr (all)"
    )
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        for case in CASES:
            if not options.kinds or case.kind in options.kinds:
                rows.append(row(case, folder))
                print(rows[-1], flush=True)
    head = ["kind", "measured", "start", "SNR of it, dB", "TV, dB", "network, dB", "which, tau"]
    print(table([*head, "step of an epoch"], rows))


def row(case: Case, folder: Path) -> list[str]:
    image = ("--image", head_slice(folder)) if case.kind == "ct" else ()
    problem = simulate(folder / f"{case.kind}.h5", *image, *case.flags, kind=case.kind)
    name, tau = case.network
    common = ("--epochs", str(case.epochs))
    tv = reconstruct(2, problem, *common, *case.tv)
    network = reconstruct(2, problem, *common, "--denoiser", name, "--tau", tau)
    return [
        case.kind,
        case.what,
        network.provenance["parameters"]["start"],
        f"{snr(network.truth, network.start):.2f}",
        f"{snr(tv.truth, tv.image):.2f}",
        f"{snr(network.truth, network.image):.2f}",
        f"{name}, {tau}",
        f"{network.column('step')[-1]:.0e}",
    ]


main()
