"""cartesian_mri in a problem file: multi-coil magnetic resonance on a Cartesian grid.

/operator        attrs kind = "cartesian_mri"
  mask           bool or uint8 [ky, kx], the sampled points; zero frequency at [ky // 2, kx // 2]
  coils          complex64 [C, H, W], the sensitivities; optional: one coil of ones
/measurements/y  complex64 [C, ky, kx] or [T, C, ky, kx]; what is outside of the mask is ignored
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

import h5py

from asyncred.files.problem.calibration import central, phases
from asyncred.files.problem.fields import finite, node
from asyncred.files.problem.head import Asked, read_stack, write_head
from asyncred.files.problem.kinds import CoupledData, Prior
from asyncred.files.problem.kspace import of_kspace
from asyncred.files.problem.plausible import VALUES, Shades, spread
from asyncred.files.whole import open_hdf5, written_whole
from asyncred.grid import BlockGrid, region_shape
from asyncred.operators import CartesianMri, Image

Complex = NDArray[np.complex64]

COILS, FEWEST_COILS = 4, 2
"""So many are looked at for what is wrong with them, if there are: of large ones the fewest."""


@dataclass(frozen=True)
class MriData(CoupledData):
    """Samples of k-space, by coil, wherever they are stored.

    The image x = P u is recovered as u: a denoiser of real images sees it better without its
    smooth phase.
    """

    mask: NDArray[np.bool_]
    """The sampled points, [ky, kx]."""
    coils: int

    dtype = np.complex64
    prior = Prior(0.1, level=5.0)
    starts = ("zero-filled", "adjoint")
    one_A = False
    place: ClassVar[str] = "/measurements/y"
    """The dataset of k-space."""

    def kspace(self, coils: slice, rows: slice, cols: slice) -> Complex:
        """A part of k-space, complex [coils, ky, kx]."""
        raise NotImplementedError

    def sensitivities(self, blocks: list[int]) -> dict[int, Complex]:
        """s_c on some blocks, complex64 [C, h, w]. Raises ValueError."""
        raise NotImplementedError

    @property
    def groups(self) -> int:
        """The number of coils, of which minibatches are drawn."""
        return self.coils

    @property
    def words(self) -> str:
        """How much was measured."""
        return f"{self.coils} coil(s), {self.mask.mean():.3g} of k-space"

    def bytes_of(self, blocks: int) -> int:
        """Memory of x, sensitivities, y, residual and what a transform takes."""
        share, n = blocks / len(self.grid), math.prod(self.grid.block_shape)
        samples = int(self.mask.sum())
        return round(8 * (blocks * n * (1 + self.coils) + self.coils * samples * (4 + 2 * share)))

    def doubts(self, shades: Shades | None) -> tuple[str, ...]:
        """About the samples of some coils, the first among them, and the mask."""
        most = max(FEWEST_COILS, min(COILS, VALUES // self.mask.size))
        some = [
            self.kspace(slice(c, c + 1), slice(None), slice(None)) for c in spread(self.coils, most)
        ]
        return of_kspace(np.concatenate(some), self.mask, self.place)

    def check(self) -> None:
        """Read all that can be wrong. Raises ValueError."""
        for coil in range(self.coils):
            self.y(range(coil, coil + 1))

    def center(self) -> Complex:
        """The sampled middle of k-space, complex64 [C, p, q]. Raises ValueError."""
        center = self.kspace(slice(None), *central(self.mask))
        finite(self.path, f"{self.place}: its centre", center)
        return center.astype(np.complex64)

    def phases(self, blocks: list[int]) -> dict[int, Complex]:
        """The smooth part of the image's phase, complex64 [h, w]. Raises ValueError."""
        return phases(self.center(), self.sensitivities(blocks), self.grid, blocks)

    def model(self, blocks: list[int], *, threads: int) -> CartesianMri:
        """A P on some blocks. Raises ValueError."""
        s, P = self.sensitivities(blocks), self.phases(blocks)
        coils = {i: s_i * P[i] for i, s_i in s.items()} if P else s
        return CartesianMri(self.grid, self.mask, coils, threads=threads)

    def y(self, coils: range) -> NDArray[np.float32]:
        """The samples of some coils, float32 [coils, 2 n]. Raises ValueError on NaN or Inf."""
        k = self.kspace(slice(coils.start, coils.stop), slice(None), slice(None))
        samples = np.ascontiguousarray(k[:, self.mask], np.complex64)
        finite(self.path, f"{self.place}: coils {coils.start} to {coils.stop - 1}", samples)
        return samples.view(np.float32)


def one_coil(grid: BlockGrid, blocks: list[int]) -> dict[int, Complex]:
    """The sensitivity of a coil that sees everything alike, complex64 [1, h, w]."""
    return {i: np.ones((1, *region_shape(grid.block(i))), np.complex64) for i in blocks}


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
        """A part of k-space, complex [coils, ky, kx]."""
        with open_hdf5(self.path) as file:
            return np.asarray(file["measurements/y"][(*self.stack.leading, coils, rows, cols)])

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
    mask, sides = _read_mask(path, file, grid), ", ".join(map(str, grid.shape))
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
    return CartesianMriData(path, grid, read_stack(path, y, 3, asked), mask, coils, sensed)


def _read_mask(path: Path, file: h5py.File, grid: BlockGrid) -> NDArray[np.bool_]:
    """The sampled points. Raises ValueError."""
    data = node(path, file, "operator/mask", h5py.Dataset)
    if data.shape != grid.shape or data.dtype.kind not in "bui":
        raise ValueError(
            f"{path}: /operator/mask is {data.dtype} {list(data.shape)}, expected bool or uint8 "
            f"{list(grid.shape)} (the image)"
        )
    mask: NDArray[np.bool_] = np.asarray(data[()]) != 0
    if not mask.any():
        raise ValueError(f"{path}: /operator/mask is 0 everywhere, expected sampled points")
    return mask
