"""Superresolution with a known truth."""

from __future__ import annotations

import numpy as np

from asyncred.commands.simulate.blur import gaussian
from asyncred.commands.simulate.noise import noisy
from asyncred.commands.simulate.truth import Scene
from asyncred.files.problem import write_superresolution
from asyncred.operators.superresolution import subsample


def simulate_sr(
    scene: Scene,
    *,
    factor: int,
    sigma: float,
    noise: float,
) -> str:
    """Write a superresolution problem; what was written, in a line.

    Every ``factor``-th pixel, both ways, of the image blurred by a Gaussian of ``sigma`` pixels,
    with noise of this standard deviation in units of 1/255. Raises ValueError on bad arguments.
    """
    truth = scene.truth()
    if scene.block % factor:
        raise ValueError(f"--block is {scene.block}, expected a multiple of the factor {factor}")
    kernel = gaussian(sigma)
    y = noisy(subsample(truth, kernel, factor), noise, np.random.default_rng(scene.seed))
    write_superresolution(scene.path, truth, y, block=scene.blocks, kernel=kernel, factor=factor)
    return scene.written(
        truth.shape,
        f"{y.shape[0]}x{y.shape[1]} measured after a Gaussian of {sigma:g} pixels, "
        f"noise of {noise:g}/255",
    )
