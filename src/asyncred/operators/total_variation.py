"""A start of one block alone: its measurements and total variation, no denoiser, no neighbours.

    x_i = argmin_u  1/2 ||A_i u - y_i||^2 + w TV(u),    TV(u) = sum of |grad u|, isotropic

by FISTA; the prox of TV by the fast projected gradient on its dual (Beck, Teboulle, IEEE Trans.
Image Process. 18(11), 2009, both). w falls from ``FIRST`` to ``WEIGHT`` meanwhile: the large
structures of x come first and fast.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asyncred.operators import Image, Operator

Array = NDArray[np.float32]

FIRST, WEIGHT = 0.1, 0.008
"""w, for images in [0, 1]: of the first step and of the last."""

INNER = 10
"""Steps of the prox in each step of FISTA."""


def total_variation_start(A: Operator, i: int, x_i: Image, *, steps: int) -> Image:
    """The start of block i, float32 [h, w], from ``x_i``; for an A that sees no other block."""
    gamma = 1 / A.lipschitz(i, None)
    x = point = x_i
    dual = np.zeros((2, *x_i.shape), np.float32)
    t = 1.0
    for weight in np.geomspace(FIRST, WEIGHT, steps).tolist():
        before = x
        x, dual = prox(point - np.float32(gamma) * A.gradient(i, point, None), weight * gamma, dual)
        t_before, t = t, (1 + np.sqrt(1 + 4 * t * t)) / 2
        point = x + np.float32((t_before - 1) / t) * (x - before)
    return x


def prox(v: Array, weight: float, dual: Array, steps: int = INNER) -> tuple[Array, Array]:
    """argmin_u 1/2 ||u - v||^2 + weight TV(u), and the dual variable [2, h, w] to go on from."""
    w = np.float32(weight)
    p = q = dual
    t = 1.0
    for _ in range(steps):
        before = p
        p = q + gradient(v - w * divergence(q)) / (8 * w)
        p = p / np.maximum(1, np.sqrt(np.square(p).sum(axis=0)))
        t_before, t = t, (1 + np.sqrt(1 + 4 * t * t)) / 2
        q = p + np.float32((t_before - 1) / t) * (p - before)
    return v - w * divergence(p), p


def gradient(u: Array) -> Array:
    """u[p] - u[next p] downwards and to the right, 0 at the last row and column: [2, h, w]."""
    out = np.zeros((2, *u.shape), np.float32)
    out[0, :-1] = u[:-1] - u[1:]
    out[1, :, :-1] = u[:, :-1] - u[:, 1:]
    return out


def divergence(p: Array) -> Array:
    """The transpose of ``gradient``, [h, w]."""
    out = np.zeros(p.shape[1:], np.float32)
    out[:-1] += p[0, :-1]
    out[1:] -= p[0, :-1]
    out[:, :-1] += p[1, :, :-1]
    out[:, 1:] -= p[1, :, :-1]
    return out
