"""A problem file, opened: its head, checked, and what reads its measurements."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

import h5py

from asyncred.files.problem.block_random import read_block_random
from asyncred.files.problem.by_paths import flags_of, read_by_paths
from asyncred.files.problem.cartesian_mri import read_cartesian_mri
from asyncred.files.problem.convolution import read_convolution
from asyncred.files.problem.data_exchange import is_data_exchange, read_data_exchange
from asyncred.files.problem.fan_beam import read_fan_beam
from asyncred.files.problem.fastmri import is_fastmri, read_fastmri
from asyncred.files.problem.fields import node, string
from asyncred.files.problem.head import FORMAT, Asked, Places, has_truth, read_grid, read_range
from asyncred.files.problem.ismrmrd_file import is_ismrmrd
from asyncred.files.problem.ismrmrd_raw import read_ismrmrd
from asyncred.files.problem.kinds import CoupledData, Data, LocalData
from asyncred.files.problem.mask import read_mask
from asyncred.files.problem.matrix import read_matrix
from asyncred.files.problem.mri_data import MriData
from asyncred.files.problem.nxtomo import is_nxtomo, read_nxtomo
from asyncred.files.problem.parallel_beam import read_parallel_beam
from asyncred.files.problem.plausible import LOOKED_AT, Shades, of_images, spread
from asyncred.files.problem.plugin import installed, read_plugin
from asyncred.files.problem.raw_tomography import RawTomographyData
from asyncred.files.problem.sources import sources_of
from asyncred.files.problem.superresolution import read_superresolution
from asyncred.files.problem.surmise import looks_like
from asyncred.files.problem.tiff import is_stack
from asyncred.files.problem.tiff_scan import read_tiff_scan
from asyncred.files.problem.tomography import TomographyData
from asyncred.files.problem.weights import NAME, read_weights
from asyncred.files.whole import open_hdf5
from asyncred.grid import BlockGrid, Region
from asyncred.operators import Image

READERS: Mapping[str, Callable[[Path, h5py.File, BlockGrid, Asked], LocalData | CoupledData]] = {
    "block_random": read_block_random,
    "cartesian_mri": read_cartesian_mri,
    "parallel_beam": read_parallel_beam,
    "fan_beam": read_fan_beam,
    "matrix": read_matrix,
    "convolution": read_convolution,
    "superresolution": read_superresolution,
    "mask": read_mask,
}
"""What reads /operator and /measurements/y of a problem file, by kind."""

AnyData = TypeVar("AnyData", bound=Data)
Recognises = Callable[[h5py.File], bool]
ReadForeign = Callable[[Path, h5py.File, Asked], LocalData | CoupledData]

FOREIGN: Mapping[str, tuple[Recognises, ReadForeign]] = {
    "nxtomo": (is_nxtomo, read_nxtomo),
    "data_exchange": (is_data_exchange, read_data_exchange),
    "fastmri": (is_fastmri, read_fastmri),
    "ismrmrd": (is_ismrmrd, read_ismrmrd),
}
"""Files that others write: what recognises one and what reads it, by format."""

BY_PATHS, TIFF = "hdf5", "tiff"
"""HDF5 files of any layout, and folders of TIFF files."""

OTHERS = (*FOREIGN, BY_PATHS, TIFF)
"""What is no problem file of our own."""


@dataclass(frozen=True)
class Problem:
    """The head of a problem file, checked; the arrays are read by block."""

    path: Path
    kind: str
    data: LocalData | CoupledData
    """A and y."""
    shades: tuple[float, float] | None
    """The values of black and white; None where nothing but an image tells."""
    has_truth: bool
    stated: bool = False
    """Whether the file says these values; else 0 and 1 are assumed."""
    sources: tuple[Path, ...] = ()
    """Other files that this one takes values from."""

    @property
    def grid(self) -> BlockGrid:
        """The image and its blocks."""
        return self.data.grid

    @property
    def images(self) -> range:
        """Those that are asked for."""
        return self.data.stack.chosen

    def doubts(self, shades: Shades | None) -> tuple[str, ...]:
        """What makes the file look wrong, a line each; of a stack, some images are looked at.

        ``shades`` as ``Data.doubts`` takes them. Raises ValueError.
        """
        some = [self.images[k] for k in spread(len(self.images), LOOKED_AT)]
        found = {index: self.data.of(index).doubts(shades) for index in some}
        return of_images(found, stack=len(self.images) > 1)

    def noise(self) -> float | None:
        """The median of ``Data.noise`` over some images of the stack. Raises ValueError."""
        some = [self.images[k] for k in spread(len(self.images), LOOKED_AT)]
        found = [self.data.of(index).noise() for index in some]
        known = [noise for noise in found if noise is not None]
        return float(np.median(known)) if known else None

    def truth(self, region: Region, index: int) -> Image:
        """The truth of an image on a region, of its dtype."""
        with open_hdf5(self.path) as file:
            data = file["truth"]
            where = (index, *region) if data.ndim == 3 else region
            return np.asarray(data[where], self.data.dtype)


def read_problem(path: Path, asked: Asked | None = None) -> Problem:
    """Read and check the head of a problem file, or of a foreign one that is recognised.

    Raises ValueError, naming file, key, what was found and what was expected.
    """
    asked = asked or Asked()
    sources = [] if is_stack(path) else sources_of(path, follow=asked.follow_links)
    problem = replace(_read(path, asked), sources=tuple(sources))
    if problem.kind in OTHERS:
        problem = replace(problem, data=weighed(path, None, problem.kind, problem.data, asked))
    if asked.noise_scan is not None and not isinstance(problem.data, MriData):
        raise ValueError(f"{path}: --noise-scan is for MRI, found {problem.kind}")
    flag = _of_counts(asked)
    if flag and not isinstance(problem.data, RawTomographyData):
        raise ValueError(
            f"{path}: {flag} is for counts of tomography, NXtomo or Data Exchange, found "
            f"{problem.kind}"
        )
    return problem


def _of_counts(asked: Asked) -> str | None:
    """The first flag that nothing but counts can answer, if one was given."""
    corrections = asked.corrections
    given = {
        "--views": asked.views is not None,
        "--rings auto": corrections.rings,
        "--air auto": corrections.air,
        "--phase paganin": corrections.phase is not None,
    }
    return next((flag for flag, found in given.items() if found), None)


def _read(path: Path, asked: Asked) -> Problem:
    if is_stack(path):
        return Problem(path, TIFF, read_tiff_scan(path, asked), None, False)
    with open_hdf5(path) as file:
        found = string(file, "format")
        if asked.places != Places():
            return _read_by_paths(path, file, asked, own=found == FORMAT)
        _check_size(path, file, found, asked)
        if found == FORMAT:
            return _read_own(path, file, asked)
        for kind, (recognises, read) in FOREIGN.items():
            if recognises(file):
                return Problem(path, kind, read(path, file, asked), None, False)
        if "entry/convergence" in file:
            raise ValueError(
                f"{path}: is a result of asyncred run, expected a problem; asyncred show {path} "
                "shows it"
            )
        raise ValueError(
            f"{path}: attribute format is {found!r}, expected {FORMAT!r}, or a file of the format "
            f"{' or '.join(FOREIGN)}; {looks_like(file)}"
        )


def weighed(path: Path, file: h5py.File | None, kind: str, data: AnyData, asked: Asked) -> AnyData:
    """The same with the weights that are asked for, or those of the file. Raises ValueError.

    ``file``: a problem file of our own.
    """
    if asked.weights == "none":
        return data
    if asked.weights == "counts":
        if isinstance(data, TomographyData):
            return replace(data, by_counts=True)
        raise ValueError(
            f"{path}: --weights counts is for tomography, found {kind}; expected file, of "
            "/measurements/weights, or none"
        )
    if file is None:
        if asked.weights is None:
            return data
        raise ValueError(f"{path}: --weights file is for problem files, found {kind}")
    if asked.weights is None and NAME not in file:
        return data
    return data.weighed(read_weights(path, file, data.stack))


def _read_by_paths(path: Path, file: h5py.File, asked: Asked, *, own: bool) -> Problem:
    if own:
        raise ValueError(
            f"{path}: {' and '.join(flags_of(asked.places))} given, but the file is a problem of "
            "asyncred, which says where its data are: expected none of them"
        )
    return Problem(path, BY_PATHS, read_by_paths(path, file, asked), None, False)


def _read_own(path: Path, file: h5py.File, asked: Asked) -> Problem:
    grid = read_grid(path, file, asked)
    kind = _kind(path, file)
    data = READERS.get(kind, read_plugin)(path, file, grid, asked)
    data = weighed(path, file, kind, data, asked)
    known = has_truth(path, file, grid.shape, data.stack.images, data.dtype)
    stated = "range" in file["image"].attrs
    return Problem(path, kind, data, read_range(path, file), known, stated)


def _check_size(path: Path, file: h5py.File, found: str | None, asked: Asked) -> None:
    """Refuse ``Asked.size`` where the file says the size of the image. Raises ValueError."""
    if asked.size is None or (found != FORMAT and (is_nxtomo(file) or is_data_exchange(file))):
        return
    raise ValueError(
        f"{path}: --size is {asked.size}, but the file says how large its image is: expected no "
        "--size, which is for NXtomo and Data Exchange"
    )


def _kind(path: Path, file: h5py.File) -> str:
    """A kind that is built in or that an installed package brings. Raises ValueError."""
    kind = string(node(path, file, "operator", h5py.Group), "kind")
    if kind is not None and (kind in READERS or kind in installed()):
        return kind
    raise ValueError(
        f"{path}: /operator kind is {kind!r}, expected {' or '.join(READERS)}, or an installed "
        f"operator ({', '.join(installed()) or 'there is none'})"
    )
