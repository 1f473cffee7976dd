"""Compressive sensing, block-diagonal, with a known truth."""

from __future__ import annotations

from pathlib import Path

from asyncred.files import check_writable
from asyncred.problem import write_block_random
from asyncred.simulate.truth import load_truth


def simulate_cs(
    path: Path,
    *,
    image: str,
    size: int | None,
    block: int,
    ratio: float,
    noise_snr: float,
    seed: int,
    store_matrix: bool,
    overwrite: bool,
) -> str:
    """Write a block-diagonal compressive-sensing problem; what was written, in a line.

    Raises ValueError on bad arguments.
    """
    check_writable(path, overwrite=overwrite)
    truth = load_truth(image, size, block)
    m = max(1, round(ratio * block * block))
    write_block_random(
        path,
        truth,
        block=(block, block),
        m=m,
        noise_snr=noise_snr,
        seed=seed,
        store_matrix=store_matrix,
    )
    return (
        f"wrote {path}: {truth.shape[0]}x{truth.shape[1]} image, blocks of {block}x{block}, "
        f"{m} measurements each, noise at {noise_snr:g} dB"
    )


def simulate_demo(path: Path, *, overwrite: bool) -> str:
    """The problem of the paper's code on the shipped photograph; what was written, in a line.

    240x240 pixels, 9 blocks of 80x80, 4356 of 6400 measurements a block, 30 dB.
    """
    return simulate_cs(
        path,
        image="camera",
        size=240,
        block=80,
        ratio=4356 / 6400,
        noise_snr=30.0,
        seed=0,
        store_matrix=False,
        overwrite=overwrite,
    )
