"""Inpainting with a known truth."""

from __future__ import annotations

import numpy as np

from asyncred.commands.simulate.noise import noisy
from asyncred.commands.simulate.truth import Scene
from asyncred.files.problem import write_mask
from asyncred.operators.mask import hide


def simulate_inpaint(
    scene: Scene,
    *,
    share: float,
    noise: float,
) -> str:
    """Write an inpainting problem; what was written, in a line. Raises ValueError on bad arguments.

    Each pixel is measured with the probability ``share``, with noise of this standard deviation in
    units of 1/255.
    """
    truth = scene.truth()
    rng = np.random.default_rng(scene.seed)
    mask = rng.random(truth.shape) < share
    if not mask.any():
        raise ValueError(f"--share is {share:g}: no pixel of {truth.size} was drawn, expected more")
    y = hide(noisy(truth, noise, rng), mask)
    write_mask(scene.path, truth, y, block=scene.blocks, mask=mask)
    return scene.written(
        truth.shape,
        f"{mask.sum()} of {truth.size} pixels measured, noise of {noise:g}/255",
    )
