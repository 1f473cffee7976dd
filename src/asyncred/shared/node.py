"""Arrays that the ranks of a node share as plain memory: each is there once."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpi4py import MPI

from asyncred.shared.window import Window

Array = NDArray[Any]
Share = Callable[[dict[int, Array]], Mapping[int, Array]]
"""Own arrays by block in, those of all ranks of the node out."""

ALIGNMENT = 64
"""Of every array within the memory of its rank, in bytes: a cache line."""

SHARED_MEMORY = Path("/dev/shm")
"""Where MPI libraries take it from on Linux; a container's may be small."""


class NodeArrays(Window, Mapping[int, Array]):
    """The arrays of all ranks of ``node`` by block, given those of each rank.

    Every array lies with the rank that brought it. ``own`` is emptied on the way: only one array at
    a time is in memory twice. Who writes to them later agrees on it with the others (``Claims``).
    Collective over ``node``; after its end the arrays are gone.
    """

    def __init__(self, node: MPI.Intracomm, own: dict[int, Array]) -> None:
        every = node.allgather([(i, a.shape, a.dtype) for i, a in own.items()])
        places = [_places([_bytes(shape, dtype) for _, shape, dtype in part]) for part in every]
        apart = MPI.Info.Create({"alloc_shared_noncontig": "true"})  # in pages of its own
        size = max(places[node.rank][-1], ALIGNMENT)
        self._open(node, MPI.Win.Allocate_shared(size, 1, apart, comm=node))
        apart.Free()
        self._arrays: dict[int, Array] = {}
        for rank, part in enumerate(every):
            memory = np.asarray(self.win.Shared_query(rank)[0]).view(np.uint8)
            for (i, shape, dtype), first in zip(part, places[rank], strict=False):
                end = first + _bytes(shape, dtype)
                self._arrays[i] = memory[first:end].view(dtype).reshape(shape)
        while own:
            i, a = own.popitem()
            self._arrays[i][...] = a
        self.ready()

    def __getitem__(self, i: int) -> Array:
        return self._arrays[i]

    def __iter__(self) -> Iterator[int]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)


def sharing(node: MPI.Intracomm | None, stack: ExitStack) -> Share:
    """What shares arrays for the life of ``stack``; without a node the own ones are all there is.

    What it returns is collective over ``node``.
    """
    if node is None:
        return lambda own: own
    return lambda own: stack.enter_context(NodeArrays(node, own))


def check_room(node: MPI.Intracomm | None, size: int) -> None:
    """Whether the ranks of a node can share ``size`` bytes each. Collective over ``node``.

    Raises ValueError. Without the check a rank would be killed at its first touch of the memory.
    """
    if node is None:
        return
    wanted = node.allreduce(size)
    if not SHARED_MEMORY.is_dir():
        return
    found = os.statvfs(SHARED_MEMORY)
    free = found.f_bavail * found.f_frsize
    if wanted > free:
        raise ValueError(
            f"{SHARED_MEMORY} has {free >> 20} MiB left, expected {-(-wanted >> 20)} MiB, which "
            "the ranks of a node share under --steal on"
        )


def _bytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    return math.prod(shape) * dtype.itemsize


def _places(sizes: list[int]) -> list[int]:
    """Where arrays of these many bytes begin, and where the last one ends."""
    padded = [-(-size // ALIGNMENT) * ALIGNMENT for size in sizes]
    return [0, *np.cumsum(padded, dtype=np.int64).tolist()]
