"""cartesian_mri in a problem file: multi-coil magnetic resonance on a Cartesian grid.

/operator        attrs kind = "cartesian_mri"
  mask           bool or uint8 [ky, kx] or [T, ky, kx], the sampled points; zero frequency at
                 [ky // 2, kx // 2]; optional: the points where y is not 0 in all coils
  coils          complex64 [C, H, W], the sensitivities; optional: one coil of ones
/measurements/y  complex64 [C, ky, kx] or [T, C, ky, kx]; what is outside of the mask is ignored
/measurements/noise_covariance  complex64 [C, C], of the noise of the coils; optional
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import h5py

from asyncred.files.problem.fields import finite, node
from asyncred.files.problem.head import Asked, Stack, read_stack, write_head
from asyncred.files.problem.mri_data import MriData, one_coil
from asyncred.files.problem.noise_files import covariance
from asyncred.files.problem.plausible import LOOKED_AT, spread
from asyncred.files.problem.sampling import Complex, Mask, Sampling, look_at, together, told
from asyncred.files.whole import open_hdf5, written_whole
from asyncred.grid import BlockGrid
from asyncred.operators import Image


@dataclass(frozen=True)
class CartesianMriData(MriData):
    """Those of a problem file."""

    sensed: bool
    """Whether the file has sensitivities."""

    def check(self) -> None:
        """Read all that can be wrong. Raises ValueError."""
        super().check()
        for block in range(len(self.grid)):
            self.sensitivities([block])

    def kspace(self, coils: slice, rows: slice, cols: slice) -> Complex:
        """A part of k-space, complex [coils, ky, kx], 0 where its weight is."""
        part = coils, rows, cols
        with open_hdf5(self.path) as file:
            k = np.asarray(file["measurements/y"][(*self.stack.leading, *part)])
        return self.known(k, part)

    def sensitivities(self, blocks: list[int]) -> dict[int, Complex]:
        """s_c on some blocks, complex64 [C, h, w]. Raises ValueError."""
        if not self.sensed:
            return one_coil(self.grid, blocks)
        with open_hdf5(self.path) as file:
            data = file["operator/coils"]
            found = {
                i: np.asarray(data[(slice(None), *self.grid.block(i))], np.complex64)
                for i in blocks
            }
        for i, s in found.items():
            finite(self.path, f"/operator/coils on block {i}", s)
        return found


def write_cartesian_mri(
    path: Path,
    truth: Image,
    y: Complex,
    *,
    block: tuple[int, int],
    mask: NDArray[np.bool_],
    coils: Complex,
) -> None:
    """Write a problem: truth complex64 [H, W], y complex64 [C, H, W], coils complex64 [C, H, W]."""
    with written_whole(path) as temporary, h5py.File(temporary, "w") as file:
        operator = write_head(file, BlockGrid(truth.shape, block), "cartesian_mri")
        operator["mask"] = mask
        operator["coils"] = coils
        file["measurements/y"] = y
        file["truth"] = truth.astype(np.complex64)


def read_cartesian_mri(
    path: Path, file: h5py.File, grid: BlockGrid, asked: Asked
) -> CartesianMriData:
    """Check /operator and /measurements/y. Raises ValueError."""
    sides = ", ".join(map(str, grid.shape))
    sensed, coils = "coils" in file["operator"], 1
    if sensed:
        s = node(path, file, "operator/coils", h5py.Dataset)
        if s.ndim != 3 or s.shape[1:] != grid.shape or s.shape[0] == 0 or s.dtype.kind != "c":
            raise ValueError(
                f"{path}: /operator/coils is {s.dtype} {list(s.shape)}, expected complex64 "
                f"[coils, {sides}]"
            )
        coils = s.shape[0]
    y = node(path, file, "measurements/y", h5py.Dataset)
    if y.ndim not in (3, 4) or y.shape[-3:] != (coils, *grid.shape) or y.dtype.kind != "c":
        raise ValueError(
            f"{path}: /measurements/y is {y.dtype} {list(y.shape)}, expected complex64 "
            f"[{coils}, {sides}] (coils, ky, kx), or this with a leading axis of images"
        )
    stack = read_stack(path, y, 3, asked)
    sampling = _sampling(path, file, grid, stack)
    Psi, note = covariance(path, file, coils, asked)
    remarks = (*told(path, "/measurements/y", sampling), *note)
    return CartesianMriData(path, grid, stack, sampling, coils, Psi, remarks, sensed)


def _sampling(path: Path, file: h5py.File, grid: BlockGrid, stack: Stack) -> Sampling:
    """The mask of each image, and what its central line tells. Raises ValueError."""
    y, images = file["measurements/y"], list(stack.chosen)
    masks = _read_masks(path, file, grid, stack)

    def read(image: int, coils: slice, rows: slice) -> Complex:
        lead = () if stack.images is None else (image,)
        return np.asarray(y[(*lead, coils, rows)])

    some = images if masks is None else [images[k] for k in spread(len(images), LOOKED_AT)]
    looks = look_at(read, y.shape[-3:], some)
    if masks is None:
        masks = {image: seen.sampled for image, seen in looks.items()}
    for image, mask in masks.items():
        if not mask.any():
            which = "" if stack.images is None else f" in image {image}"
            name = "operator/mask" if "mask" in file["operator"] else "measurements/y"
            raise ValueError(f"{path}: /{name} is 0 everywhere{which}, expected sampled points")
    # half a side is for a doubt: which of y, mask and coils is meant, only the user knows
    quarter = grid.shape[0] // 4, grid.shape[1] // 4
    return together(masks, looks, least=quarter)


def _read_masks(
    path: Path, file: h5py.File, grid: BlockGrid, stack: Stack
) -> Mapping[int, Mask] | None:
    """The sampled points by image; None where the file does not say. Raises ValueError."""
    if "mask" not in file["operator"]:
        return None
    data = node(path, file, "operator/mask", h5py.Dataset)
    shapes = [grid.shape, *([] if stack.images is None else [(stack.images, *grid.shape)])]
    if data.shape not in shapes or data.dtype.kind not in "bui":
        raise ValueError(
            f"{path}: /operator/mask is {data.dtype} {list(data.shape)}, expected bool or uint8 "
            f"{' or '.join(str(list(shape)) for shape in shapes)} (the image)"
        )
    if data.ndim == 2:
        return dict.fromkeys(stack.chosen, np.asarray(data[()]) != 0)
    return {image: np.asarray(data[image]) != 0 for image in stack.chosen}
