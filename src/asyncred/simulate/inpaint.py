"""Inpainting with a known truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from asyncred.files import check_writable
from asyncred.operators.mask import hide
from asyncred.problem import write_mask
from asyncred.simulate.noise import noisy
from asyncred.simulate.truth import load_truth


def simulate_inpaint(
    path: Path,
    *,
    image: str,
    size: int | None,
    block: int,
    share: float,
    noise: float,
    seed: int,
    overwrite: bool,
) -> str:
    """Write an inpainting problem; what was written, in a line. Raises ValueError on bad arguments.

    Each pixel is measured with the probability ``share``, with noise of this standard deviation in
    units of 1/255.
    """
    check_writable(path, overwrite=overwrite)
    truth = load_truth(image, size, block)
    rng = np.random.default_rng(seed)
    mask = rng.random(truth.shape) < share
    if not mask.any():
        raise ValueError(f"--share is {share:g}: no pixel of {truth.size} was drawn, expected more")
    y = hide(noisy(truth, noise, rng), mask)
    write_mask(path, truth, y, block=(block, block), mask=mask)
    return (
        f"wrote {path}: {truth.shape[0]}x{truth.shape[1]} image, blocks of {block}x{block}, "
        f"{mask.sum()} of {truth.size} pixels measured, noise of {noise:g}/255"
    )
