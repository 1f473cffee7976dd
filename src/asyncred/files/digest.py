"""Digests of what is written and read again: altered or torn data are found, not computed with."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

BYTES = 16
DIGEST = f"S{2 * BYTES}"
"""The type of a dataset of digests, hexadecimal."""


def digest(*parts: NDArray[Any] | bytes) -> str:
    """BLAKE2b of some arrays, of their bytes in C order, hexadecimal."""
    found = hashlib.blake2b(digest_size=BYTES)
    for part in parts:
        found.update(part if isinstance(part, bytes) else np.ascontiguousarray(part).data)
    return found.hexdigest()
