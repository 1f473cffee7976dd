"""The problem file: what was measured, with which operator, and the truth where it is known.

    /                attrs format = "asyncred-problem", version = 1
    /image           attrs shape = [H, W], block = [bh, bw]
    /operator        attrs kind = "block_random", and either
                       A float32 [b, m, n], n = bh bw pixels in row-major order, or
                       attrs seed, m: A_i is drawn from the seed, check holds its first values
    /measurements/y  float32 [b, m], or [T, b, m] for T images
    /truth           float32 [H, W] or [T, H, W], optional

A block of n_i < n pixels at the border uses the first m_i = round(m n_i / n) measurements of its
row of y, and A[i, :m_i, :n_i]. Every reader opens the file in mode "r" and takes only its own part.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import h5py

from asyncred.files import open_hdf5, written_whole
from asyncred.grid import BlockGrid, Region, region_shape
from asyncred.operators import BlockRandom, Image
from asyncred.operators.block_random import draw_matrix, rows_of_block

FORMAT, VERSION = "asyncred-problem", 1
KINDS = ("block_random",)
CHECK_VALUES = 8


@dataclass(frozen=True)
class Problem:
    """The head of a problem file, checked; the arrays are read by block."""

    path: Path
    grid: BlockGrid
    kind: str
    m: int
    seed: int | None
    """Seed of the matrices; None where the file holds them."""
    images: int | None
    """T; None where y has no leading axis."""
    index: int
    """The image of T that is meant."""
    has_truth: bool

    def rows(self, i: int) -> int:
        """m_i."""
        return rows_of_block(
            self.m, math.prod(region_shape(self.grid.block(i))), math.prod(self.grid.block_shape)
        )

    def y(self, i: int) -> NDArray[np.float32]:
        """y_i, float32 [m_i]. Raises ValueError where it holds NaN or Inf."""
        with open_hdf5(self.path) as file:
            where = (i, slice(self.rows(i)))
            y = np.asarray(file["measurements/y"][self._leading() + where], np.float32)
        if not np.isfinite(y).all():
            raise ValueError(
                f"{self.path}: /measurements/y: block {i} holds "
                f"{np.count_nonzero(~np.isfinite(y))} NaN or Inf, expected finite numbers"
            )
        return y

    def matrix(self, i: int) -> NDArray[np.float32]:
        """A_i, float32 [m_i, n_i], read by hyperslab or drawn."""
        m, n = self.rows(i), math.prod(region_shape(self.grid.block(i)))
        if self.seed is not None:
            return draw_matrix(self.seed, i, m, n)
        with open_hdf5(self.path) as file:
            a = np.empty((m, n), np.float32)
            file["operator/A"].read_direct(a, np.s_[i, :m, :n])
        if not np.isfinite(a).all():
            raise ValueError(f"{self.path}: /operator/A: block {i} holds NaN or Inf")
        return a

    def operator(self, blocks: list[int], *, threads: int) -> BlockRandom:
        """The data term of some blocks; no other block's A or y is touched."""
        return BlockRandom(
            {i: self.matrix(i) for i in blocks},
            {i: self.y(i) for i in blocks},
            shapes={i: region_shape(self.grid.block(i)) for i in blocks},
            threads=threads,
        )

    def truth(self, region: Region) -> Image:
        """The truth on a region, float32."""
        with open_hdf5(self.path) as file:
            data = file["truth"]
            where = (self.index, *region) if data.ndim == 3 else region
            return np.asarray(data[where], np.float32)

    def bytes_per_block(self) -> int:
        """Memory of A_i, y_i and x_i of a full block."""
        n = math.prod(self.grid.block_shape)
        return 4 * (self.m * n + self.m + n)

    def _leading(self) -> tuple[int, ...]:
        return () if self.images is None else (self.index,)


def read_problem(path: Path, *, index: int | None = None) -> Problem:
    """Read and check the head of a problem file.

    Raises ValueError, naming file, key, what was found and what was expected.
    """
    with open_hdf5(path) as file:
        found = _string(file, "format"), file.attrs.get("version")
        if found != (FORMAT, VERSION):
            raise ValueError(
                f"{path}: attributes format, version are {found[0]!r}, {found[1]}, "
                f"expected {FORMAT!r}, {VERSION}"
            )
        shape = _pair(path, file, "image", "shape")
        block = _pair(path, file, "image", "block")
        if any(not 1 <= b <= s for s, b in zip(shape, block, strict=True)):
            raise ValueError(
                f"{path}: /image block is {list(block)}, expected 1 to {list(shape)} (the shape)"
            )
        grid = BlockGrid(shape, block)
        kind = _string(_node(path, file, "operator", h5py.Group), "kind")
        if kind not in KINDS:
            raise ValueError(f"{path}: /operator kind is {kind!r}, expected {' or '.join(KINDS)}")
        m, seed = _block_random(path, file, grid)
        y = _node(path, file, "measurements/y", h5py.Dataset)
        if y.shape[-2:] != (len(grid), m) or y.ndim not in (2, 3) or y.dtype.kind != "f":
            raise ValueError(
                f"{path}: /measurements/y is {y.dtype} {list(y.shape)}, expected float32 "
                f"[{len(grid)}, {m}] (blocks, measurements), or this with a leading axis of images"
            )
        images = y.shape[0] if y.ndim == 3 else None
        if "truth" in file:
            _check_truth(path, _node(path, file, "truth", h5py.Dataset), shape, images)
        return Problem(
            path, grid, kind, m, seed, images, _index(path, images, index), "truth" in file
        )


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
        file.attrs.update({"format": FORMAT, "version": VERSION})
        file.create_group("image").attrs.update({"shape": grid.shape, "block": grid.block_shape})
        operator = file.create_group("operator")
        operator.attrs["kind"] = "block_random"
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


def _block_random(path: Path, file: h5py.File, grid: BlockGrid) -> tuple[int, int | None]:
    """m and the seed, None where A is in the file."""
    operator = file["operator"]
    n = math.prod(grid.block_shape)
    if "A" in operator:
        a = _node(path, file, "operator/A", h5py.Dataset)
        if a.ndim != 3 or (a.shape[0], a.shape[2]) != (len(grid), n) or a.dtype != np.float32:
            raise ValueError(
                f"{path}: /operator/A is {a.dtype} {list(a.shape)}, expected float32 "
                f"[{len(grid)}, m, {n}] (blocks, measurements, pixels of a block)"
            )
        return int(a.shape[1]), None
    if not {"seed", "m"} <= set(operator.attrs):
        raise ValueError(f"{path}: /operator has neither a dataset A nor attributes seed and m")
    seed, m = (_integer(path, operator, name, low) for name, low in (("seed", 0), ("m", 1)))
    check = _node(path, file, "operator/check", h5py.Dataset)[()]
    if not np.array_equal(check, draw_matrix(seed, 0, 1, CHECK_VALUES)[0]):
        raise ValueError(
            f"{path}: /operator/check: this NumPy ({np.__version__}) draws other matrices from "
            "the seed than the one that wrote the file; simulate with --store-matrix"
        )
    return m, seed


def _node(path: Path, file: h5py.File, name: str, kind: type) -> h5py.HLObject:
    found = file.get(name)
    if not isinstance(found, kind):
        what = "missing" if found is None else f"a {type(found).__name__.lower()}"
        raise ValueError(f"{path}: /{name} is {what}, expected a {kind.__name__.lower()}")
    return found


def _integer(path: Path, group: h5py.Group, name: str, low: int) -> int:
    value = np.asarray(group.attrs[name])
    if value.shape != () or value.dtype.kind not in "iu" or value < low:
        raise ValueError(
            f"{path}: {group.name} {name} is {value.tolist()!r}, expected an integer >= {low}"
        )
    return int(value)


def _string(node: h5py.HLObject, name: str) -> str | None:
    """A string attribute, of fixed length or not; anything else in Python's notation."""
    value = node.attrs.get(name)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value if value is None or isinstance(value, str) else repr(value)


def _pair(path: Path, file: h5py.File, group: str, name: str) -> tuple[int, int]:
    value = np.atleast_1d(_node(path, file, group, h5py.Group).attrs.get(name, ()))
    if value.shape != (2,) or value.dtype.kind not in "iu" or (value < 1).any():
        raise ValueError(
            f"{path}: /{group} {name} is {value.tolist()}, expected two positive integers"
        )
    return int(value[0]), int(value[1])


def _check_truth(
    path: Path, truth: h5py.Dataset, shape: tuple[int, int], images: int | None
) -> None:
    expected = [shape] if images is None else [(images, *shape)]
    if truth.shape not in [*expected, *([(1, *shape)] if images is None else [])]:
        raise ValueError(f"{path}: /truth is {list(truth.shape)}, expected {list(expected[0])}")


def _index(path: Path, images: int | None, index: int | None) -> int:
    if images in (None, 1) and index is None:
        return 0
    if index is None:
        raise ValueError(f"{path}: /measurements/y holds {images} images; --index K picks one")
    if not 0 <= index < (images or 1):
        raise ValueError(f"{path}: --index is {index}, expected 0 to {(images or 1) - 1}")
    return index
