"""Stripes of a sinogram, which are rings in the image: what a column adds to every view.

The value of a column less the median of the columns about it, in the median over all views: edges
of the object wander from column to column, a stripe stays. After Boin and Haibel, Compensation of
ring artefacts in synchrotron tomographic images, Optics Express 14(25), 2006, who compare the mean
over the views with its moving average; medians leave edges in their place, as in Vo, Atwood and
Drakopoulos, Superior techniques for eliminating ring artifacts in X-ray micro-tomography, Optics
Express 26(22), 2018.
"""

from __future__ import annotations

import numpy as np
import scipy
from numpy.typing import NDArray

Array = NDArray[np.float32]

VIEWS = 512
"""Spread evenly, that tell stripes, at most."""

WIDTH = 9
"""Columns whose median a column is compared with,"""

MEAN = 3
"""and neighbouring medians that are averaged for it."""

CLEAR = 3.0
"""Standard errors from which on a stripe is one."""


def stripes(y: Array) -> Array:
    """What each column adds to line integrals [views, columns], 0 where that is not clear."""
    about = scipy.ndimage.median_filter(y, size=(1, WIDTH), mode="nearest")
    apart = y - scipy.ndimage.uniform_filter1d(about, MEAN, axis=1, mode="nearest")
    middle = np.median(apart, axis=0)
    scatter = 1.4826 * np.median(np.abs(apart - middle), axis=0)
    error = np.sqrt(np.pi / 2) * scatter / np.sqrt(len(y))
    return np.asarray(np.where(np.abs(middle) > CLEAR * error, middle, 0), np.float32)
