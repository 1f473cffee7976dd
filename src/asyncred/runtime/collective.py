"""Agreeing on errors and gathering blocks: what every rank must reach together.

A rank that finds the input at fault must not raise alone: the others would wait for it for ever.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np

from asyncred.errors import BadImage, InputError
from asyncred.grid import BlockGrid, region_shape
from asyncred.operators import Image
from asyncred.runtime.comm import Alone, Comm

T = TypeVar("T")


def on_root(comm: Comm, function: Callable[[], T]) -> T:
    """The value of ``function``, called on rank 0, on every rank. Collective over comm.

    A ValueError or OSError becomes an InputError on every rank, a BadImage stays one.
    """
    outcome: tuple[T, InputError | None]
    outcome = comm.bcast(_attempt(function) if comm.rank == 0 else None)
    value, error = outcome
    if error is not None:
        raise error
    return value


def on_all(comm: Comm, function: Callable[[], T]) -> T:
    """The value of ``function``, called on every rank. Collective over comm.

    A ValueError or OSError on any rank becomes the InputError of the first such rank on every rank;
    a BadImage stays one.
    """
    value, error = _attempt(function)
    errors = [found for found in comm.allgather(error) if found is not None]
    if errors:
        raise errors[0]
    return value  # type: ignore[return-value]


def idle(comm: Comm) -> None:
    """A barrier that leaves the cores to those who still work. Collective over comm."""
    if isinstance(comm, Alone):
        return
    request = comm.Ibarrier()
    while not request.Test():
        time.sleep(2e-3)


def gather_blocks(
    comm: Comm,
    grid: BlockGrid,
    owner: Sequence[int],
    own: Mapping[int, Image],
    dtype: type[np.generic] = np.float32,
) -> Iterator[tuple[int, Image]]:
    """Yield every block on rank 0, one at a time, and none elsewhere. Collective over comm.

    Rank 0 never holds more than one block of another rank.
    """
    for i in range(len(grid)):
        if isinstance(comm, Alone):
            yield i, own[i]
        elif comm.rank == 0:
            if owner[i] == 0:
                yield i, own[i]
            else:
                block = np.empty(region_shape(grid.block(i)), dtype)
                comm.Recv(block, owner[i], tag=0)
                yield i, block
        elif owner[i] == comm.rank:
            comm.Send(np.ascontiguousarray(own[i], dtype), 0, tag=0)


def _attempt(function: Callable[[], T]) -> tuple[T | None, InputError | None]:
    try:
        return function(), None
    except (ValueError, OSError) as error:
        kind = BadImage if isinstance(error, BadImage) else InputError
        return None, kind(" ".join(str(error).split()))
