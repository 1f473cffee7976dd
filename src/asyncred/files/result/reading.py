"""What is read of a result file, an image at a time, and what a run can start from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import h5py

from asyncred.files.damage import one_line
from asyncred.files.digest import digest
from asyncred.files.problem.fields import node
from asyncred.files.result.writing import ROWS_OF_RECONSTRUCTION, TIMES
from asyncred.files.whole import PIECE, open_hdf5
from asyncred.grid import BlockGrid
from asyncred.history import Sample
from asyncred.operators import Image

_KEYS = (
    "entry/data/data",
    "entry/start/data",
    "entry/complete",
    "entry/images",
    "entry/reconstruction/parameters",
    "entry/reconstruction/stopped",
    *(f"entry/convergence/{name}" for name in Sample.names()),
    *(f"entry/updates/{name}" for name in ("per_block", "per_rank", "delay_histogram")),
    *(f"entry/timing/{name}" for name in TIMES),
)


@dataclass(frozen=True)
class Result:
    """One image of a result file, and how it was found."""

    path: Path
    """The result file."""
    index: int
    """The row of the image in the file, counted from 0."""
    completed: NDArray[np.bool_]
    """Which images of the file are complete, [T]."""
    image: Image
    """The image, float32 or complex64 [H, W]."""
    start: Image
    """The image from which the run began."""
    truth: Image | None
    """The true image, if it is known."""
    history: NDArray[np.float64]
    """One row a sample; ``column`` returns a column of it."""
    per_block: NDArray[np.int64]
    """How often each block was updated."""
    drafts: NDArray[np.int64]
    """How many of these updates were drafts by a cheaper denoiser; 0 if the file does not say."""
    per_rank: NDArray[np.int64]
    """How many updates each rank made."""
    delays: NDArray[np.int64]
    """How many updates had the delay 0, 1, 2 and so on."""
    timing: NDArray[np.float64]
    """Seconds of each rank, one row a rank, in the loop, the denoiser, the data gradient, and
    slowed on purpose; then the share of the rest."""
    provenance: dict[str, Any]
    """Verdict, parameters, notes, program, version, input and its checksum."""

    @property
    def complete(self) -> bool:
        """Whether this image reached its budget or tolerance."""
        return bool(self.completed[self.index])

    def column(self, name: str) -> NDArray[np.float64]:
        """One column of the history, by a name of :class:`~asyncred.history.Sample`."""
        column: NDArray[np.float64] = self.history[:, Sample.names().index(name)]
        return column


def read_result(path: Path, row: int = 0) -> Result:
    """Read one image of a result file. Raises ValueError, naming the file, where it is none."""
    with open_hdf5(path) as file:
        missing = [key for key in _KEYS if key not in file]
        if missing:
            raise ValueError(f"{path}: /{missing[0]} is missing, expected a result of asyncred run")
        count = len(file["entry/images"])
        if not 0 <= row < count:
            raise ValueError(f"{path}: image {row}, expected 0 to {count - 1}")
        check_row(path, file, row)
        return _read(path, file, row)


def _read(path: Path, file: h5py.File, row: int) -> Result:
    entry = file["entry"]
    provenance = {
        name: _plain(node[row] if name in ROWS_OF_RECONSTRUCTION else node[()])
        for name, node in entry["reconstruction"].items()
    }
    provenance["parameters"] = json.loads(provenance["parameters"])
    provenance["residual_drift"] = [
        drift for drift in provenance["residual_drift"] if drift == drift
    ]
    history = np.column_stack([entry["convergence"][name][row] for name in Sample.names()])
    timing = np.column_stack([entry["timing"][name][row] for name in TIMES])
    timing = timing[~np.isnan(timing).any(axis=1)]
    return Result(
        path,
        row,
        entry["complete"][:].astype(bool),
        entry["data/data"][row],
        entry["start/data"][row],
        entry["truth/data"][row] if "truth" in entry else None,
        history[history[:, 0] >= 0],
        entry["updates/per_block"][row],
        np.array(entry["updates/drafts"][row] if "updates/drafts" in entry else 0),
        entry["updates/per_rank"][row][: len(timing)],
        entry["updates/delay_histogram"][row],
        timing,
        provenance,
    )


def is_cut(path: Path) -> bool:
    """Whether a file is the result of one image whose run ended early, which may be replaced."""
    try:
        with open_hdf5(path) as file:
            found = all(key in file for key in _KEYS) and file["entry/complete"].shape == (1,)
            return bool(found and not file["entry/complete"][0])
    except ValueError:
        return False


def check_row(path: Path, file: h5py.File, row: int) -> None:
    """Raise ValueError unless an image of a result is what was written, as far as the file tells.

    Results of earlier versions tell nothing.
    """
    about, data = file["entry/reconstruction"], file["entry/data/data"]
    if "digest" not in about or not about["digest"][row]:
        return
    lines = max(1, PIECE // max(1, data.shape[2] * data.dtype.itemsize))
    found = digest(*(data[row, k : k + lines] for k in range(0, data.shape[1], lines)))
    if found.encode() != about["digest"][row]:
        raise ValueError(
            f"{path}: /entry/data/data: image {row} is not the one that was written (digests "
            "differ): expected an unchanged result; run it anew"
        )


def read_completed(
    path: Path,
    images: Sequence[int],
    *,
    grid: BlockGrid,
    dtype: type[np.generic],
    with_truth: bool,
    input_sha256: str,
) -> list[bool]:
    """Which images a result holds already. Raises ValueError where it is not one to go on with."""
    with open_hdf5(path) as file:
        missing = [key for key in _KEYS if key not in file]
        if missing:
            raise ValueError(f"{path}: /{missing[0]} is missing, expected a result to go on with")
        entry = file["entry"]
        data, blocks = entry["data/data"], entry["updates/per_block"].shape[1]
        digest = _plain(entry["reconstruction/input_sha256"][()])
        pairs = {
            "images": (entry["images"][:].tolist(), list(images)),
            "sha256 of the problem": (digest, input_sha256),
            "image": (f"{data.dtype} {data.shape[1:]}", f"{np.dtype(dtype)} {grid.shape}"),
            "blocks": (blocks, len(grid)),
            "truth": ("truth" in entry, with_truth),
        }
        for name, (found, expected) in pairs.items():
            if found != expected:
                raise ValueError(f"{path}: {name} is {found}, expected {expected} to go on with it")
        done = [bool(flag) for flag in entry["complete"][:]]
        for row in (row for row, flag in enumerate(done) if flag):
            check_row(path, file, row)
        return done


def read_result_block(path: Path) -> tuple[int, int]:
    """The size of the blocks of a result. Raises ValueError where it is none."""
    with open_hdf5(path) as file:
        if "entry/reconstruction/block" not in file:
            raise ValueError(f"{path}: /entry/reconstruction/block is missing, expected a result")
        height, width = file["entry/reconstruction/block"][()]
        return int(height), int(width)


def read_start(
    path: Path,
    grid: BlockGrid,
    images: Sequence[int] = (0,),
    dtype: type[np.generic] = np.float32,
) -> tuple[h5py.Dataset, dict[int, tuple[int, ...]]]:
    """What to start from: the images of a result file, or ``/data`` of any HDF5 file; it is open.

    Besides, what to index it with for each image: one image is the start of all; a result's are
    found by their numbers, others by their order. Raises ValueError where neither is there, or the
    shape or kind is not the problem's.
    """
    file = open_hdf5(path)
    name = next((key for key in ("entry/data/data", "data") if key in file), None)
    if name is None:
        raise ValueError(f"{path}: neither /entry/data/data nor /data, expected an image")
    data = node(path, file, name, h5py.Dataset)
    numbers = file["entry/images"][:].tolist() if "entry/images" in file else []
    rows: dict[int, tuple[int, ...]] = {
        image: (row,) for row, image in enumerate(numbers or images)
    }
    if data.ndim == 2:
        rows = dict.fromkeys(images, ())
    elif len(data) == 1:
        rows = dict.fromkeys(images, (0,))
    fits = data.ndim == 2 or (data.ndim == 3 and len(data) in (1, len(numbers or images)))
    if data.shape[-2:] != grid.shape or not fits:
        shape = list(grid.shape if len(images) == 1 else (len(images), *grid.shape))
        raise ValueError(f"{path}: /{name} is {list(data.shape)}, expected {shape}")
    if not set(images) <= set(rows):
        raise ValueError(f"{path}: holds images {numbers}, expected {list(images)} among them")
    if data.dtype.kind not in ("fiu" if np.dtype(dtype).kind == "f" else "fiuc"):
        raise ValueError(f"{path}: /{name} is {data.dtype}, expected {np.dtype(dtype)}")
    return data, rows


def check_start(
    path: Path, grid: BlockGrid, images: Sequence[int], dtype: type[np.generic]
) -> None:
    """Raise ValueError unless images can be started from, those of a result as it wrote them."""
    with one_line(path):
        data, rows = read_start(path, grid, images, dtype)
        with data.file as file:
            if data.name == "/entry/data/data" and "entry/reconstruction" in file:
                for image in images:
                    check_row(path, file, *(rows[image] or (0,)))


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in value.tolist()]
    return _plain(value.item()) if isinstance(value, np.generic) else value
