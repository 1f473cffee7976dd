"""Files of the fastMRI data set (Zbontar et al. 2018, arXiv:1811.08839), read as they are.

/kspace              complex64 [slices, coils, ky, kx] (multicoil) or [slices, ky, kx] (singlecoil)
/mask                [kx], [ky, kx] or [slices, ky, kx], 1 where k-space is sampled; only in test
                     sets: else what is not 0 in all coils
/ismrmrd_header      says which part of the readout is the image
/reconstruction_rss  or _esc, the image of the fully sampled scan, which results are compared with

The files have no sensitivities: they are estimated, slice by slice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import h5py

from asyncred.files.problem.fields import node
from asyncred.files.problem.head import Asked, Stack, read_stack
from asyncred.files.problem.mri_header import read_header
from asyncred.files.problem.noise_files import covariance
from asyncred.files.problem.plausible import LOOKED_AT, spread
from asyncred.files.problem.raw_mri import RawMri, RawMriData, raw_data
from asyncred.files.problem.sampling import Complex, Look, Mask, look_at, named
from asyncred.files.whole import open_hdf5
from asyncred.operators import Image

REFERENCES = ("reconstruction_rss", "reconstruction_esc")


@dataclass(frozen=True)
class FastMriSource:
    """Reads /kspace."""

    path: Path
    shape: tuple[int, int, int]
    multicoil: bool

    def read(self, image: int, coils: slice, rows: slice) -> Complex:
        """Of a slice, complex [coils, rows, kx]."""
        with open_hdf5(self.path) as file:
            return part(file["kspace"], image, coils, rows)

    def reference(self, image: int) -> Image | None:
        """The image of the fully sampled scan, float32 [h, w], where the file has one."""
        with open_hdf5(self.path) as file:
            for name in REFERENCES:
                data = file.get(name)
                if isinstance(data, h5py.Dataset) and data.ndim == 3 and image < len(data):
                    return np.asarray(data[image], np.float32)
        return None


def part(data: h5py.Dataset, image: int, coils: slice, rows: slice) -> Complex:
    """Of a slice of /kspace, complex [coils, rows, kx]."""
    if data.ndim == 4:
        return np.asarray(data[image, coils, rows])
    return np.asarray(data[image, rows])[None][coils]


def is_fastmri(file: h5py.File) -> bool:
    """Whether it has /kspace."""
    return isinstance(file.get("kspace"), h5py.Dataset)


def read_fastmri(path: Path, file: h5py.File, asked: Asked) -> RawMriData:
    """Check /kspace and /mask. Raises ValueError."""
    data = node(path, file, "kspace", h5py.Dataset)
    if data.ndim not in (3, 4) or data.size == 0 or data.dtype.kind != "c":
        raise ValueError(
            f"{path}: /kspace is {data.dtype} {list(data.shape)}, expected complex64 "
            "[slices, coils, ky, kx] or [slices, ky, kx]"
        )
    multicoil = data.ndim == 4
    shape = (data.shape[1] if multicoil else 1, *data.shape[-2:])
    stack = read_stack(path, data, data.ndim - 1, asked)
    told = _told(path, file, data, stack)
    for name in REFERENCES:
        if name in file:
            node(path, file, name, h5py.Dataset)
    images = list(stack.chosen)
    if told is not None:
        images = [images[k] for k in spread(len(images), LOOKED_AT)]

    def read(image: int, coils: slice, rows: slice) -> Complex:
        return part(data, image, coils, rows)

    looks = look_at(read, shape, images)
    masks, notes = _masks(told, looks)
    Psi, remarks = covariance(path, file, shape[0], asked)
    header = read_header(path, file, "ismrmrd_header")
    raw = RawMri(read, stack, masks, looks, header, Psi, (*remarks, *notes), calibrated=multicoil)
    return raw_data(FastMriSource(path, shape, multicoil), raw, asked, "/kspace")


def _masks(
    told: Mapping[int, Mask] | None, looks: Mapping[int, Look]
) -> tuple[Mapping[int, Mask], list[str]]:
    """By slice what is sampled: what the file says without what is 0 there; and notes."""
    if told is None:
        return {image: look.sampled for image, look in looks.items()}, []
    measured: Mask = np.any([look.sampled for look in looks.values()], axis=0)
    if not measured.any():
        return dict.fromkeys(told, measured), []
    masks = {image: mask & measured for image, mask in told.items()}
    mask = next(iter(told.values()))
    lost = int((mask & ~measured).sum())
    if lost == 0:
        return masks, []
    left = np.flatnonzero((mask & measured).any(axis=1))
    rows = np.setdiff1d(np.flatnonzero(mask.any(axis=1)), left)
    which = f", rows {named_range(rows)} among them" if rows.size else ""
    return masks, [
        f"/mask: {100 * lost / mask.sum():.0f} % of what it calls sampled is 0 in all coils"
        f"{which}: taken as not measured"
    ]


def named_range(numbers: np.ndarray) -> str:
    """Numbers that follow each other by the first and the last."""
    if numbers.size and numbers[-1] - numbers[0] == numbers.size - 1:
        return f"{numbers[0]} to {numbers[-1]}"
    return named(numbers.tolist())


def _told(
    path: Path, file: h5py.File, data: h5py.Dataset, stack: Stack
) -> Mapping[int, Mask] | None:
    """What /mask calls sampled, by slice, [ky, kx]; None without one. Raises ValueError."""
    if "mask" not in file:
        return None
    mask, shape = node(path, file, "mask", h5py.Dataset), data.shape[-2:]
    shapes = [shape[1:], shape, (len(data), *shape)]
    if mask.shape not in shapes or mask.dtype.kind not in "buif":
        raise ValueError(
            f"{path}: /mask is {mask.dtype} {list(mask.shape)}, expected a number for each of "
            f"the {shape[1]} columns of /kspace, or of its points {list(shape)}"
        )
    found = np.asarray(mask[()]) != 0
    if not found.any():
        raise ValueError(f"{path}: /mask is 0 everywhere, expected sampled columns")
    if found.ndim < 3:
        return dict.fromkeys(stack.chosen, np.broadcast_to(found, shape).copy())
    return {image: found[image] for image in stack.chosen}
