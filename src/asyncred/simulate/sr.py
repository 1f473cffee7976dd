"""Superresolution with a known truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from asyncred.files import check_writable
from asyncred.operators.superresolution import subsample
from asyncred.problem import write_superresolution
from asyncred.simulate.blur import gaussian
from asyncred.simulate.noise import noisy
from asyncred.simulate.truth import load_truth


def simulate_sr(
    path: Path,
    *,
    image: str,
    size: int | None,
    block: int,
    factor: int,
    sigma: float,
    noise: float,
    seed: int,
    overwrite: bool,
) -> str:
    """Write a superresolution problem; what was written, in a line.

    Every ``factor``-th pixel, both ways, of the image blurred by a Gaussian of ``sigma`` pixels,
    with noise of this standard deviation in units of 1/255. Raises ValueError on bad arguments.
    """
    check_writable(path, overwrite=overwrite)
    truth = load_truth(image, size, block)
    if block % factor:
        raise ValueError(f"--block is {block}, expected a multiple of the factor {factor}")
    kernel = gaussian(sigma)
    y = noisy(subsample(truth, kernel, factor), noise, np.random.default_rng(seed))
    write_superresolution(path, truth, y, block=(block, block), kernel=kernel, factor=factor)
    return (
        f"wrote {path}: {truth.shape[0]}x{truth.shape[1]} image, blocks of {block}x{block}, "
        f"{y.shape[0]}x{y.shape[1]} measured after a Gaussian of {sigma:g} pixels, "
        f"noise of {noise:g}/255"
    )
