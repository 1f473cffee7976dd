"""The largest eigenvalue of a symmetric operator: Lipschitz constants and norms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy
from numpy.typing import NDArray

ACCURACY = 1e-2
"""Residual of an eigenvector, relative to its eigenvalue, which is then known far better."""

SAFETY = 1.01
"""Eigenvalues are found from below: what they are multiplied by."""


def largest_eigenvalue(
    apply: Callable[[NDArray[np.float32]], NDArray[np.float32]], n: int, rng: np.random.Generator
) -> float:
    """Largest eigenvalue of a symmetric positive semidefinite operator on n unknowns.

    Power iteration in its Lanczos form, which keeps the whole Krylov space: where the largest
    eigenvalues lie close together, as those of a random A^T A do, plain power iteration ends
    several per cent too low. It ends at ``ACCURACY``; the result is
    multiplied by ``SAFETY``.
    """
    start = rng.standard_normal(n, dtype=np.float32)
    image = apply(start)
    if n == 1 or not image.any():
        return SAFETY * float(image[0] / start[0])
    operator = scipy.sparse.linalg.LinearOperator((n, n), matvec=apply, dtype=np.float32)
    found = scipy.sparse.linalg.eigsh(
        operator, k=1, which="LA", v0=start, tol=ACCURACY, return_eigenvectors=False
    )
    return SAFETY * float(found[0])
