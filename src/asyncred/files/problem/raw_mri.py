"""Raw k-space of MRI scanners: an image a slice, sensitivities from the centre of k-space.

The readout is sampled twice as densely as the image needs, so that what lies beside it does not
fold onto it. Its transform is cut to the image where all samples of a line are there: that is exact
and halves the work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import scipy
from numpy.typing import NDArray

from asyncred.files.problem.calibration import SMALLEST, central
from asyncred.files.problem.espirit import espirit
from asyncred.files.problem.head import Asked, Stack, block_for
from asyncred.files.problem.mri_data import ALL, MriData, one_coil
from asyncred.files.problem.mri_header import Header
from asyncred.files.problem.noise import estimated, outer, outer_rows
from asyncred.files.problem.plausible import LOOKED_AT, spread
from asyncred.files.problem.sampling import (
    Complex,
    Look,
    Mask,
    Read,
    Sampling,
    named,
    together,
    told,
)
from asyncred.grid import BlockGrid
from asyncred.operators import Image


class Source(Protocol):
    """What reads raw k-space; small, as every rank gets a copy."""

    @property
    def path(self) -> Path:
        """Of the file."""
        ...

    @property
    def shape(self) -> tuple[int, int, int]:
        """Coils, rows (readout) and columns of a slice."""
        ...

    def read(self, image: int, coils: slice, rows: slice) -> Complex:
        """Of a slice, complex [coils, rows, kx]."""
        ...

    def reference(self, image: int) -> Image | None:
        """The image that the scanner or the data set has of it, if any, float32 [h, w]."""
        ...


class Last:
    """What was read of the last slice; a copy on another rank begins with nothing."""

    def __init__(self) -> None:
        self.image: int | None = None
        self.k: Complex | None = None
        self.coils: dict[int, Complex] = {}

    def turn(self, image: int) -> Last:
        """Forget what is of another slice."""
        if image != self.image:
            self.image, self.k, self.coils = image, None, {}
        return self

    def __reduce__(self) -> tuple[type[Last], tuple[()]]:
        return Last, ()


@dataclass(frozen=True)
class RawMri:
    """What was found in a file before any slice is read."""

    read: Read
    """Of the file while it is open."""
    stack: Stack
    masks: Mapping[int, Mask]
    """By slice, [ky, kx]."""
    looks: Mapping[int, Look]
    """At some or all slices."""
    header: Header | None
    covariance: NDArray[Any] | None
    """Of the noise, where it is known."""
    notes: tuple[str, ...]
    calibrated: bool = True
    """Whether sensitivities are estimated; else there is one coil of ones."""


@dataclass(frozen=True)
class RawMriData(MriData):
    """The slices of a file."""

    source: Source
    rows: int
    """Of the readout's pixels so many are the image."""
    calibrated: bool
    at: str
    last: Last = field(default_factory=Last, compare=False, repr=False)

    unit = "slice"

    @property
    def place(self) -> str:  # type: ignore[override]
        """The dataset of k-space."""
        return self.at

    def bytes_of(self, blocks: int) -> int:
        """The same, with what is kept of a slice."""
        share = blocks / len(self.grid)
        return super().bytes_of(blocks) + round(
            8 * self.coils * self.mask.size * ((self.rows < self.source.shape[1]) + share)
        )

    def kspace(self, coils: slice, rows: slice, cols: slice) -> Complex:
        """A part of k-space, complex [coils, ky, kx]."""
        index = self.stack.index
        if self.rows == self.source.shape[1]:
            return self.source.read(index, coils, rows)[:, :, cols]
        last = self.last.turn(index)
        if last.k is None:
            last.k = cropped(self.source.read(index, ALL, ALL), self.rows)
        return last.k[coils, rows, cols]

    def sensitivities(self, blocks: list[int]) -> dict[int, Complex]:
        """s_c on some blocks, estimated, complex64 [C, h, w]. Raises ValueError."""
        if not self.calibrated:
            return one_coil(self.grid, blocks)
        known = self.last.turn(self.stack.index).coils
        missing = [i for i in blocks if i not in known]
        if missing:
            known.update(self._estimated(missing))
        return {i: known[i] for i in blocks}

    def phases(self, blocks: list[int]) -> dict[int, Complex]:
        """Those of a single coil; sensitivities that are estimated have it in them.

        Then P is 1 in the object and 0 beside it, where nothing is measured of x.
        """
        if not self.calibrated:
            return super().phases(blocks)
        coils = self.sensitivities(blocks)
        return {i: np.asarray(s.any(axis=0), np.complex64) for i, s in coils.items()}

    def _estimated(self, blocks: list[int]) -> dict[int, Complex]:
        found, W = espirit(self.center(), self.grid, blocks, self.sampling.offset), self.whitening
        if W is None:
            return found
        inverse = np.linalg.pinv(W)
        return {i: _normed(np.tensordot(inverse, s, axes=1)) for i, s in found.items()}

    def reference(self) -> Image | None:
        """The image that the file has of the slice, if any."""
        return self.source.reference(self.stack.index)


def cropped(k: Complex, rows: int) -> Complex:
    """k-space [C, readout, kx] of the middle rows of the image alone, [C, rows, kx]."""
    first = k.shape[1] // 2 - rows // 2
    whole = scipy.fft.ifft(np.fft.ifftshift(k, axes=1), axis=1, norm="ortho")
    part = np.fft.fftshift(whole, axes=1)[:, first : first + rows]
    out = scipy.fft.fft(np.fft.ifftshift(part, axes=1), axis=1, norm="ortho")
    found: Complex = np.fft.fftshift(out, axes=1).astype(np.complex64)
    return found


def raw_data(source: Source, raw: RawMri, asked: Asked, at: str) -> RawMriData:
    """What to run with; ``at`` is the place of k-space in the file. Raises ValueError."""
    coils, readout, width = source.shape
    sampling = _sampling(source.path, raw, at)
    Psi, notes = raw.covariance, [*raw.notes, *told(source.path, at, sampling)]
    if Psi is None and coils > 1:
        Psi, note = _estimate(source, raw)
        notes += [note] if note else []
    rows, note = _rows(raw, sampling, readout)
    notes += [note] if note else []
    if rows < readout:
        sampling = _shortened(sampling, rows)
    if raw.calibrated:
        _check_center(source.path, sampling, at)
    shape = rows, width
    return RawMriData(
        source.path,
        BlockGrid(shape, block_for(shape, asked)),
        raw.stack,
        sampling,
        coils,
        Psi,
        tuple(notes),
        source,
        rows,
        raw.calibrated,
        at,
    )


def _sampling(path: Path, raw: RawMri, at: str) -> Sampling:
    """Raises ValueError where a slice holds nothing."""
    empty = [image for image, mask in raw.masks.items() if not mask.any()]
    if len(empty) == len(raw.masks):
        raise ValueError(f"{path}: {at} is 0 everywhere, expected sampled columns")
    if empty:
        raise ValueError(
            f"{path}: {at} is 0 everywhere in slice {named(empty)}, expected sampled columns: "
            "--images A:B leaves slices out"
        )
    shape = next(iter(raw.masks.values())).shape
    return together(raw.masks, raw.looks, least=(shape[0], shape[1]))


def _rows(raw: RawMri, sampling: Sampling, readout: int) -> tuple[int, str]:
    """How many rows the image has, and a note."""
    rows = readout if raw.header is None else raw.header.rows(readout)
    if rows == readout:
        return readout, ""
    whole = all((mask == mask.any(axis=0)).all() for mask in sampling.masks)
    if not whole:
        return readout, (
            f"readout of {readout} samples left as it is, though the image has {rows} rows by the "
            "header: some samples of it are missing"
        )
    return rows, f"readout of {readout} samples cut to the {rows} rows of the image, by the header"


def _shortened(sampling: Sampling, rows: int) -> Sampling:
    """The sampling after the readout, of which all was sampled, is cut."""
    readout, (row, column) = sampling.masks.shape[1], sampling.offset
    offset = round(row * rows / readout), column
    return Sampling(sampling.masks[:, :rows], sampling.which, sampling.dead, offset)


def _check_center(path: Path, sampling: Sampling, at: str) -> None:
    """Raise ValueError where the centre of a slice is not sampled as calibration needs it."""
    back = [-shift for shift in sampling.offset]
    for number, mask in enumerate(sampling.masks):
        region = central(np.roll(mask, back, axis=(0, 1)))
        found = tuple(max(0, part.stop - part.start) for part in region)
        if min(found) < SMALLEST:
            image = next(i for i, which in sampling.which.items() if which == number)
            some = f"slice {image} of " if len(sampling.masks) > 1 else ""
            raise ValueError(
                f"{path}: {some}{at} has {found[0]} rows and {found[1]} columns sampled about its "
                f"middle, expected at least {SMALLEST} of each, for the sensitivities of the coils"
            )


def _estimate(source: Source, raw: RawMri) -> tuple[NDArray[Any] | None, str]:
    """The noise of the coils from the outermost samples of some slices, and a note."""
    readout = source.shape[1]
    some = [raw.stack.chosen[k] for k in spread(len(raw.stack.chosen), LOOKED_AT)]
    parts = []
    for image in some:
        dead = next((look.dead for look in [raw.looks.get(image)] if look), ())
        for rows in outer_rows(readout):
            k = raw.read(image, ALL, rows)
            k[list(dead)] = 0
            parts.append(outer(k, raw.masks[image][rows]))
    return estimated(np.concatenate(parts, axis=1))


def _normed(u: Complex) -> Complex:
    """Divided by the root sum of squares of the coils; 0 where that is."""
    norm = np.sqrt(np.sum(np.square(np.abs(u)), axis=0))
    out = np.divide(u, norm, out=np.zeros_like(u), where=norm > 0)
    return np.asarray(out, np.complex64)
