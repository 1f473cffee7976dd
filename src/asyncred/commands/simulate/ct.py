"""Tomography with a known truth."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from asyncred.commands.simulate.truth import Scene
from asyncred.files.problem import write_parallel_beam
from asyncred.grid import BlockGrid
from asyncred.operators import ParallelBeam
from asyncred.operators.line_integrals import LineIntegrals

Numbers = NDArray[np.float64]


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
    y, pixel = counted(scene, unfolded(A, truth), photons=photons, attenuation=attenuation)
    write_parallel_beam(
        scene.path,
        truth,
        y,
        block=scene.blocks,
        angles=angles,
        pixel=pixel,
    )
    return scene.written(
        truth.shape,
        f"{views} views of {bins} bins, {photons:g} photons a bin",
    )


def unfolded(A: LineIntegrals, x: NDArray[np.float32]) -> Numbers:
    """A x of a whole image on all bins [views, bins]; A has one block."""
    first, integrals = A.footprint(0).first, A.forward(0, x, None)
    exact = np.zeros((A.groups, A.length))
    for v in range(A.groups):
        exact[v, first[v] : first[v] + integrals.shape[1]] = integrals[v]
    return exact


def counted(
    scene: Scene, exact: Numbers, *, photons: float, attenuation: float
) -> tuple[NDArray[np.float32], float]:
    """y as it is measured where A x is ``exact`` for pixels of 1, and the side of a pixel."""
    pixel = attenuation / exact.max() if exact.max() > 0 else 1.0
    counts = np.random.default_rng(scene.seed).poisson(photons * np.exp(-pixel * exact))
    y = -np.log(np.maximum(counts, 1) / photons)
    return y.astype(np.float32), float(pixel)
