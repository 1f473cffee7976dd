"""The result file: NXtomoproc and Data Exchange at once, with history, delays and provenance.

/entry                        NXentry, definition NXtomoproc
  data/data                   float32 [1, H, W], also linked as /exchange/data
  start/data, truth/data      the start and, where known, the truth, float32 [1, H, W]
  complete                    uint8 [1]: 1 where the run reached its budget or tolerance
  reconstruction              program, version, date, parameters (JSON), command, input, its
                              sha256, ranks, hosts, why it stopped, whether the halo is exact
  convergence                 update, time (s), distance, step, snr (dB), delay: one row a sample
  updates                     per_block [b], per_rank [N], owner [b], delay_histogram
  timing                      per rank, s: loop, denoiser, gradient, slowed; rest (share)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import h5py

import asyncred
from asyncred.files import open_hdf5, written_whole
from asyncred.grid import BlockGrid
from asyncred.instrument import Times
from asyncred.monitor import Sample
from asyncred.operators import Image

Blocks = Iterable[tuple[int, Image]]

_KEYS = (
    "entry/data/data",
    "entry/start/data",
    "entry/complete",
    "entry/reconstruction/parameters",
    *(f"entry/convergence/{name}" for name in Sample.names()),
    *(f"entry/updates/{name}" for name in ("per_block", "per_rank", "delay_histogram")),
    *(f"entry/timing/{field.name}" for field in fields(Times)),
    "entry/timing/rest",
)


@dataclass(frozen=True)
class Record:
    """All that a result says besides its images."""

    history: list[Sample]
    per_block: NDArray[np.int64]
    owner: list[int]
    delays: NDArray[np.int64]
    times: list[Times]
    complete: bool
    provenance: Mapping[str, Any]
    """Goes into /entry/reconstruction; mappings as JSON."""


@dataclass(frozen=True)
class Result:
    """A result file, read: images float32 [H, W]; truth None where it is unknown."""

    path: Path
    image: Image
    start: Image
    truth: Image | None
    history: NDArray[np.float64]
    """One row a sample, columns as ``Sample.names()``."""
    per_block: NDArray[np.int64]
    per_rank: NDArray[np.int64]
    delays: NDArray[np.int64]
    timing: NDArray[np.float64]
    """One row a rank, columns as the fields of ``Times`` and then the rest's share."""
    complete: bool
    provenance: dict[str, Any]

    def column(self, name: str) -> NDArray[np.float64]:
        """One column of the history."""
        column: NDArray[np.float64] = self.history[:, Sample.names().index(name)]
        return column


def write_result(path: Path, grid: BlockGrid, record: Record, images: Mapping[str, Blocks]) -> None:
    """Write the file whole, each image block by block. ``images``: data, start, maybe truth."""
    with written_whole(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["default"] = "entry"
        entry = _group(file, "entry", "NXentry")
        entry.attrs["default"] = "data"
        entry["definition"] = "NXtomoproc"
        entry["complete"] = np.array([record.complete], np.uint8)
        for name, blocks in images.items():
            group = _group(entry, name, "NXdata")
            group.attrs.update({"signal": "data", "axes": ["z", "y", "x"]})
            group.update({"z": np.zeros(1), "y": np.arange(grid.shape[0])})
            group["x"] = np.arange(grid.shape[1])
            data = group.create_dataset("data", (1, *grid.shape), np.float32)
            for i, block in blocks:
                data[(0, *grid.block(i))] = block
        file.create_group("exchange")["data"] = entry["data/data"]
        _write_record(entry, record)


def _write_record(entry: h5py.Group, record: Record) -> None:
    reconstruction = _group(entry, "reconstruction", "NXprocess")
    reconstruction["program"] = "asyncred"
    reconstruction["version"] = asyncred.__version__
    reconstruction["date"] = datetime.now(timezone.utc).isoformat(timespec="seconds")
    for name, value in record.provenance.items():
        reconstruction[name] = json.dumps(value) if isinstance(value, dict) else value
    convergence = _group(entry, "convergence", "NXcollection")
    for name in Sample.names():
        convergence[name] = np.array([getattr(sample, name) for sample in record.history])
    convergence["seconds"].attrs["units"] = "s"
    convergence["snr"].attrs["units"] = "dB"
    updates = _group(entry, "updates", "NXcollection")
    updates["per_block"] = record.per_block
    updates["owner"] = record.owner
    updates["per_rank"] = np.bincount(
        record.owner, weights=record.per_block, minlength=len(record.times)
    ).astype(np.int64)
    updates["delay_histogram"] = record.delays
    timing = _group(entry, "timing", "NXcollection")
    for field in fields(Times):
        timing[field.name] = [getattr(times, field.name) for times in record.times]
        timing[field.name].attrs["units"] = "s"
    timing["rest"] = [times.rest for times in record.times]


def read_result(path: Path) -> Result:
    """Read a result file. Raises ValueError, naming the file, where it is none."""
    with open_hdf5(path) as file:
        missing = [key for key in _KEYS if key not in file]
        if missing:
            raise ValueError(f"{path}: /{missing[0]} is missing, expected a result of asyncred run")
        return _read(path, file)


def _read(path: Path, file: h5py.File) -> Result:
    entry = file["entry"]
    provenance = {name: _plain(node[()]) for name, node in entry["reconstruction"].items()}
    provenance["parameters"] = json.loads(provenance["parameters"])
    names = [*(field.name for field in fields(Times)), "rest"]
    return Result(
        path,
        entry["data/data"][0],
        entry["start/data"][0],
        entry["truth/data"][0] if "truth" in entry else None,
        np.column_stack([entry["convergence"][name][:] for name in Sample.names()]),
        entry["updates/per_block"][:],
        entry["updates/per_rank"][:],
        entry["updates/delay_histogram"][:],
        np.column_stack([entry["timing"][name][:] for name in names]),
        bool(entry["complete"][0]),
        provenance,
    )


def read_start(path: Path, grid: BlockGrid) -> h5py.Dataset:
    """The image of a result file, or ``/data`` of any HDF5 file, to start from; the file is open.

    Raises ValueError where neither is there or the shape is not the problem's.
    """
    file = open_hdf5(path)
    name = next((key for key in ("entry/data/data", "data") if key in file), None)
    if name is None:
        raise ValueError(f"{path}: neither /entry/data/data nor /data, expected an image")
    data = file[name]
    if not isinstance(data, h5py.Dataset):
        raise ValueError(f"{path}: /{name} is a group, expected an image")
    if data.shape[-2:] != grid.shape or data.shape[:-2] not in ((), (1,)):
        raise ValueError(f"{path}: /{name} is {list(data.shape)}, expected {list(grid.shape)}")
    return data


def _group(parent: h5py.Group, name: str, kind: str) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs["NX_class"] = kind
    return group


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in value.tolist()]
    return value.item() if isinstance(value, np.generic) else value
