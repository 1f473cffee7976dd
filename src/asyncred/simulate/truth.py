"""The image that a simulated problem has for its truth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asyncred.images import load_image


def load_truth(image: str, size: int | None, block: int) -> NDArray[np.float32]:
    """A picture as ``load_image`` takes it, that blocks of this side fit. Raises ValueError."""
    truth = load_image(image, size=size)
    if block > min(truth.shape):
        raise ValueError(f"--block is {block}, expected at most {min(truth.shape)} (the image)")
    return truth
