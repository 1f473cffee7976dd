"""Deblurring with a known truth."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asyncred.commands.simulate.noise import noisy
from asyncred.commands.simulate.truth import Scene
from asyncred.files.problem import write_convolution
from asyncred.operators.convolution import blur, gaussian_kernel

Array = NDArray[np.float32]

SPREAD = 3
"""Standard deviations of a Gaussian after which its kernel ends."""


def simulate_blur(
    scene: Scene,
    *,
    sigma: float,
    kernel: Path | None,
    noise: float,
) -> str:
    """Write a deblurring problem; what was written, in a line. Raises ValueError on bad arguments.

    ``kernel`` is an .npy file, or None for a Gaussian of ``sigma`` pixels; ``noise`` the standard
    deviation of y's in units of 1/255.
    """
    truth = scene.truth()
    k = gaussian(sigma) if kernel is None else _load_kernel(kernel)
    y = noisy(blur(truth, k), noise, np.random.default_rng(scene.seed))
    write_convolution(scene.path, truth, y, block=scene.blocks, kernel=k)
    what = f"a Gaussian of {sigma:g} pixels" if kernel is None else str(kernel)
    return scene.written(
        truth.shape,
        f"{what} as a kernel of {k.shape[0]}x{k.shape[1]}, noise of {noise:g}/255",
    )


def gaussian(sigma: float) -> Array:
    """The kernel of a Gaussian of ``sigma`` pixels, cut off where it hardly adds anything."""
    return gaussian_kernel(sigma, math.ceil(SPREAD * sigma))


def _load_kernel(path: Path) -> Array:
    try:
        kernel = np.load(path)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path}: cannot be read: {error}") from None
    fits = isinstance(kernel, np.ndarray) and kernel.ndim == 2 and kernel.dtype.kind in "fiu"
    if not fits or any(side % 2 == 0 for side in kernel.shape) or not np.isfinite(kernel).all():
        found = f"{kernel.dtype} {list(kernel.shape)}" if hasattr(kernel, "dtype") else "no array"
        raise ValueError(f"{path}: {found}, expected finite numbers [kh, kw] of odd sides")
    return np.asarray(kernel, np.float32)
