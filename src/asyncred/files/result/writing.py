"""A result file is laid out, and filled image by image."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import h5py

from asyncred.files.digest import DIGEST
from asyncred.files.whole import InPlace, allocate, reserve, written_whole
from asyncred.grid import BlockGrid
from asyncred.history import LONGEST_DELAY, Sample, Times
from asyncred.operators import Image

Blocks = Iterable[tuple[int, Image]]

SAMPLES = 256
"""Most columns of a history in the file of a stack: a longer one is thinned out."""

REASON = "S16"
"""Why an image was stopped."""

LEFT_OUT = "S240"
"""Why an image was left out, what of that fits."""

TIMES = (*(field.name for field in fields(Times)), "rest")
ROWS_OF_RECONSTRUCTION = (
    "verdict",
    "stopped",
    "distance_left",
    "range",
    "residual_drift",
    "relaxation",
    "at_bounds",
    "reference_snr",
    "reference_ssim",
    "left_out",
    "digest",
)
ROWS = (
    *("data/data", "start/data", "truth/data", "complete"),
    *(f"reconstruction/{name}" for name in ROWS_OF_RECONSTRUCTION),
    *(f"convergence/{name}" for name in Sample.names()),
    *(
        f"updates/{name}"
        for name in ("per_block", "drafts", "owner", "per_rank", "delay_histogram")
    ),
    *(f"timing/{name}" for name in TIMES),
)
"""The datasets below /entry with a row for each image."""


@dataclass(frozen=True)
class Layout:
    """What is the same for all images of a result."""

    grid: BlockGrid
    dtype: type[np.generic]
    images: Sequence[int]
    """Which of the problem's."""
    ranks: int
    samples: int
    """Columns of the history."""
    drifts: int
    """How often the residual is computed anew for an image."""
    with_truth: bool
    provenance: Mapping[str, Any]
    """Goes into /entry/reconstruction; mappings as JSON."""

    def of(self, row: int) -> Layout:
        """That of a result with one of the images alone."""
        return replace(self, images=[self.images[row]])


@dataclass(frozen=True)
class Record:
    """All that a result says of one image besides its pixels."""

    history: list[Sample]
    per_block: NDArray[np.int64]
    drafts: NDArray[np.int64]
    """How many of these were drafts, by the cheaper denoiser."""
    owner: list[int]
    """The rank of each block, among those that shared the image."""
    per_rank: NDArray[np.int64]
    delays: NDArray[np.int64]
    times: list[Times]
    complete: bool
    stopped: str
    shades: tuple[float, float]
    """The values of black and white."""
    drifts: list[float]
    """Of the residual, at each of its renewals."""
    relaxation: float
    """The smallest factor by which the guard shortened the steps of a rank, 1 where it did not."""
    verdict: str = "not converged"
    """Or converged, or diverged."""
    left: float = math.inf
    """||x - x*|| / ||x||, estimated from the steps; inf where they do not shrink."""
    best: Sample | None = None
    """What is known of the x that is the result of a run that diverged, or went ``back``."""
    back: bool = False
    """Whether the result is that x, since the objective has risen since."""
    at_bounds: float = 0.0
    """Share of the pixels that lie on the bounds of x, where the user did not set them."""
    against: tuple[float, float] = (math.nan, math.nan)
    """SNR in dB and SSIM to the reference image of the file, after the best factor, where it has
    one."""


class ResultFile(InPlace):
    """A result that images are written into, one row each; a context manager."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, [f"entry/{name}" for name in ROWS])

    def write(
        self, row: int, grid: BlockGrid, record: Record, images: Mapping[str, Blocks]
    ) -> None:
        """Write an image and what is said of it; its flag goes up when all is on disk.

        ``images`` maps data, start and maybe truth to their blocks.
        """
        for name, blocks in images.items():
            for i, block in blocks:
                self.put_region(f"entry/{name}/data", (row,), grid.block(i), block)
        if "entry/reconstruction/digest" in self:
            found = np.array(self.digest("entry/data/data", row).encode(), DIGEST)
            self.put("entry/reconstruction/digest", (row,), found)
        samples = self.shape("entry/convergence/updates")[1]
        for name, values in _row(record, samples).items():
            if f"entry/{name}" in self:
                width = self.shape(f"entry/{name}")[1:]
                filler = _FILLERS.get(name, np.nan)
                self.put(f"entry/{name}", (row,), fitted(values, width, filler))
        self.sync()
        self.put("entry/complete", (row,), np.array(record.complete))
        self.sync()

    def leave_out(self, row: int, reason: str) -> None:
        """Say why an image of the stack is not there, and will not be."""
        for name, word in {"stopped": b"no measurements", "verdict": b"left out"}.items():
            self.put(f"entry/reconstruction/{name}", (row,), np.array(word, REASON))
        if "entry/reconstruction/left_out" in self:
            words = np.array(reason.encode(), LEFT_OUT)
            self.put("entry/reconstruction/left_out", (row,), words)
        self.sync()


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
        allocate(temporary)


def _create(path: Path, layout: Layout) -> None:
    T, ranks, b = len(layout.images), layout.ranks, len(layout.grid)
    with h5py.File(path, "w") as file:
        file.attrs["default"] = "entry"
        entry = _group(file, "entry", "NXentry")
        entry.attrs["default"] = "data"
        entry["definition"] = "NXtomoproc"
        entry["images"] = np.array(layout.images, np.int64)
        reserve(entry, "complete", (T,), np.uint8, 0)
        for name in ("data", "start", *(["truth"] if layout.with_truth else [])):
            group = _group(entry, name, "NXdata")
            group.attrs.update({"signal": "data", "axes": ["z", "y", "x"]})
            group.update({"z": np.array(layout.images), "y": np.arange(layout.grid.shape[0])})
            group["x"] = np.arange(layout.grid.shape[1])
            reserve(group, "data", (T, *layout.grid.shape), layout.dtype)
        file.create_group("exchange")["data"] = entry["data/data"]
        reconstruction = _group(entry, "reconstruction", "NXprocess")
        reconstruction["program"] = "asyncred"
        reconstruction["version"] = version("asyncred")
        reconstruction["date"] = datetime.now(timezone.utc).isoformat(timespec="seconds")
        for name, value in layout.provenance.items():
            reconstruction[name] = _stored(value)
        reserve(reconstruction, "verdict", (T,), REASON)
        reserve(reconstruction, "stopped", (T,), REASON)
        reserve(reconstruction, "left_out", (T,), LEFT_OUT)
        reserve(reconstruction, "digest", (T,), DIGEST)
        reserve(reconstruction, "distance_left", (T,), np.float64, np.nan)
        reserve(reconstruction, "range", (T, 2), np.float64, np.nan)
        reserve(reconstruction, "residual_drift", (T, layout.drifts), np.float64, np.nan)
        for name in ("relaxation", "at_bounds", "reference_snr", "reference_ssim"):
            reserve(reconstruction, name, (T,), np.float64, np.nan)
        convergence = _group(entry, "convergence", "NXcollection")
        for name in Sample.names():
            kind, nothing = (np.int64, -1) if name == "updates" else (np.float64, np.nan)
            reserve(convergence, name, (T, layout.samples), kind, nothing)
        convergence["seconds"].attrs["units"] = "s"
        convergence["snr"].attrs["units"] = "dB"
        updates = _group(entry, "updates", "NXcollection")
        sizes = {"per_block": b, "drafts": b, "owner": b, "per_rank": ranks}
        sizes["delay_histogram"] = LONGEST_DELAY + 1
        for name, size in sizes.items():
            reserve(updates, name, (T, size), np.int64, 0)
        timing = _group(entry, "timing", "NXcollection")
        for name in TIMES:
            reserve(timing, name, (T, ranks), np.float64, np.nan)
            timing[name].attrs["units"] = "" if name == "rest" else "s"


_FILLERS = {"convergence/updates": -1, "updates/per_rank": 0, "updates/delay_histogram": 0}
"""What fills a row up, where that is not NaN."""


def _stored(value: Any) -> Any:
    """As HDF5 takes it: mappings as JSON, and no bytes of file names that are not text."""
    if isinstance(value, dict):
        value = json.dumps(value)
    if isinstance(value, str):
        return value.encode(errors="surrogateescape").decode(errors="replace")
    return value


def _row(record: Record, samples: int) -> dict[str, NDArray[Any]]:
    """What is said of one image, by dataset, with so many samples of its history."""
    kept = [record.history[k] for k in thinned(len(record.history), samples)]
    return {
        "reconstruction/verdict": np.array(record.verdict.encode(), REASON),
        "reconstruction/stopped": np.array(record.stopped.encode(), REASON),
        "reconstruction/distance_left": np.array(record.left),
        "reconstruction/range": np.array(record.shades),
        "reconstruction/residual_drift": np.array(record.drifts),
        "reconstruction/relaxation": np.array(record.relaxation),
        "reconstruction/at_bounds": np.array(record.at_bounds),
        "reconstruction/reference_snr": np.array(record.against[0]),
        "reconstruction/reference_ssim": np.array(record.against[1]),
        **{
            f"convergence/{name}": np.array([getattr(sample, name) for sample in kept])
            for name in Sample.names()
        },
        "updates/per_block": record.per_block,
        "updates/drafts": record.drafts,
        "updates/owner": np.array(record.owner),
        "updates/per_rank": record.per_rank,
        "updates/delay_histogram": record.delays,
        **{
            f"timing/{name}": np.array([getattr(times, name) for times in record.times])
            for name in TIMES
        },
    }


def fitted(values: NDArray[Any], shape: tuple[int, ...], filler: float) -> NDArray[Any]:
    """Values of one axis, filled up to a width, or cut off at it: what is left over is added up."""
    if values.shape == shape or not shape:
        return values
    width = shape[0]
    if values.size > width:
        rest = values[width - 1 :].sum(keepdims=True) if values.dtype.kind == "i" else values[:0]
        return np.concatenate([values[: width - rest.size], rest])
    return np.concatenate([values, np.full(width - values.size, filler, values.dtype)])


def thinned(length: int, most: int) -> list[int]:
    """Places of at most so many of a list's items, spread evenly, the last among them."""
    if length <= most:
        return list(range(length))
    return sorted({round(k) for k in np.linspace(0, length - 1, most)})


def _group(parent: h5py.Group, name: str, kind: str) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs["NX_class"] = kind
    return group
