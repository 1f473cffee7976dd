"""Tomography with a known truth."""

from __future__ import annotations

import math

import numpy as np

from asyncred.commands.simulate.truth import Scene
from asyncred.files.problem import write_parallel_beam
from asyncred.grid import BlockGrid
from asyncred.operators import ParallelBeam


def simulate_ct(
    scene: Scene,
    *,
    views: int,
    photons: float,
    attenuation: float,
) -> str:
    """Write a tomography problem; what was written, in a line. Raises ValueError on bad arguments.

    ``views`` over 180 degrees, bins of one pixel that see the whole image; each bin counts
    Poisson-distributed photons, ``photons`` of them where nothing is in the way, and y is the
    logarithm of their loss. The image, 0 to 1, is scaled so that the strongest ray loses exp of
    ``attenuation``.
    """
    truth = scene.truth()
    angles = np.arange(views) * 180 / views
    bins = math.ceil(math.hypot(*truth.shape)) + 2
    A = ParallelBeam(BlockGrid(truth.shape, truth.shape), np.radians(angles), bins, threads=1)
    first, integrals = A.footprint(0).first, A.forward(0, truth, None)
    exact = np.zeros((views, bins))
    for v in range(views):
        exact[v, first[v] : first[v] + integrals.shape[1]] = integrals[v]
    pixel = attenuation / exact.max() if exact.max() > 0 else 1.0
    counts = np.random.default_rng(scene.seed).poisson(photons * np.exp(-pixel * exact))
    y = -np.log(np.maximum(counts, 1) / photons)
    write_parallel_beam(
        scene.path,
        truth,
        y.astype(np.float32),
        block=scene.blocks,
        angles=angles,
        pixel=float(pixel),
    )
    return scene.written(
        truth.shape,
        f"{views} views of {bins} bins, {photons:g} photons a bin",
    )
