"""Factors of dense blocks, kept in a file for all later runs with the same A and mu.

    /       attrs format = "asyncred-factors", version = 2, mu
    /sha256 [b], hexadecimal: the digest of each A_i
    /digests [b]: of A/i and L/i
    /A/i    float32 or float16 [m_i, n_i], A' of block i
    /L/i    float32 [m_i, m_i], L of block i                               (operators.factored)

The file is made once, every rank its share of the blocks, and appears whole. Its datasets are
mapped into memory, not read: all ranks of a node share what the operating system keeps of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

import h5py

from asyncred.files.digest import DIGEST, digest
from asyncred.files.problem.block_random import BlockRandomData
from asyncred.files.whole import InPlace, allocate, open_hdf5, reserve
from asyncred.operators import Factored, factor

FORMAT, VERSION = "asyncred-factors", 2
DIGITS = 64
"""Of a digest."""


def lay_out(path: Path, data: BlockRandomData, mu: float) -> None:
    with h5py.File(path, "w") as file:
        file.attrs.update({"format": FORMAT, "version": VERSION, "mu": mu})
        reserve(file, "sha256", (len(data.grid),), f"S{DIGITS}")
        reserve(file, "digests", (len(data.grid),), DIGEST)
        for i, (h, w) in data.shapes(range(len(data.grid))).items():
            reserve(file.require_group("A"), str(i), (data.rows(i), h * w), data.precision)
            reserve(file.require_group("L"), str(i), (data.rows(i), data.rows(i)), np.float32)
    allocate(path)


def fill(path: Path, data: BlockRandomData, blocks: range, *, mu: float, threads: int) -> None:
    names = ["sha256", "digests", *(f"{part}/{i}" for part in "AL" for i in blocks)]
    with InPlace(path, names) as file, threadpool_limits(threads, user_api="blas"):
        for i in blocks:
            solved, lower = factor(data.matrix(i), mu)
            kept = data.kept(i, np.ascontiguousarray(solved))
            file.put(f"A/{i}", (0,), kept)
            file.put(f"L/{i}", (0,), lower)
            file.put("digests", (i,), np.array(digest(kept, lower).encode(), DIGEST))
            file.put("sha256", (i,), np.array(data.digest(i).encode()))
        file.sync()


def read(
    path: Path,
    data: BlockRandomData,
    *,
    own: list[int],
    reach: list[int],
    mu: float,
    threads: int,
) -> Factored:
    """Map factors, without a y: ``of`` brings that.

    Raises ValueError where those of the own blocks are not those of A and mu.
    """
    with open_hdf5(path) as file:
        kind, version = file.attrs.get("format"), file.attrs.get("version")
        if (kind, version) != (FORMAT, VERSION):
            raise ValueError(f"{path}: format is {kind!r} {version}, expected {FORMAT!r} {VERSION}")
        if not np.isclose(file.attrs["mu"], mu, rtol=1e-6):
            found = file.attrs["mu"]
            raise ValueError(f"{path}: mu is {found:g}, expected {mu:g}; --factors another file")
        known = file["sha256"][()]
        for i in own:
            if i >= len(known) or known[i].decode() != data.digest(i):
                raise ValueError(
                    f"{path}: /sha256: block {i} is of another A than {data.path}; "
                    "--factors another file"
                )
        found, expected = (np.dtype(kind) for kind in (file["A/0"].dtype, data.precision))
        if found != expected:
            raise ValueError(f"{path}: A is {found}, expected {expected}; --factors another file")
        matrices, lower = (
            {i: _mapped(path, file[f"{part}/{i}"]) for i in reach} for part in ("A", "L")
        )
        written = file["digests"][()]
    for i in own:
        if written[i].decode() != digest(matrices[i], lower[i]):
            raise ValueError(
                f"{path}: the factors of block {i} are not those that were written (digests "
                "differ): expected an unchanged file; removed, it is made anew"
            )
    data.measured(own)  # for what may be wrong with it
    shapes = data.shapes(reach)
    return Factored(matrices, lower, {}, shapes=shapes, threads=threads)


def _mapped(path: Path, dataset: h5py.Dataset) -> NDArray[Any]:
    """A contiguous dataset as an array that the operating system fills when it is looked at."""
    offset, shape = dataset.id.get_offset(), dataset.shape
    return np.asarray(np.memmap(path, dataset.dtype, mode="r", offset=offset, shape=shape))
