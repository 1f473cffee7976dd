"""A run put down on disk, to be taken up again by any number of ranks.

/          attrs format = "asyncred-checkpoint", version = 5, parameters (JSON), input_sha256, image
           (which of the problem), block = [bh, bw], ranks, seconds, G0_square, digest (of the other
           attributes, history and drifts)
/x         float32 or complex64 [H, W]
/velocity  like x: the momentum of each block, where there is one
/anchor    like x: the anchor of each block, where there is one
/r         float32 [groups, length]: the residual A x - y, where A couples the blocks
/per_block int64 [b]: updates of each block
/pace      float64 [b, 6]: how their steps shrink (``asyncred.red.pace``)
/delays    int64 [ranks, D]: histogram of each rank's delays
/history   float64 [S, columns], /drifts float64 [R]
/block_digests S32 [b]: of x, velocity, anchor, per_block and pace of each block
/rank_digests  S32 [ranks, 2]: of each rank's delays, and of its part of r

Block order, minibatches and decaying steps follow from the counts (``asyncred.red.sampling``).
Every rank writes its own part between two of its updates, so x and r of different ranks are of
different moments; one rank alone writes a state that is exact, and goes on from it bit for bit.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import h5py

from asyncred.files.digest import DIGEST, digest
from asyncred.files.whole import (
    InPlace,
    allocate,
    check_space,
    partial,
    renamed,
    reserve,
)
from asyncred.grid import BlockGrid
from asyncred.history import LONGEST_DELAY, Sample
from asyncred.operators import Image
from asyncred.red.pace import Pace, beginning

FORMAT, VERSION = "asyncred-checkpoint", 5
MOVES = ("velocity", "anchor")
"""Arrays like x that there may be."""
OF_BLOCKS, OF_RANKS = "block_digests", "rank_digests"
NAMES = ("x", *MOVES, "r", "per_block", "pace", "delays", OF_BLOCKS, OF_RANKS)
ROOM = 1 << 20
"""Bytes that a checkpoint takes besides its arrays, about."""
MOST_UPDATES = 1 << 53
"""Of a block: whole numbers up to this are exact in float64."""


@dataclass(frozen=True)
class Past:
    """What was done before, of all ranks."""

    per_block: NDArray[np.int64]
    pace: NDArray[np.float64]
    """As in the file."""
    delays: NDArray[np.int64]
    history: list[Sample] = field(default_factory=list)
    drifts: list[float] = field(default_factory=list)
    seconds: float = 0.0
    G0_square: float | None = None
    """||G||^2 of the start; None before every block was updated."""
    ranks: int = 0

    @classmethod
    def nothing(cls, blocks: int) -> Past:
        """Of a run that begins."""
        counts, delays = (np.zeros(n, np.int64) for n in (blocks, LONGEST_DELAY + 1))
        return cls(counts, beginning(blocks), delays)

    @property
    def updates(self) -> int:
        """Of all blocks."""
        return int(self.per_block.sum())

    @property
    def longest_delay(self) -> int:
        """In updates, as far as the histogram counts them."""
        return int(np.flatnonzero(self.delays).max(initial=0))


@dataclass(frozen=True)
class Head:
    """What is the same in all checkpoints of a run."""

    grid: BlockGrid
    dtype: type[np.generic]
    moves: tuple[str, ...]
    """Names of the arrays like x that there are."""
    residual: tuple[int, int] | None
    """Groups and length of r."""
    ranks: int
    parameters: Mapping[str, Any]
    input_sha256: str
    image: int


def previous(path: Path) -> Path:
    """Where the checkpoint before the last one is kept."""
    return path.with_name(f"{path.name}.previous")


def lay_out(path: Path, head: Head, past: Past) -> None:
    """A checkpoint that says what rank 0 knows; x, r, counts and delays have their place in it."""
    _check_space(path, head)
    with h5py.File(path, "w") as file:
        file.attrs.update({"format": FORMAT, "version": VERSION, "image": head.image})
        file.attrs.update({"parameters": json.dumps(dict(head.parameters))})
        file.attrs.update({"input_sha256": head.input_sha256, "ranks": head.ranks})
        file.attrs["block"] = head.grid.block_shape
        file.attrs["seconds"] = past.seconds
        if past.G0_square is not None:
            file.attrs["G0_square"] = past.G0_square
        rows = [[getattr(sample, name) for name in Sample.names()] for sample in past.history]
        file["history"] = np.reshape(rows, (-1, len(Sample.names()))).astype(np.float64)
        file["drifts"] = np.array(past.drifts, np.float64)
        reserve(file, "x", head.grid.shape, head.dtype)
        for name in head.moves:
            reserve(file, name, head.grid.shape, head.dtype, 0)
        if head.residual:
            reserve(file, "r", head.residual, np.float32)
        reserve(file, "per_block", (len(head.grid),), np.int64, 0)
        reserve(file, "pace", beginning(len(head.grid)).shape, np.float64, 0)
        reserve(file, "delays", (head.ranks, LONGEST_DELAY + 1), np.int64, 0)
        reserve(file, OF_BLOCKS, (len(head.grid),), DIGEST)
        reserve(file, OF_RANKS, (head.ranks, 2), DIGEST)
        file.attrs["digest"] = of_head(file)
    allocate(path)


def _check_space(path: Path, head: Head) -> None:
    """Raise OSError where the disk has no room for a checkpoint."""
    pixels = math.prod(head.grid.shape) * np.dtype(head.dtype).itemsize
    residual = 4 * math.prod(head.residual) if head.residual else 0
    check_space(path, pixels * (1 + len(head.moves)) + residual + ROOM)


def of_block(x: Image, moves: Sequence[Image], count: int, pace: NDArray[np.float64]) -> str:
    """The digest of what is kept of a block."""
    return digest(x, *moves, np.array(count, np.int64), np.asarray(pace, np.float64))


def of_head(file: h5py.File) -> str:
    """The digest of what rank 0 knows."""
    told = {name: np.asarray(file.attrs[name]).tolist() for name in file.attrs if name != "digest"}
    words = json.dumps(told, sort_keys=True, default=str)
    return digest(words.encode(), file["history"][()], file["drifts"][()])


@dataclass(frozen=True)
class Part:
    """What one rank adds, of its own blocks."""

    rank: int
    x: Mapping[int, Image]
    moves: Mapping[str, Mapping[int, Image]]
    """Arrays like x, by name."""
    counts: Mapping[int, int]
    pace: Pace
    delays: NDArray[np.int64]
    residual: tuple[int, NDArray[np.float32]] | None
    """The first of its groups, and r there."""


def write_part(path: Path, grid: BlockGrid, part: Part) -> None:
    """Add a part to what is laid out; it is on disk on return."""
    with InPlace(path, NAMES) as file:
        for i, block in part.x.items():
            file.put_region("x", (), grid.block(i), block)
            for name, arrays in part.moves.items():
                file.put_region(name, (), grid.block(i), arrays[i])
            file.put("per_block", (i,), np.array(part.counts[i]))
            file.put("pace", (i,), part.pace[i])
            moves = [np.asarray(part.moves[name][i]) for name in MOVES if name in part.moves]
            found = of_block(np.asarray(block), moves, part.counts[i], part.pace[i])
            file.put(OF_BLOCKS, (i,), np.array(found.encode(), DIGEST))
        file.put("delays", (part.rank,), part.delays)
        first, r = part.residual or (0, np.zeros((0, 0), np.float32))
        if len(r):
            file.put("r", (first,), r)
        told = digest(part.delays), digest(np.array(first), r)
        file.put(OF_RANKS, (part.rank,), np.array([one.encode() for one in told], DIGEST))
        file.sync()


def publish(temporary: Path, path: Path) -> None:
    """Make a complete checkpoint the last one, and keep the one before it; one always is there.

    The one before is not kept where the file system has no hard links.
    """
    if path.exists():
        link = partial(path)
        with suppress(OSError):  # of file systems without hard links
            os.link(path, link)
            link.replace(previous(path))
    renamed(temporary, path)
