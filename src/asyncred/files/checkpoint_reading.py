"""A checkpoint that a run goes on from: read, and held against what was written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import h5py

from asyncred.files.checkpoint import (
    FORMAT,
    MOST_UPDATES,
    MOVES,
    OF_BLOCKS,
    OF_RANKS,
    VERSION,
    Past,
    of_block,
    of_head,
)
from asyncred.files.damage import one_line
from asyncred.files.digest import digest
from asyncred.files.problem.fields import finite, node, string
from asyncred.files.whole import open_hdf5
from asyncred.grid import BlockGrid
from asyncred.history import LONGEST_DELAY, Sample
from asyncred.operators import Image
from asyncred.red.pace import beginning


def read_parameters(path: Path) -> dict[str, Any]:
    """Those of the run that wrote a checkpoint or a result, where set. Raises ValueError."""
    with open_hdf5(path) as file:
        if "entry/reconstruction/parameters" in file:
            text = file["entry/reconstruction/parameters"].asstr()[()]
        else:
            _check_format(path, file)
            text = string(file, "parameters") or "{}"
    with one_line(path, "parameters"):
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
        past = _past(file, counts)
    if past is None:
        raise ValueError(f"{path}: {ALTERED}")
    return past


ALTERED = (
    "its contents are not those that were written (digests differ): expected an unchanged "
    "checkpoint; the one before it, if there is one, has the ending .previous"
)


def _past(file: h5py.File, counts: NDArray[np.int64]) -> Past | None:
    """What is said of the run so far; None where it makes no sense or was changed."""
    columns = (int, *(float,) * (len(Sample.names()) - 1))
    history = [
        Sample(*(kind(value) for kind, value in zip(columns, row, strict=True)))
        for row in file["history"][()]
    ]
    delays, pace = file["delays"][()], file["pace"][()]
    told = [one.decode() for one in file[OF_RANKS][:, 0]]
    if told != [digest(one) for one in delays]:
        return None
    whole = counts.dtype.kind == delays.dtype.kind == "i" and pace.dtype.kind == "f"
    if not whole or counts.min() < 0 or delays.min() < 0 or counts.max() > MOST_UPDATES:
        return None
    if pace.shape != beginning(len(counts)).shape or delays.shape[1:] != (LONGEST_DELAY + 1,):
        return None
    return Past(
        counts,
        pace,
        delays.sum(axis=0),
        history,
        file["drifts"][()].tolist(),
        float(file.attrs["seconds"]),
        float(file.attrs["G0_square"]) if "G0_square" in file.attrs else None,
        int(file.attrs["ranks"]),
    )


@dataclass(frozen=True)
class Blocks:
    """What a checkpoint holds of some blocks, each {} where it has none."""

    x: dict[int, Image]
    velocity: dict[int, Image]
    anchor: dict[int, Image]


def read_blocks(path: Path, grid: BlockGrid, own: list[int]) -> Blocks:
    """x, velocity and anchor of some blocks.

    Raises ValueError where they are not finite, or not those that were written.
    """
    with _open(path) as file:
        found = {
            name: {i: file[name][grid.block(i)] for i in own} if name in file else {}
            for name in ("x", *MOVES)
        }
        counts, pace, known = file["per_block"][()], file["pace"][()], file[OF_BLOCKS][()]
        for i in own:
            moves = [found[name][i] for name in MOVES if name in file]
            if known[i].decode() != of_block(found["x"][i], moves, int(counts[i]), pace[i]):
                raise ValueError(f"{path}: block {i}: {ALTERED}")
    for name, blocks in found.items():
        for i, block in blocks.items():
            finite(path, f"/{name}: block {i}", block)
    return Blocks(found["x"], found["velocity"], found["anchor"])


def read_residual(path: Path, groups: range) -> NDArray[np.float32]:
    """r of all groups as one rank alone has put it down, float32 [groups, length].

    Raises ValueError where it is not what was written.
    """
    with _open(path) as file:
        r: NDArray[np.float32] = file["r"][groups.start : groups.stop]
        if file[OF_RANKS][0, 1].decode() != digest(np.array(groups.start), r):
            raise ValueError(f"{path}: /r: {ALTERED}")
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
    if string(file, "digest") != of_head(file):
        raise ValueError(f"{path}: {ALTERED}")
