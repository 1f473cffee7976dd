"""The result file: NXtomoproc and Data Exchange at once, with history, delays and provenance.

/entry                        NXentry, definition NXtomoproc
  data/data                   float32 or complex64 [T, H, W], also linked as /exchange/data
  start/data, truth/data      the start and, where known, the truth, as data
  complete                    uint8 [T]: 1 where an image reached its budget or tolerance
  images                      int64 [T]: which images of the problem these are
  reconstruction              program, version, date, parameters (JSON), command, input, its
                              sha256, ranks, hosts, whether the halo is exact; by image: stopped,
                              range [T, 2] (values of black and white), residual_drift [T, R]
  convergence                 update, time (s), distance, step, snr (dB), delay: [T, S], one column
                              a sample; NaN, and -1 of updates, after the last
  updates                     per_block [T, b], per_rank [T, N], owner [b], delay_histogram [T, D]
  timing                      per rank, s: loop, denoiser, gradient, slowed; rest (share): [T, N]

All datasets have their place in the file before an image is in it, and images are written into
these places without a change of the file's structure: a file of a stack can be read, and whatever
is flagged complete is, at any moment and whenever the job dies.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import h5py

import asyncred
from asyncred.files import open_hdf5, written_whole
from asyncred.grid import BlockGrid
from asyncred.instrument import Times
from asyncred.monitor import LONGEST_DELAY, Sample
from asyncred.operators import Image

if TYPE_CHECKING:
    from typing_extensions import Self

Blocks = Iterable[tuple[int, Image]]

SAMPLES = 256
"""Most columns of a history in the file of a stack: a longer one is thinned out."""

REASON = "S16"
"""Why an image was stopped."""

_TIMES = (*(field.name for field in fields(Times)), "rest")
_KEYS = (
    "entry/data/data",
    "entry/start/data",
    "entry/complete",
    "entry/images",
    "entry/reconstruction/parameters",
    "entry/reconstruction/stopped",
    *(f"entry/convergence/{name}" for name in Sample.names()),
    *(f"entry/updates/{name}" for name in ("per_block", "per_rank", "delay_histogram")),
    *(f"entry/timing/{name}" for name in _TIMES),
)


@dataclass(frozen=True)
class Layout:
    """What is the same for all images of a result."""

    grid: BlockGrid
    dtype: type[np.generic]
    images: Sequence[int]
    """Which of the problem's."""
    owner: Sequence[int]
    ranks: int
    samples: int
    """Columns of the history."""
    drifts: int
    """How often the residual is computed anew for an image."""
    with_truth: bool
    provenance: Mapping[str, Any]
    """Goes into /entry/reconstruction; mappings as JSON."""


@dataclass(frozen=True)
class Record:
    """All that a result says of one image besides its pixels."""

    history: list[Sample]
    per_block: NDArray[np.int64]
    per_rank: NDArray[np.int64]
    delays: NDArray[np.int64]
    times: list[Times]
    complete: bool
    stopped: str
    shades: tuple[float, float]
    """The values of black and white."""
    drifts: list[float]
    """Of the residual, at each of its renewals."""


@dataclass(frozen=True)
class Result:
    """One image of a result file, read: float32 or complex64 [H, W]; truth None if unknown."""

    path: Path
    index: int
    """Its row."""
    completed: NDArray[np.bool_]
    """Of all images, [T]."""
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
    provenance: dict[str, Any]

    @property
    def complete(self) -> bool:
        """Whether this image reached its budget or tolerance."""
        return bool(self.completed[self.index])

    def column(self, name: str) -> NDArray[np.float64]:
        """One column of the history."""
        column: NDArray[np.float64] = self.history[:, Sample.names().index(name)]
        return column


class ResultFile:
    """A result that images are written into, one row each, wherever it lies; a context manager.

    Holds a file descriptor and no HDF5 file: readers may open it meanwhile.
    """

    def __init__(self, path: Path) -> None:
        with open_hdf5(path) as file:
            self._places = {
                name: (node.id.get_offset(), node.dtype, node.shape)
                for name, node in _datasets(file["entry"]).items()
            }
        self._file = os.open(path, os.O_WRONLY)

    def write(
        self, row: int, grid: BlockGrid, record: Record, images: Mapping[str, Blocks]
    ) -> None:
        """Write an image and what is said of it; its flag goes up when all is on disk.

        ``images`` maps data, start and maybe truth to their blocks.
        """
        for name, blocks in images.items():
            for i, block in blocks:
                self._put_block(f"{name}/data", row, grid, i, block)
        for name, values in _by_image(self._places, record).items():
            self._put(name, (row,), values)
        os.fsync(self._file)
        self._put("complete", (row,), np.array(record.complete))
        os.fsync(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def _put_block(self, name: str, row: int, grid: BlockGrid, i: int, block: Image) -> None:
        rows, cols = grid.block(i)
        for line, values in zip(range(rows.start, rows.stop), block, strict=True):
            self._put(name, (row, line, cols.start), values)

    def _put(self, name: str, where: tuple[int, ...], values: NDArray[Any]) -> None:
        """Overwrite a run of values of a dataset from an index on."""
        offset, dtype, shape = self._places[name]
        first = np.ravel_multi_index((*where, *(0,) * (len(shape) - len(where))), shape)
        data = np.ascontiguousarray(values, dtype).tobytes()
        place = offset + int(first) * dtype.itemsize
        while data:
            written = os.pwrite(self._file, data, place)
            data, place = data[written:], place + written


def write_result(path: Path, layout: Layout, record: Record, images: Mapping[str, Blocks]) -> None:
    """Write the file of one image, whole or not at all."""
    with written_whole(path) as temporary:
        _create(temporary, layout)
        with ResultFile(temporary) as file:
            file.write(0, layout.grid, record, images)


def create_result(path: Path, layout: Layout) -> None:
    """Write the file of a stack none of whose images is there yet."""
    with written_whole(path) as temporary:
        _create(temporary, layout)


def _create(path: Path, layout: Layout) -> None:
    T, ranks, b = len(layout.images), layout.ranks, len(layout.grid)
    with h5py.File(path, "w") as file:
        file.attrs["default"] = "entry"
        entry = _group(file, "entry", "NXentry")
        entry.attrs["default"] = "data"
        entry["definition"] = "NXtomoproc"
        entry["images"] = np.array(layout.images, np.int64)
        _reserve(entry, "complete", (T,), np.uint8, 0)
        for name in ("data", "start", *(["truth"] if layout.with_truth else [])):
            group = _group(entry, name, "NXdata")
            group.attrs.update({"signal": "data", "axes": ["z", "y", "x"]})
            group.update({"z": np.array(layout.images), "y": np.arange(layout.grid.shape[0])})
            group["x"] = np.arange(layout.grid.shape[1])
            _reserve(group, "data", (T, *layout.grid.shape), layout.dtype)
        file.create_group("exchange")["data"] = entry["data/data"]
        reconstruction = _group(entry, "reconstruction", "NXprocess")
        reconstruction["program"] = "asyncred"
        reconstruction["version"] = asyncred.__version__
        reconstruction["date"] = datetime.now(timezone.utc).isoformat(timespec="seconds")
        for name, value in layout.provenance.items():
            reconstruction[name] = json.dumps(value) if isinstance(value, dict) else value
        _reserve(reconstruction, "stopped", (T,), REASON)
        _reserve(reconstruction, "range", (T, 2), np.float64, np.nan)
        _reserve(reconstruction, "residual_drift", (T, layout.drifts), np.float64, np.nan)
        convergence = _group(entry, "convergence", "NXcollection")
        for name in Sample.names():
            kind, nothing = (np.int64, -1) if name == "updates" else (np.float64, np.nan)
            _reserve(convergence, name, (T, layout.samples), kind, nothing)
        convergence["seconds"].attrs["units"] = "s"
        convergence["snr"].attrs["units"] = "dB"
        updates = _group(entry, "updates", "NXcollection")
        updates["owner"] = np.array(layout.owner)
        sizes = {"per_block": b, "per_rank": ranks, "delay_histogram": LONGEST_DELAY + 1}
        for name, size in sizes.items():
            _reserve(updates, name, (T, size), np.int64, 0)
        timing = _group(entry, "timing", "NXcollection")
        for name in _TIMES:
            _reserve(timing, name, (T, ranks), np.float64, np.nan)
            timing[name].attrs["units"] = "" if name == "rest" else "s"


def _reserve(
    group: h5py.Group, name: str, shape: tuple[int, ...], dtype: Any, fill: object = None
) -> None:
    """A dataset whose bytes have their place in the file at once, so that it can be written to.

    With no value to fill it with, nothing is written there: what the file system has is zeros.
    """
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_layout(h5py.h5d.CONTIGUOUS)
    creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    if fill is None:
        creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    else:
        creation.set_fill_value(np.array(fill, dtype))
    space = h5py.h5s.create_simple(shape)
    h5py.h5d.create(group.id, name.encode(), h5py.h5t.py_create(np.dtype(dtype)), space, creation)


def _datasets(entry: h5py.Group) -> dict[str, h5py.Dataset]:
    """Those with a row for each image, by name below /entry."""
    names = [
        *("data/data", "start/data", "truth/data", "complete"),
        *(f"reconstruction/{name}" for name in ("stopped", "range", "residual_drift")),
        *(f"convergence/{name}" for name in Sample.names()),
        *(f"updates/{name}" for name in ("per_block", "per_rank", "delay_histogram")),
        *(f"timing/{name}" for name in _TIMES),
    ]
    return {name: entry[name] for name in names if name in entry and entry[name].size}


def _by_image(places: Mapping[str, Any], record: Record) -> dict[str, NDArray[Any]]:
    """What is said of one image, by dataset."""
    samples = places["convergence/updates"][2][1]
    kept = [record.history[k] for k in thinned(len(record.history), samples)]
    found = {
        "reconstruction/stopped": np.array(record.stopped.encode(), REASON),
        "reconstruction/range": np.array(record.shades),
        "reconstruction/residual_drift": np.array(record.drifts),
        **{
            f"convergence/{name}": np.array([getattr(sample, name) for sample in kept])
            for name in Sample.names()
        },
        "updates/per_block": record.per_block,
        "updates/per_rank": record.per_rank,
        "updates/delay_histogram": record.delays,
        **{
            f"timing/{name}": np.array([getattr(times, name) for times in record.times])
            for name in _TIMES
        },
    }
    return {name: values for name, values in found.items() if name in places}


def thinned(length: int, most: int) -> list[int]:
    """Places of at most so many of a list's items, spread evenly, the last among them."""
    if length <= most:
        return list(range(length))
    return sorted({round(k) for k in np.linspace(0, length - 1, most)})


def read_result(path: Path, row: int = 0) -> Result:
    """Read one image of a result file. Raises ValueError, naming the file, where it is none."""
    with open_hdf5(path) as file:
        missing = [key for key in _KEYS if key not in file]
        if missing:
            raise ValueError(f"{path}: /{missing[0]} is missing, expected a result of asyncred run")
        count = len(file["entry/images"])
        if not 0 <= row < count:
            raise ValueError(f"{path}: image {row}, expected 0 to {count - 1}")
        return _read(path, file, row)


def _read(path: Path, file: h5py.File, row: int) -> Result:
    entry = file["entry"]
    provenance = {
        name: _plain(node[row] if name in ("stopped", "range", "residual_drift") else node[()])
        for name, node in entry["reconstruction"].items()
    }
    provenance["parameters"] = json.loads(provenance["parameters"])
    provenance["residual_drift"] = [
        drift for drift in provenance["residual_drift"] if drift == drift
    ]
    history = np.column_stack([entry["convergence"][name][row] for name in Sample.names()])
    return Result(
        path,
        row,
        entry["complete"][:].astype(bool),
        entry["data/data"][row],
        entry["start/data"][row],
        entry["truth/data"][row] if "truth" in entry else None,
        history[history[:, 0] >= 0],
        entry["updates/per_block"][row],
        entry["updates/per_rank"][row],
        entry["updates/delay_histogram"][row],
        np.column_stack([entry["timing"][name][row] for name in _TIMES]),
        provenance,
    )


def read_start(
    path: Path, grid: BlockGrid, images: int = 1, dtype: type[np.generic] = np.float32
) -> h5py.Dataset:
    """The images of a result file, or ``/data`` of any HDF5 file, to start from; the file is open.

    One image for all, or as many as ``images``. Raises ValueError where neither is there, or the
    shape or kind is not the problem's.
    """
    file = open_hdf5(path)
    name = next((key for key in ("entry/data/data", "data") if key in file), None)
    if name is None:
        raise ValueError(f"{path}: neither /entry/data/data nor /data, expected an image")
    data = file[name]
    if not isinstance(data, h5py.Dataset):
        raise ValueError(f"{path}: /{name} is a group, expected an image")
    if data.shape[-2:] != grid.shape or data.shape[:-2] not in ((), (1,), (images,)):
        shape = list(grid.shape if images == 1 else (images, *grid.shape))
        raise ValueError(f"{path}: /{name} is {list(data.shape)}, expected {shape}")
    if data.dtype.kind not in ("fiu" if np.dtype(dtype).kind == "f" else "fiuc"):
        raise ValueError(f"{path}: /{name} is {data.dtype}, expected {np.dtype(dtype)}")
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
    return _plain(value.item()) if isinstance(value, np.generic) else value
