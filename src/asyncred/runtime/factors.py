"""Factors of dense blocks, kept in a file for all later runs with the same A and mu.

    /       attrs format = "asyncred-factors", version = 1, mu
    /sha256 [b], hexadecimal: the digest of each A_i
    /A/i    float32 or float16 [m_i, n_i], A' of block i
    /L/i    float32 [m_i, m_i], L of block i                               (operators.factored)

The file is made once, every rank its share of the blocks, and appears whole. Its datasets are
mapped into memory, not read: all ranks of a node share what the operating system keeps of it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

import h5py
from mpi4py import MPI

from asyncred.files.problem.block_random import BlockRandomData
from asyncred.files.whole import InPlace, open_hdf5, renamed, reserve
from asyncred.operators import Factored, factor
from asyncred.runtime.collective import on_all, on_root
from asyncred.runtime.placement import Placement

FORMAT, VERSION = "asyncred-factors", 1
DIGITS = 64
"""Of a digest."""


def open_factors(
    comm: MPI.Intracomm,
    path: Path,
    data: BlockRandomData,
    placement: Placement,
    *,
    mu: float,
) -> Factored:
    """The factored data term of the blocks this rank may update; the file is made if missing.

    Collective over comm, whose ranks may own the same blocks. Raises InputError where the file is
    of another A or mu, or cannot be made.
    """
    if not on_root(comm, path.exists):
        make_factors(comm, path, data, mu=mu, threads=placement.threads)
    return on_all(comm, lambda: _read(path, data, placement, mu=mu))


def make_factors(
    comm: MPI.Intracomm, path: Path, data: BlockRandomData, *, mu: float, threads: int
) -> None:
    """Factor all blocks, each on one of the ranks of comm. Collective. Raises InputError."""
    temporary = path.with_name(f".{path.name}.{comm.bcast(os.getpid())}.part")
    try:
        on_root(comm, lambda: _lay_out(temporary, data, mu))
        mine = range(comm.rank, len(data.grid), comm.size)
        on_all(comm, lambda: _fill(temporary, data, mine, mu=mu, threads=threads))
        if comm.rank == 0:
            renamed(temporary, path)
        comm.Barrier()
    finally:
        if comm.rank == 0:
            temporary.unlink(missing_ok=True)


def _lay_out(path: Path, data: BlockRandomData, mu: float) -> None:
    with h5py.File(path, "w") as file:
        file.attrs.update({"format": FORMAT, "version": VERSION, "mu": mu})
        reserve(file, "sha256", (len(data.grid),), f"S{DIGITS}")
        for i, (h, w) in data.shapes(range(len(data.grid))).items():
            reserve(file.require_group("A"), str(i), (data.rows(i), h * w), data.precision)
            reserve(file.require_group("L"), str(i), (data.rows(i), data.rows(i)), np.float32)


def _fill(path: Path, data: BlockRandomData, blocks: range, *, mu: float, threads: int) -> None:
    names = ["sha256", *(f"{part}/{i}" for part in "AL" for i in blocks)]
    with InPlace(path, names) as file, threadpool_limits(threads, user_api="blas"):
        for i in blocks:
            solved, lower = factor(data.matrix(i), mu)
            file.put(f"A/{i}", (0,), data.kept(i, np.ascontiguousarray(solved)))
            file.put(f"L/{i}", (0,), lower)
            file.put("sha256", (i,), np.array(data.digest(i).encode()))
        file.sync()


def _read(path: Path, data: BlockRandomData, placement: Placement, *, mu: float) -> Factored:
    """Map factors, without a y: ``of`` brings that.

    Raises ValueError where those of the own blocks are not those of A and mu.
    """
    reach = placement.reach
    with open_hdf5(path) as file:
        kind, version = file.attrs.get("format"), file.attrs.get("version")
        if (kind, version) != (FORMAT, VERSION):
            raise ValueError(f"{path}: format is {kind!r} {version}, expected {FORMAT!r} {VERSION}")
        if not np.isclose(file.attrs["mu"], mu, rtol=1e-6):
            found = file.attrs["mu"]
            raise ValueError(f"{path}: mu is {found:g}, expected {mu:g}; --factors another file")
        known = file["sha256"][()]
        for i in placement.own:
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
    data.measured(placement.own)  # for what may be wrong with it
    shapes = data.shapes(reach)
    return Factored(matrices, lower, {}, shapes=shapes, threads=placement.threads)


def _mapped(path: Path, dataset: h5py.Dataset) -> NDArray[Any]:
    """A contiguous dataset as an array that the operating system fills when it is looked at."""
    offset, shape = dataset.id.get_offset(), dataset.shape
    return np.asarray(np.memmap(path, dataset.dtype, mode="r", offset=offset, shape=shape))
