"""White noise on what a simulated problem measures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def noisy(y: Array, level: float, rng: np.random.Generator) -> Array:
    """y with normal noise whose standard deviation is ``level`` in units of 1/255, float32."""
    return y + np.float32(level / 255) * rng.standard_normal(y.shape, np.float32)
