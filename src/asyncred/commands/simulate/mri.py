"""Cartesian MRI with a known truth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asyncred.commands.simulate.truth import Scene
from asyncred.files.problem import write_cartesian_mri
from asyncred.grid import BlockGrid
from asyncred.operators import CartesianMri

PHASE = np.pi / 2
"""Largest phase of the image, in either direction."""

DISTANCE, WIDTH = 1.2, 0.9
"""Of the coils from the middle, and of their sensitivity, in half sides of the image."""

Complex = NDArray[np.complex64]


def simulate_mri(
    scene: Scene,
    *,
    coils: int,
    acceleration: float,
    center_fraction: float,
    noise_snr: float,
) -> str:
    """Write an MRI problem; what was written, in a line. Raises ValueError on bad arguments.

    The image is the magnitude of the truth, whose phase varies smoothly, by up to PHASE. One in
    ``acceleration`` columns of k-space is sampled: the central ones, ``center_fraction`` of all,
    and others at random. ``noise_snr`` is that of the samples, in dB.
    """
    rng = np.random.default_rng(scene.seed)
    magnitude = scene.truth()
    grid = BlockGrid(magnitude.shape, magnitude.shape)
    columns = random_columns(magnitude.shape[1], acceleration, center_fraction, rng)
    mask = np.broadcast_to(columns, magnitude.shape).copy()
    truth = (magnitude * np.exp(1j * smooth_phase(magnitude.shape, rng))).astype(np.complex64)
    s = smooth_coils(magnitude.shape, coils, rng)
    exact = CartesianMri(grid, mask, {0: s}, threads=1).forward(0, truth, None)
    noise = rng.standard_normal(exact.shape, np.float32)
    noise *= np.float32(np.linalg.norm(exact) / np.linalg.norm(noise) * 10 ** (-noise_snr / 20))
    y = np.zeros(s.shape, np.complex64)
    y[:, mask] = (exact + noise).view(np.complex64)
    write_cartesian_mri(scene.path, truth, y, block=scene.blocks, mask=mask, coils=s)
    return scene.written(
        truth.shape,
        f"{coils} coils, {columns.sum()} of {columns.size} columns of k-space, noise at "
        f"{noise_snr:g} dB",
    )


def random_columns(
    width: int, acceleration: float, center_fraction: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """width / acceleration columns of k-space, the central ones and others at random, bool [width].

    Raises ValueError where the central ones are more than all.
    """
    count, center = max(1, round(width / acceleration)), round(width * center_fraction)
    if center > count:
        raise ValueError(
            f"--center-fraction is {center_fraction:g}, expected at most {1 / acceleration:g} "
            "(1 / acceleration)"
        )
    mask = np.zeros(width, bool)
    first = width // 2 - center // 2
    mask[first : first + center] = True
    mask[rng.choice(np.flatnonzero(~mask), count - center, replace=False)] = True
    return mask


def smooth_phase(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64]:
    """A random quadratic function of the place, in radians; PHASE where it is largest."""
    y, x = _places(shape)
    terms = (x, y, x * x, x * y, y * y)
    phase = sum(a * term for a, term in zip(rng.standard_normal(5), terms, strict=True))
    return np.asarray(PHASE * phase / np.abs(phase).max())


def smooth_coils(shape: tuple[int, int], count: int, rng: np.random.Generator) -> Complex:
    """Sensitivities of coils around the image, complex64 [C, H, W], sum_c |s_c|^2 = 1.

    Each is a Gaussian about the coil's place, with a phase that varies along the way to it.
    """
    y, x = _places(shape)
    angles = 2 * np.pi * (np.arange(count) + rng.random()) / count
    s = np.empty((count, *shape), np.complex128)
    for c, angle in enumerate(angles):
        toward = x * np.cos(angle) + y * np.sin(angle)
        square = x * x + y * y - 2 * DISTANCE * toward + DISTANCE**2
        s[c] = np.exp(-square / (2 * WIDTH**2) + 1j * (toward * np.pi / 2 + angle))
    normed: Complex = (s / np.sqrt(np.sum(np.abs(s) ** 2, axis=0))).astype(np.complex64)
    return normed


def _places(shape: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """y [H, 1] and x [1, W] of the pixels, from -1 to 1."""
    y, x = (np.linspace(-1, 1, side) for side in shape)
    return y[:, None], x[None, :]
