"""A run put down on disk, to be taken up again by any number of ranks.

/          attrs format = "asyncred-checkpoint", version = 4, parameters (JSON), input_sha256, image
           (which of the problem), block = [bh, bw], ranks, seconds, G0_square
/x         float32 or complex64 [H, W]
/velocity  like x: the momentum of each block, where there is one
/anchor    like x: the anchor of each block, where there is one
/r         float32 [groups, length]: the residual A x - y, where A couples the blocks
/per_block int64 [b]: updates of each block
/pace      float64 [b, 6]: how their steps shrink (``asyncred.red.pace``)
/delays    int64 [ranks, D]: histogram of each rank's delays
/history   float64 [S, columns], /drifts float64 [R]

Block order, minibatches and decaying steps follow from the counts (``asyncred.red.sampling``).
Every rank writes its own part between two of its updates, so x and r of different ranks are of
different moments; one rank alone writes a state that is exact, and goes on from it bit for bit.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import h5py

from asyncred.files.problem.fields import node, string
from asyncred.files.whole import InPlace, open_hdf5, renamed, reserve
from asyncred.grid import BlockGrid
from asyncred.history import LONGEST_DELAY, Sample
from asyncred.operators import Image
from asyncred.red.pace import Pace, beginning

FORMAT, VERSION = "asyncred-checkpoint", 4
NAMES = ("x", "velocity", "anchor", "r", "per_block", "pace", "delays", "history", "drifts")


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
        file.put("delays", (part.rank,), part.delays)
        if part.residual and len(part.residual[1]):
            file.put("r", (part.residual[0],), part.residual[1])
        file.sync()


def publish(temporary: Path, path: Path) -> None:
    """Make a complete checkpoint the last one, and keep the one before it; one always is there.

    The one before is not kept where the file system has no hard links.
    """
    if path.exists():
        link = path.with_name(f".{path.name}.link")
        link.unlink(missing_ok=True)
        with suppress(OSError):  # of file systems without hard links
            os.link(path, link)
            link.replace(previous(path))
    renamed(temporary, path)


def read_parameters(path: Path) -> dict[str, Any]:
    """Those of the run that wrote a checkpoint or a result, where set. Raises ValueError."""
    with open_hdf5(path) as file:
        if "entry/reconstruction/parameters" in file:
            text = file["entry/reconstruction/parameters"].asstr()[()]
        else:
            _check_format(path, file)
            text = string(file, "parameters") or "{}"
    found: dict[str, Any] = json.loads(text)
    return {key: value for key, value in found.items() if value is not None}


def read_block(path: Path) -> tuple[int, int]:
    """The size of the blocks. Raises ValueError."""
    with _open(path) as file:
        height, width = file.attrs["block"]
        return int(height), int(width)


def read_past(
    path: Path, *, grid: BlockGrid, image: int, input_sha256: str, dtype: type[np.generic]
) -> Past:
    """What was done before. Raises ValueError where it belongs to another problem."""
    with _open(path) as file:
        x = node(path, file, "x", h5py.Dataset)
        counts = node(path, file, "per_block", h5py.Dataset)[()]
        if string(file, "input_sha256") != input_sha256:
            raise ValueError(f"{path}: of another problem file (its sha256 differs)")
        if (x.shape, x.dtype) != (grid.shape, np.dtype(dtype)):
            raise ValueError(
                f"{path}: /x is {x.dtype} {list(x.shape)}, expected {np.dtype(dtype)} "
                f"{list(grid.shape)}"
            )
        if file.attrs["image"] != image:
            raise ValueError(f"{path}: of image {file.attrs['image']}, expected {image}")
        if counts.shape != (len(grid),):
            raise ValueError(
                f"{path}: of {counts.size} blocks, expected {len(grid)}: "
                f"the size of the blocks must not change"
            )
        columns = (int, *(float,) * (len(Sample.names()) - 1))
        history = [
            Sample(*(kind(value) for kind, value in zip(columns, row, strict=True)))
            for row in file["history"][()]
        ]
        return Past(
            counts,
            file["pace"][()],
            file["delays"][()].sum(axis=0),
            history,
            file["drifts"][()].tolist(),
            float(file.attrs["seconds"]),
            float(file.attrs["G0_square"]) if "G0_square" in file.attrs else None,
            int(file.attrs["ranks"]),
        )


def read_blocks(path: Path, name: str, grid: BlockGrid, own: list[int]) -> dict[int, Image]:
    """x, velocity or anchor of some blocks; {} without. Raises ValueError where not finite."""
    with _open(path) as file:
        blocks = {i: file[name][grid.block(i)] for i in own} if name in file else {}
    for i, block in blocks.items():
        if not np.isfinite(block).all():
            raise ValueError(
                f"{path}: /{name}: block {i} holds NaN or Inf, expected finite numbers"
            )
    return blocks


def read_residual(path: Path, groups: range) -> NDArray[np.float32]:
    """r of some groups, float32 [groups, length]."""
    with _open(path) as file:
        r: NDArray[np.float32] = file["r"][groups.start : groups.stop]
    return r


@contextmanager
def _open(path: Path) -> Iterator[h5py.File]:
    """A checkpoint. Raises ValueError where it is none, or lacks something."""
    with open_hdf5(path) as file:
        _check_format(path, file)
        try:
            yield file
        except KeyError as error:
            raise ValueError(f"{path}: {' '.join(str(error).split())}") from None


def _check_format(path: Path, file: h5py.File) -> None:
    found = string(file, "format"), file.attrs.get("version")
    if found != (FORMAT, VERSION):
        raise ValueError(
            f"{path}: attributes format, version are {found[0]!r}, {found[1]}, "
            f"expected {FORMAT!r}, {VERSION}"
        )
