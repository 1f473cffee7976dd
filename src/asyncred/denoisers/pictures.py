"""The pictures on which denoisers are tried: the shipped photograph, and a smooth one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as pillow

Array = NDArray[np.float32]


def photograph_path() -> Path:
    """PNG of the demonstration photograph: 480 x 480 pixels, 8-bit gray."""
    return Path(__file__).resolve().parent / "photos" / "camera.png"


def photograph() -> Array:
    """The demonstration photograph, float32 [480, 480] in [0, 1]."""
    with pillow.open(photograph_path()) as picture:
        return np.asarray(picture, np.float32) / np.float32(255)


def scene(shape: tuple[int, int], planes: int, sigma: float) -> Array:
    """The middle of the photograph, mirrored until it fills the shape, with noise of level sigma.

    float32 [h, w]; [planes, h, w] where there are several, each darker than the one before.
    """
    x = photograph()
    first = [max(0, (own - side) // 2) for side, own in zip(shape, x.shape, strict=True)]
    x = x[first[0] :, first[1] :]
    height, width = (max(0, side - own) for side, own in zip(shape, x.shape, strict=True))
    x = np.pad(x, ((0, height), (0, width)), mode="symmetric")[: shape[0], : shape[1]]
    clean = np.stack([x / 2**k for k in range(planes)])
    noise = np.random.default_rng(0).standard_normal(clean.shape, dtype=np.float32)
    noisy: Array = clean + np.float32(sigma) * noise
    return noisy if planes > 1 else noisy[0]


def smooth(side: int, planes: int) -> tuple[Array, Array]:
    """A picture without edges, and white noise of level 1 beside it, [side, side] or with planes.

    What a denoiser leaves of the noise in it hardly depends on the level that it was made for.
    """
    rows, cols = np.mgrid[:side, :side] / side
    one = (0.5 + 0.3 * np.sin(5 * rows) * np.cos(4 * cols)).astype(np.float32)
    clean = np.stack([one / 2**k for k in range(planes)])
    noise = np.random.default_rng(0).standard_normal(clean.shape, dtype=np.float32)
    return (clean, noise) if planes > 1 else (clean[0], noise[0])
