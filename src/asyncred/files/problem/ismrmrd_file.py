"""Raw data of ISMRMRD (Inati et al. 2017), as converters of the vendors' formats write them.

/dataset/xml   the header
/dataset/data  a compound of head, traj and data, one a readout; data holds complex64 [C, samples]

Cartesian, two-dimensional encoding: an image is a slice (and contrast, phase, repetition, set,
where there are several), its averages are averaged. Rows of k-space are the readout, columns the
phase encoding steps, with zero frequency in the middle. Lines for calibration are data too, but for
those of another encoding. The package ismrmrd says what the flags mean; readouts are taken from the
file together, by the names of their fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import h5py

from asyncred.files.problem.fields import node
from asyncred.files.problem.mri_header import Header
from asyncred.files.problem.sampling import Complex, Mask
from asyncred.files.whole import open_hdf5

DATA, XML = "dataset/data", "dataset/xml"

COUNTERS = ("slice", "contrast", "phase", "repetition", "set")
"""What tells images apart."""

SKIPPED = ("NAVIGATION", "PHASECORR", "HPFEEDBACK", "DUMMYSCAN", "RTFEEDBACK", "SURFACECOIL")
"""Readouts with these in a flag's name are none of the image's."""

Numbers = NDArray[np.int64]


def is_ismrmrd(file: h5py.File) -> bool:
    """Whether it has /dataset/data, a compound with head and data."""
    data = file.get(DATA)
    names = getattr(getattr(data, "dtype", None), "names", None) or ()
    return isinstance(data, h5py.Dataset) and {"head", "data"} <= set(names)


@dataclass(frozen=True)
class Lines:
    """The readouts of an image."""

    readouts: Numbers
    """Their numbers in the file, ascending."""
    columns: Numbers
    first: Numbers
    """The row of the first sample of each that is kept."""
    skip: Numbers
    """Samples before it that are not."""
    count: Numbers
    """How many are kept."""


@dataclass(frozen=True)
class Acquisitions:
    """The heads of all readouts of a file, and what reads some of them."""

    path: Path
    heads: NDArray[Any]
    noisy: Numbers
    """Readouts of noise."""
    imaging: Numbers
    skipped: int
    coils: int

    def noise(self) -> Complex:
        """The samples of the noise scan, complex [C, n]. Raises ValueError."""
        return self._joined(self.noisy)

    def samples(self) -> Complex:
        """All samples, complex [C, n], of a file that is a scan of noise. Raises ValueError."""
        return self._joined(self.imaging)

    def counter(self, name: str, readouts: Numbers) -> Numbers:
        """Of the encoding, 0 where the file has none of the name."""
        idx = self.heads["idx"]
        if name not in (idx.dtype.names or ()):
            return np.zeros(len(readouts), np.int64)
        return np.asarray(idx[name][readouts], np.int64)

    def head(self, name: str, readouts: Numbers) -> Numbers:
        """An integer of the heads, 0 where the file has none of the name."""
        if name not in (self.heads.dtype.names or ()):
            return np.zeros(len(readouts), np.int64)
        return np.asarray(self.heads[name][readouts], np.int64)

    def _joined(self, readouts: Numbers) -> Complex:
        with open_hdf5(self.path) as file:
            parts = list(read_lines(self.path, file, readouts, self.coils))
        return np.concatenate(parts, axis=1) if parts else np.zeros((self.coils, 0), np.complex64)


@dataclass(frozen=True)
class IsmrmrdSource:
    """Assembles the k-space of an image from its readouts."""

    path: Path
    shape: tuple[int, int, int]
    lines: Mapping[int, Lines]
    last: dict[int, Complex] = field(default_factory=dict, compare=False, repr=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return IsmrmrdSource, (self.path, self.shape, self.lines)

    def read(self, image: int, coils: slice, rows: slice) -> Complex:
        """Of an image, complex [coils, rows, kx]; averages averaged."""
        if image not in self.last:
            self.last.clear()
            self.last[image] = self._assembled(self.lines[image])
        return self.last[image][coils, rows].copy()

    def reference(self, image: int) -> None:
        """There is none."""

    def mask(self, image: int) -> Mask:
        """The points that some readout has, [ky, kx]."""
        mask, lines = np.zeros(self.shape[1:], bool), self.lines[image]
        for column, first, count in zip(lines.columns, lines.first, lines.count, strict=True):
            mask[first : first + count, column] = True
        return mask

    def _assembled(self, lines: Lines) -> Complex:
        total = np.zeros(self.shape, np.complex64)
        times = np.zeros(self.shape[1:], np.float32)
        with open_hdf5(self.path) as file:
            for k, line in enumerate(read_lines(self.path, file, lines.readouts, self.shape[0])):
                rows = slice(lines.first[k], lines.first[k] + lines.count[k])
                part = line[:, lines.skip[k] : lines.skip[k] + lines.count[k]]
                total[:, rows, lines.columns[k]] += part
                times[rows, lines.columns[k]] += 1
        total /= np.maximum(times, 1)
        return total


def acquisitions_of(path: Path, file: h5py.File) -> Acquisitions:
    """Read the heads of all readouts. Raises ValueError, without the package ismrmrd too."""
    try:
        from ismrmrd import constants
    except ImportError:
        raise ValueError(
            f"{path}: raw data of ISMRMRD, expected the package ismrmrd to read it: "
            "pip install 'asyncred[ismrmrd]'"
        ) from None
    data = node(path, file, DATA, h5py.Dataset)
    needed = {"flags", "number_of_samples", "active_channels", "center_sample", "idx"}
    missing = needed - set(data.dtype["head"].names or ())
    if missing:
        raise ValueError(
            f"{path}: /{DATA} head has no {' and no '.join(sorted(missing))}, expected heads of "
            "ISMRMRD"
        )
    heads = data.fields("head")[()]

    def flagged(*names: str) -> NDArray[np.bool_]:
        numbers = [
            getattr(constants, name)
            for name in dir(constants)
            if name.startswith("ACQ_IS_") and any(part in name for part in names)
        ]
        bits = np.uint64(sum(1 << (int(number) - 1) for number in numbers))
        return np.asarray((heads["flags"].astype(np.uint64) & bits) != 0)

    noise = flagged("NOISE_MEASUREMENT")
    other = flagged(*SKIPPED) & ~noise
    if "encoding_space_ref" in heads.dtype.names:
        other |= (heads["encoding_space_ref"] != 0) & ~noise
    imaging = np.flatnonzero(~noise & ~other)
    if (flagged("REVERSE") & ~noise & ~other).any():
        raise ValueError(
            f"{path}: /{DATA} has reversed readouts, as echo-planar imaging has, expected lines of "
            "one direction"
        )
    counted = imaging if imaging.size else np.flatnonzero(noise)
    if counted.size == 0:
        raise ValueError(f"{path}: /{DATA} has no readout of an image, expected some")
    channels = np.unique(heads["active_channels"][counted])
    if channels.size != 1 or channels[0] == 0:
        raise ValueError(
            f"{path}: /{DATA} has readouts of {channels.tolist()} channels, expected one number"
        )
    return Acquisitions(
        path, heads, np.flatnonzero(noise), imaging, int(other.sum()), int(channels[0])
    )


def source_of(found: Acquisitions, header: Header) -> tuple[IsmrmrdSource, tuple[str, ...]]:
    """Which readouts make up which image, and notes. Raises ValueError."""
    path, imaging = found.path, found.imaging
    if imaging.size == 0:
        raise ValueError(f"{path}: /{DATA} has no readout of an image, expected some")
    steps = found.counter("kspace_encode_step_2", imaging)
    if np.ptp(steps) > 0:
        raise ValueError(
            f"{path}: /{DATA} has kspace_encode_step_2 from {steps.min()} to {steps.max()}, a "
            "three-dimensional encoding, expected slices"
        )
    length = int(found.head("number_of_samples", imaging).max())
    rows = max(header.encoded[0], length)
    column = found.counter("kspace_encode_step_1", imaging)
    width = header.encoded[1] or int(column.max()) + 1
    middle = width // 2 if header.center is None else header.center
    column = column - middle + width // 2
    start = rows // 2 - found.head("center_sample", imaging)
    skip = found.head("discard_pre", imaging)
    count = found.head("number_of_samples", imaging) - skip - found.head("discard_post", imaging)
    first = start + skip
    wrong = (column < 0) | (column >= width) | (first < 0) | (first + count > rows) | (count < 1)
    if wrong.any():
        k = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"{path}: /{DATA} readout {imaging[k]} lies at column {column[k]}, rows {first[k]} to "
            f"{first[k] + count[k] - 1}, expected within {rows} rows and {width} columns: encoding "
            "limits or center_sample do not fit the header's encodedSpace"
        )
    keys = np.stack([found.counter(name, imaging) for name in COUNTERS], axis=1)
    images, which = np.unique(keys, axis=0, return_inverse=True)
    lines = {}
    for image in range(len(images)):
        own = np.flatnonzero(which.ravel() == image)
        lines[image] = Lines(imaging[own], column[own], first[own], skip[own], count[own])
    return IsmrmrdSource(path, (found.coils, rows, width), lines), _notes(found, images)


def _notes(found: Acquisitions, images: Numbers) -> tuple[str, ...]:
    """What the images are, and what was left out or averaged."""
    several = [name for k, name in enumerate(COUNTERS) if np.ptp(images[:, k]) > 0]
    averages = int(np.ptp(found.counter("average", found.imaging))) + 1
    notes = []
    if several and several != ["slice"]:
        notes.append(f"an image for each {', '.join(several)}: {len(images)}")
    if averages > 1:
        notes.append(f"{averages} averages averaged")
    if found.skipped:
        notes.append(f"{found.skipped} readouts of navigators and the like left out")
    return tuple(notes)


def read_lines(path: Path, file: h5py.File, readouts: Numbers, coils: int) -> list[Complex]:
    """The samples of some readouts in ascending order, complex64 [C, samples] each."""
    if readouts.size == 0:
        return []
    data = file[DATA].fields("data")
    first, last = int(readouts[0]), int(readouts[-1])
    if last - first < 4 * readouts.size:
        found = data[first : last + 1][readouts - first]
    else:
        found = data[readouts]
    lines = []
    for number, values in zip(readouts, found, strict=True):
        line = np.ascontiguousarray(values, np.float32)
        if line.size == 0 or line.size % (2 * coils):
            raise ValueError(
                f"{path}: /{DATA} readout {number} has {line.size} numbers, expected complex "
                f"samples of {coils} channels"
            )
        lines.append(line.view(np.complex64).reshape(coils, -1))
    return lines
