"""What a ``ForwardModel`` promises, tried out: its shapes, and that its adjoint is the transpose.

    <A_i x, z> = <x, A_i^T z>,   A_S x = (A x)_S  for a subset S of the groups

The dot test of Claerbout (Earth Soundings Analysis, 1992, chapter 5), block by block.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asyncred.grid import BlockGrid, region_shape
from asyncred.operators.protocols import ForwardModel, Image, Rows

TOLERANCE = 1e-5
"""Of both figures of a ``DotTest``: float32 sums of 10^6 terms stay below."""

NAMES = ("dtype", "groups", "length", "footprint", "forward", "adjoint")
"""What a ForwardModel answers to."""


@dataclass(frozen=True)
class DotTest:
    """The worst that was found."""

    mismatch: float
    """|<A_i x, z> - <x, A_i^T z>| / (||A_i x|| ||z||)."""
    subset: float
    """||A_S x - (A x)_S|| / ||(A x)_S||."""

    def check(self) -> None:
        """Raise ValueError where a figure, NaN included, is above TOLERANCE."""
        if not self.mismatch <= TOLERANCE:
            raise ValueError(
                f"<A x, z> and <x, A^T z> differ by {self.mismatch:.1e} of ||A x|| ||z||, "
                f"expected at most {TOLERANCE:.0e}: adjoint is not the transpose of forward"
            )
        if not self.subset <= TOLERANCE:
            raise ValueError(
                f"forward of some groups differs from that part of forward of all by "
                f"{self.subset:.1e}, expected at most {TOLERANCE:.0e}"
            )


def dot_test(
    model: ForwardModel, grid: BlockGrid, blocks: list[int], rng: np.random.Generator
) -> DotTest:
    """Try some blocks, on all groups and on a random half of them."""
    half = rng.choice(model.groups, -(-model.groups // 2), replace=False)
    subset = np.sort(half).astype(np.int64)
    mismatch, apart = [], []
    for i in blocks:
        x = _normal(rng, region_shape(grid.block(i))).astype(model.dtype)
        if np.iscomplexobj(x):
            x += np.complex64(1j) * _normal(rng, x.shape)
        Ax, part = model.forward(i, x, None), model.forward(i, x, subset)
        mismatch += [
            _mismatch(model, i, x, Ax, None, rng),
            _mismatch(model, i, x, part, subset, rng),
        ]
        apart.append(_norm(part - Ax[subset]) / (_norm(Ax[subset]) or _norm(part) or 1.0))
    return DotTest(float(np.max(mismatch)), float(np.max(apart)))


def check_answers(model: object, grid: BlockGrid, blocks: list[int]) -> ForwardModel:
    """The same object, after one ``forward`` and one ``adjoint`` of the first of some blocks.

    Raises ValueError where an answer is missing or of another shape or dtype than promised.
    """
    missing = [name for name in NAMES if not hasattr(model, name)]
    if missing:
        raise ValueError(f"has no {', '.join(missing)}")
    A: ForwardModel = model  # type: ignore[assignment]
    if A.dtype not in (np.float32, np.complex64):
        raise ValueError(f"dtype is {A.dtype!r}, expected np.float32 or np.complex64")
    for name in ("groups", "length"):
        value = getattr(A, name)
        if not isinstance(value, (int, np.integer)) or value < 1:
            raise ValueError(f"{name} is {value!r}, expected an integer >= 1")
    for i in blocks:
        _check_footprint(A, i)
    for i in blocks[:1]:
        _check_shapes(A, i, region_shape(grid.block(i)))
    return A


def _mismatch(
    model: ForwardModel,
    i: int,
    x: Image,
    Ax: NDArray[np.float32],
    groups: Rows | None,
    rng: np.random.Generator,
) -> float:
    """z is half A x, for a wrong scale to show in full, and half noise, for all else."""
    noise = _normal(rng, Ax.shape)
    z = Ax / np.float32(_norm(Ax) or 1.0) + noise / np.float32(_norm(noise))
    Az = model.adjoint(i, z, groups)
    scale = _norm(Ax) * _norm(z) or _norm(x) * _norm(Az) or 1.0
    return abs(_inner(Ax, z) - _inner(x, Az)) / scale


def _check_footprint(model: ForwardModel, i: int) -> None:
    footprint = model.footprint(i)
    first, width = np.asarray(footprint.first), footprint.width
    if first.shape != (model.groups,) or first.dtype != np.int64:
        raise ValueError(
            f"footprint of block {i} begins at {first.dtype} {list(first.shape)}, "
            f"expected int64 [{model.groups}]"
        )
    if not 1 <= width <= model.length or first.min() < 0 or first.max() > model.length - width:
        raise ValueError(
            f"footprint of block {i} is {width} wide from {first.min()} to {first.max()} on, "
            f"expected within the {model.length} measurements of a group"
        )


def _check_shapes(model: ForwardModel, i: int, shape: tuple[int, int]) -> None:
    """On all groups and on one."""
    width, x = model.footprint(i).width, np.zeros(shape, model.dtype)
    for words, groups, count in (
        (f"block {i}", None, model.groups),
        (f"block {i} in one group", np.array([model.groups - 1]), 1),
    ):
        r = np.zeros((count, width), np.float32)
        _check_array(f"forward of {words}", model.forward(i, x, groups), r.shape, np.float32)
        _check_array(f"adjoint of {words}", model.adjoint(i, r, groups), shape, model.dtype)


def _check_array(what: str, found: object, shape: tuple[int, ...], dtype: type[np.generic]) -> None:
    if not isinstance(found, np.ndarray):
        raise ValueError(f"{what} is a {type(found).__name__}, expected a NumPy array")
    expected = np.dtype(dtype)
    if found.shape != shape or found.dtype != expected:
        raise ValueError(
            f"{what} is {found.dtype} {list(found.shape)}, expected {expected} {list(shape)}"
        )


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    return rng.standard_normal(shape, dtype=np.float32)


def _inner(a: Image, b: Image) -> float:
    """The real part of <a, b>, summed in double precision."""
    wide = np.result_type(a.dtype, np.float64)
    return float(np.vdot(a.astype(wide), b).real)


def _norm(a: Image) -> float:
    return float(np.sqrt(_inner(a, a)))
