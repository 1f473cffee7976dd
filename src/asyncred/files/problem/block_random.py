"""block_random in a problem file: dense random A_i, one a block.

    /operator        attrs kind = "block_random", and either
                       A float32 [b, m, n], n = bh bw pixels in row-major order, or
                       attrs seed, m: A_i is drawn from the seed, check holds its first values
    /measurements/y  float32 [b, m], or [T, b, m] for T images

A block of n_i < n pixels at the border uses the first m_i = round(m n_i / n) measurements of its
row of y, and A[i, :m_i, :n_i].
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

import h5py

from asyncred.files.problem.fields import finite, integer, node
from asyncred.files.problem.head import Asked, read_stack, write_head
from asyncred.files.problem.kinds import LocalData, Prior
from asyncred.files.problem.plausible import PARTS, Shades, of_sign, of_values, said, spread
from asyncred.files.problem.weights import Part, Weights
from asyncred.files.whole import open_hdf5, written_whole
from asyncred.grid import BlockGrid, region_shape
from asyncred.operators import BlockRandom, Image
from asyncred.operators.block_random import draw_matrix, rows_of_block
from asyncred.operators.kernels import halved
from asyncred.operators.total_variation import total_variation_start

if TYPE_CHECKING:
    from typing_extensions import Self

CHECK_VALUES = 8

TRIED = 64
"""Rows of A that the sign of y is held against."""


@dataclass(frozen=True)
class BlockRandomData(LocalData):
    """What a file holds of A and y, read by block."""

    m: int
    seed: int | None
    """Seed of the matrices; None where the file holds them."""
    half: bool = False
    """Whether A is to be kept in half precision."""

    anchoring = None
    starts: ClassVar[Mapping[str, Callable[[Any, int], Image]]] = {
        "centered": BlockRandom.centered,
        "adjoint": BlockRandom.adjoint,
        "tv": lambda A, i: total_variation_start(A, i, A.centered(i), steps=A.start_steps),
    }
    prior = Prior(0.8, "fast-s5", 5.0)
    shared_A = True

    @property
    def groups(self) -> int:
        """How many measurements a minibatch is drawn from, at most."""
        return self.m

    @property
    def words(self) -> str:
        """How much was measured."""
        return f"{self.m} measurements a block"

    def bytes_of(self, blocks: int) -> int:
        """Memory of A_i, y_i and x_i of some full blocks."""
        n = math.prod(self.grid.block_shape)
        return blocks * (np.dtype(self.precision).itemsize * self.m * n + 4 * (self.m + n))

    @property
    def precision(self) -> type[np.floating[Any]]:
        """Of what is kept of A."""
        return np.float16 if self.half else np.float32

    def check(self) -> None:
        """Read all that can be wrong. Raises ValueError."""
        for i in range(len(self.grid)):
            self.y(i)
            if self.seed is None:
                self.matrix(i)

    def doubts(self, shades: Shades | None) -> tuple[str, ...]:
        """About the measurements of some blocks, and the sign of those of the brightest."""
        some = spread(len(self.grid), PARTS)
        with open_hdf5(self.path) as file:
            stored = file["measurements/y"]
            y = {
                i: np.asarray(stored[(*self.stack.leading, i, slice(self.rows(i)))], np.float32)
                for i in some
            }
        everything = np.concatenate(list(y.values()))
        if not np.isfinite(everything).all():
            return ()
        blank = of_values(everything, "/measurements/y")
        i = max(some, key=lambda i: float(np.linalg.norm(y[i])))
        rows = min(self.rows(i), TRIED)
        return said(blank or of_sign(y[i][:rows], self.first_rows(i, rows).sum(axis=1), shades))

    def first_rows(self, i: int, count: int) -> NDArray[np.float32]:
        """Some rows of A_i, float32 [count, n_i]; where they are drawn, times a number."""
        n = math.prod(region_shape(self.grid.block(i)))
        if self.seed is not None:
            return draw_matrix(self.seed, i, count, n)
        with open_hdf5(self.path) as file:
            return np.asarray(file["operator/A"][i, :count, :n])

    def rows(self, i: int) -> int:
        """m_i."""
        return rows_of_block(
            self.m, math.prod(region_shape(self.grid.block(i))), math.prod(self.grid.block_shape)
        )

    def y(self, i: int) -> NDArray[np.float32]:
        """W^(1/2) y_i, float32 [m_i]. Raises ValueError where y_i holds NaN or Inf."""
        with open_hdf5(self.path) as file:
            where = (i, slice(self.rows(i)))
            y = np.asarray(file["measurements/y"][self.stack.leading + where], np.float32)
        y = np.asarray(self.known(y[None], self.part(i))[0], np.float32)
        finite(self.path, f"/measurements/y: block {i}", y)
        return y if self.weights is None else np.multiply(y, self.roots(i))

    def part(self, i: int) -> Part:
        """The row of y that block i has, as far as it uses it."""
        return slice(i, i + 1), slice(0, self.rows(i))

    def roots(self, i: int) -> NDArray[np.float32]:
        """w^(1/2), by which the rows of A_i and y_i are multiplied, float32 [m_i]."""
        return np.asarray(np.sqrt(self.weights_on(self.part(i))[0]), np.float32)

    def weighed(self, weights: Weights) -> Self:
        """The same with weights. Raises ValueError where images differ in them: they share A."""
        if weights.each:
            raise ValueError(
                f"{self.path}: /measurements/weights has an axis of images, expected the same "
                f"[{len(self.grid)}, {self.m}] for all, which share A; --weights none leaves them "
                "out"
            )
        return super().weighed(weights)

    def matrix(self, i: int) -> NDArray[np.float32]:
        """W^(1/2) A_i, float32 [m_i, n_i], read by hyperslab or drawn."""
        a = self._unweighted(i)
        if self.weights is not None:
            a *= self.roots(i)[:, None]
        return a

    def _unweighted(self, i: int) -> NDArray[np.float32]:
        m, n = self.rows(i), math.prod(region_shape(self.grid.block(i)))
        if self.seed is not None:
            return draw_matrix(self.seed, i, m, n)
        with open_hdf5(self.path) as file:
            a = np.empty((m, n), np.float32)
            file["operator/A"].read_direct(a, np.s_[i, :m, :n])
        finite(self.path, f"/operator/A: block {i}", a)
        return a

    def kept(self, i: int, a: NDArray[np.float32]) -> NDArray[Any]:
        """A_i, or what was made of it, in the precision asked for. Raises ValueError."""
        try:
            return halved(a) if self.half else a
        except ValueError as error:
            raise ValueError(
                f"{self.path}: /operator/A: block {i} {error}; expected --matrix single"
            ) from None

    def digest(self, i: int) -> str:
        """Of A_i: SHA-256, hexadecimal; where A is drawn, of what it is drawn from."""
        if self.seed is None:
            return hashlib.sha256(self.matrix(i).data).hexdigest()
        m, n = self.rows(i), math.prod(region_shape(self.grid.block(i)))
        first = draw_matrix(self.seed, i, 1, CHECK_VALUES)
        roots = b"" if self.weights is None else self.roots(i).tobytes()
        return hashlib.sha256(
            f"{self.seed} {i} {m} {n} ".encode() + first.tobytes() + roots
        ).hexdigest()

    def shapes(self, blocks: Iterable[int]) -> dict[int, tuple[int, int]]:
        """Height and width of some blocks."""
        return {i: region_shape(self.grid.block(i)) for i in blocks}

    def operator(self, blocks: list[int], *, threads: int) -> BlockRandom:
        """The data term of some blocks; no other block's A or y is touched."""
        matrices = {i: self.kept(i, self.matrix(i)) for i in blocks}
        y, shapes = self.measured(blocks), self.shapes(range(len(self.grid)))
        return BlockRandom(matrices, y, shapes=shapes, threads=threads)

    def measured(self, blocks: list[int]) -> dict[int, NDArray[np.float32]]:
        """y_i of some blocks."""
        return {i: self.y(i) for i in blocks}


def read_block_random(
    path: Path, file: h5py.File, grid: BlockGrid, asked: Asked
) -> BlockRandomData:
    """Check /operator and /measurements/y. Raises ValueError."""
    m, seed = _operator(path, file, grid)
    y = node(path, file, "measurements/y", h5py.Dataset)
    if y.shape[-2:] != (len(grid), m) or y.ndim not in (2, 3) or y.dtype.kind != "f":
        raise ValueError(
            f"{path}: /measurements/y is {y.dtype} {list(y.shape)}, expected float32 "
            f"[{len(grid)}, {m}] (blocks, measurements), or this with a leading axis of images"
        )
    return BlockRandomData(path, grid, read_stack(path, y, 2, asked), m, seed)


def write_block_random(
    path: Path,
    truth: Image,
    *,
    block: tuple[int, int],
    m: int,
    noise_snr: float,
    seed: int,
    store_matrix: bool,
) -> None:
    """Simulate y_i = A_i x_i + e_i and write the problem.

    ``truth`` float32 [H, W] in [0, 1]; ``m`` measurements per full block; white noise at
    ``noise_snr`` dB: 20 log10(||A x|| / ||e||). The matrices are stored only if asked for.
    """
    grid = BlockGrid(truth.shape, block)
    n = math.prod(block)
    y = np.zeros((len(grid), m), np.float32)
    with written_whole(path) as temporary, h5py.File(temporary, "w") as file:
        operator = write_head(file, grid, "block_random")
        if store_matrix:
            stored = operator.create_dataset("A", (len(grid), m, n), np.float32, chunks=(1, m, n))
        else:
            operator.attrs.update({"seed": seed, "m": m})
            operator["check"] = draw_matrix(seed, 0, 1, CHECK_VALUES)[0]
        rows = []
        for i in range(len(grid)):
            x_i = truth[grid.block(i)].ravel()
            rows.append(rows_of_block(m, x_i.size, n))
            a = draw_matrix(seed, i, rows[i], x_i.size)
            y[i, : rows[i]] = a @ x_i
            if store_matrix:
                stored[i, : rows[i], : x_i.size] = a
        noise = np.random.default_rng([seed, len(grid)]).standard_normal(y.shape, np.float32)
        for i in range(len(grid)):
            noise[i, rows[i] :] = 0
        noise *= np.float32(np.linalg.norm(y) / np.linalg.norm(noise) * 10 ** (-noise_snr / 20))
        file["measurements/y"] = y + noise
        file["truth"] = truth.astype(np.float32)


def _operator(path: Path, file: h5py.File, grid: BlockGrid) -> tuple[int, int | None]:
    """m and the seed, None where A is in the file."""
    operator = file["operator"]
    n = math.prod(grid.block_shape)
    if "A" in operator:
        a = node(path, file, "operator/A", h5py.Dataset)
        if a.ndim != 3 or (a.shape[0], a.shape[2]) != (len(grid), n) or a.dtype != np.float32:
            raise ValueError(
                f"{path}: /operator/A is {a.dtype} {list(a.shape)}, expected float32 "
                f"[{len(grid)}, m, {n}] (blocks, measurements, pixels of a block)"
            )
        return int(a.shape[1]), None
    if not {"seed", "m"} <= set(operator.attrs):
        raise ValueError(f"{path}: /operator has neither a dataset A nor attributes seed and m")
    seed, m = (integer(path, operator, name, low) for name, low in (("seed", 0), ("m", 1)))
    check = node(path, file, "operator/check", h5py.Dataset)[()]
    if not np.array_equal(check, draw_matrix(seed, 0, 1, CHECK_VALUES)[0]):
        raise ValueError(
            f"{path}: /operator/check: this NumPy ({np.__version__}) draws other matrices from "
            "the seed than the one that wrote the file; simulate with --store-matrix"
        )
    return m, seed
