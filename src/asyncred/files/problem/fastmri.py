"""Files of the fastMRI data set (Zbontar et al. 2018, arXiv:1811.08839), read as they are.

/kspace  complex64 [slices, coils, ky, kx] (multicoil) or [slices, ky, kx] (singlecoil)
/mask    [kx], 1 where a column is sampled; only in test sets: else those that are not all 0

The images are those that k-space gives, not cut to the size of the data set's targets. The files
have no sensitivities: they are calibrated, slice by slice.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import h5py

from asyncred.files.problem.calibration import SMALLEST, central, sensitivities
from asyncred.files.problem.cartesian_mri import Complex, MriData, one_coil
from asyncred.files.problem.fields import node
from asyncred.files.problem.head import Asked, block_for, read_stack
from asyncred.files.whole import open_hdf5
from asyncred.grid import BlockGrid


@dataclass(frozen=True)
class FastMriData(MriData):
    """The slices of a file."""

    multicoil: bool

    place = "/kspace"

    def kspace(self, coils: slice, rows: slice, cols: slice) -> Complex:
        """A part of k-space, complex [coils, ky, kx]."""
        index = self.stack.index
        with open_hdf5(self.path) as file:
            data = file["kspace"]
            if self.multicoil:
                return np.asarray(data[index, coils, rows, cols])
            return np.asarray(data[index, rows, cols])[None][coils]

    def sensitivities(self, blocks: list[int]) -> dict[int, Complex]:
        """s_c on some blocks, calibrated, complex64 [C, h, w]. Raises ValueError."""
        if self.multicoil:
            return sensitivities(self.center(), self.grid, blocks)
        return one_coil(self.grid, blocks)

    def phases(self, blocks: list[int]) -> dict[int, Complex]:
        """Those of a single coil; sensitivities that are calibrated have it in them."""
        return {} if self.multicoil else super().phases(blocks)


def is_fastmri(file: h5py.File) -> bool:
    """Whether it has /kspace."""
    return isinstance(file.get("kspace"), h5py.Dataset)


def read_fastmri(path: Path, file: h5py.File, asked: Asked) -> FastMriData:
    """Check /kspace and /mask. Raises ValueError."""
    data = node(path, file, "kspace", h5py.Dataset)
    if data.ndim not in (3, 4) or data.size == 0 or data.dtype.kind != "c":
        raise ValueError(
            f"{path}: /kspace is {data.dtype} {list(data.shape)}, expected complex64 "
            "[slices, coils, ky, kx] or [slices, ky, kx]"
        )
    multicoil, shape = data.ndim == 4, data.shape[-2:]
    columns = _columns(path, file, data)
    mask = np.broadcast_to(columns, shape).copy()
    found = tuple(max(0, part.stop - part.start) for part in central(mask))
    if multicoil and min(found) < SMALLEST:
        raise ValueError(
            f"{path}: /kspace has {found[0]} rows and {found[1]} columns sampled about its middle, "
            f"expected at least {SMALLEST} of each, for the sensitivities of the coils"
        )
    return FastMriData(
        path,
        BlockGrid(shape, block_for(shape, asked)),
        read_stack(path, data, data.ndim - 1, asked),
        mask,
        data.shape[1] if multicoil else 1,
        multicoil,
    )


def _columns(path: Path, file: h5py.File, data: h5py.Dataset) -> NDArray[np.bool_]:
    """Which columns are sampled, bool [kx]. Raises ValueError."""
    if "mask" in file:
        mask = node(path, file, "mask", h5py.Dataset)
        if mask.shape != data.shape[-1:] or mask.dtype.kind not in "buif":
            raise ValueError(
                f"{path}: /mask is {mask.dtype} {list(mask.shape)}, expected a number for each of "
                f"the {data.shape[-1]} columns of /kspace"
            )
        columns: NDArray[np.bool_] = np.asarray(mask[()]) != 0
    else:
        columns = (np.asarray(data[data.shape[0] // 2]) != 0).any(axis=tuple(range(data.ndim - 2)))
    if not columns.any():
        raise ValueError(
            f"{path}: /{'mask' if 'mask' in file else 'kspace'} is 0 everywhere, expected sampled "
            "columns"
        )
    return columns
