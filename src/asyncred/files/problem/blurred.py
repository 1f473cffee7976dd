"""What convolution and superresolution have in common in a problem file: a kernel, y on a lattice.

    y = (k * x)[::factor, ::factor] + noise,    x 0 outside of the image

A rank reads of y what its blocks have a part in, and the kernel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import h5py

from asyncred.files.problem.fields import finite, node, reals
from asyncred.files.problem.head import write_head
from asyncred.files.problem.kinds import LocalData
from asyncred.files.problem.noise_estimate import middle, of_image, relative
from asyncred.files.problem.plausible import (
    OUTSIDE,
    PARTS,
    VALUES,
    Shades,
    of_level,
    of_values,
    said,
    spread,
)
from asyncred.files.problem.weights import Part
from asyncred.files.whole import open_hdf5, written_whole
from asyncred.grid import BlockGrid, region_shape
from asyncred.operators import Image
from asyncred.operators.convolution import measured_region

Array = NDArray[np.float32]

BORDER_KINDS = 9
"""Blocks inside, at a side and in a corner of the image have windows of different shapes."""

SUMS, MEANT = (0.5, 2.0), (0.1, 10.0)
"""Between the first a kernel's sum may lie, and between the second where y is as bright."""

NO_SUM = 1e-3
"""A kernel whose sum is no larger has none, but for rounding."""

SMALLEST = 5
"""Sides of a kernel whose middle is looked for."""

APART = 4.0
"""How many times the weight of its middle its corners must have to be taken for the middle."""

OFF = 0.3
"""Of a side: how far the centre of weight may lie from the middle."""


@dataclass(frozen=True)
class BlurredData(LocalData):
    """What a file holds of k, and y by block."""

    kernel: Array
    """float32 [kh, kw], odd sides."""
    factor: int

    @property
    def radius(self) -> int:
        """How far a measurement looks, in pixels."""
        side: int = max(self.kernel.shape)
        return side // 2

    @property
    def groups(self) -> int:
        """How many measurements a block has a part in, at most."""
        return max(
            math.prod(region_shape(measured_region(self.grid, i, self.radius, self.factor)))
            for i in range(len(self.grid))
        )

    @property
    def words(self) -> str:
        """How much was measured."""
        height, width = measured_shape(self.grid, self.factor)
        kh, kw = self.kernel.shape
        return f"{height}x{width} measurements through a kernel of {kh}x{kw}"

    def bytes_of(self, blocks: int) -> int:
        """Memory of x_i, y_i and the kernel's transforms on the windows of some full blocks."""
        n = math.prod(self.grid.block_shape)
        grown = [
            math.prod(min(b + 2 * halo, side) for b, side in self._sides)
            for halo in (self.radius, 2 * self.radius)
        ]
        transforms = min(blocks, BORDER_KINDS) * sum(grown)
        return 4 * (blocks * (n + grown[0] // self.factor**2) + transforms)

    def check(self) -> None:
        """Read all that can be wrong. Raises ValueError."""
        for i in range(len(self.grid)):
            self.y(i)

    def doubts(self, shades: Shades | None) -> tuple[str, ...]:
        """About the kernel, and the measurements of some blocks against its sum."""
        some = [self._measured_by(i).ravel() for i in spread(len(self.grid), PARTS)]
        y = np.concatenate([part[:: max(1, part.size * len(some) // VALUES)] for part in some])
        y = y[np.isfinite(y)]
        blank = of_values(y, "/measurements/y")
        kernel = of_kernel(self.kernel, y, shades)
        level = None if blank or kernel else of_level(y / self.kernel.sum(), shades)
        return (*kernel, *said(blank, level))

    def noise(self) -> float | None:
        """By the middle of y."""
        part = middle(measured_shape(self.grid, self.factor))
        with open_hdf5(self.path) as file:
            y = np.asarray(file["measurements/y"][(*self.stack.leading, *part)], np.float32)
            w = None if self.weights is None else self.weights.read(self.stack.index, part)
        return relative(of_image(y, w), y, w)

    def y(self, i: int) -> Array:
        """y on the ``measured_region`` of block i, float32. Raises ValueError on NaN or Inf."""
        y = self.known(self._measured_by(i), self._seen(i))
        finite(self.path, f"/measurements/y: block {i} and what surrounds it", y)
        return y

    def measured(self, blocks: list[int]) -> dict[int, Array]:
        """``y`` of some blocks."""
        return {i: self.y(i) for i in blocks}

    def part(self, i: int) -> Part:
        """The measurements in block i."""
        return measured_region(self.grid, i, 0, self.factor)

    def weights_of(self, blocks: list[int]) -> dict[int, Array] | None:
        """w of all measurements that some blocks have a part in; None without weights."""
        return None if self.weights is None else {i: self.weights_on(self._seen(i)) for i in blocks}

    def _seen(self, i: int) -> Part:
        return measured_region(self.grid, i, self.radius, self.factor)

    def _measured_by(self, i: int) -> Array:
        """``y``, finite or not."""
        with open_hdf5(self.path) as file:
            where = (*self.stack.leading, *self._seen(i))
            return np.asarray(file["measurements/y"][where], np.float32)

    @property
    def _sides(self) -> list[tuple[int, int]]:
        """Of a block and of the image, by axis."""
        return list(zip(self.grid.block_shape, self.grid.shape, strict=True))


def of_kernel(kernel: Array, y: Array, shades: Shades | None) -> tuple[str, ...]:
    """Doubts about a kernel [kh, kw]: its sum, and where it has its weight.

    ``y`` are measurements: where they are as bright as the kernel makes an image of these values,
    another sum is meant.
    """
    return said(_of_sum(float(kernel.sum()), y, shades), _of_middle(np.abs(kernel)))


def _of_sum(total: float, y: Array, shades: Shades | None) -> str | None:
    if SUMS[0] <= total <= SUMS[1]:
        return None
    bright = float(np.quantile(y, 0.99)) if y.size else 0.0
    high = 1.0 if shades is None else shades[1]
    brighter = total < 1 or bright > 1.1 * high
    if MEANT[0] <= total <= MEANT[1] and brighter and bright <= (1 + OUTSIDE) * total * high:
        return None
    way = "divide it by its sum" if total > NO_SUM else "a blur keeps the light: check its signs"
    return f"/operator/kernel sums up to {total:.3g}, expected about 1: {way}"


def _of_middle(weight: Array) -> str | None:
    """Whether a kernel was left with its middle at [0, 0], or lies at a side."""
    sides = weight.shape
    total, middle = float(weight.sum()), [side // 2 for side in sides]
    if min(sides) < SMALLEST or total == 0:
        return None
    near = tuple(
        slice(m - side // 8, m + side // 8 + 1) for m, side in zip(middle, sides, strict=True)
    )
    inside, outside = (float(k[near].sum()) for k in (weight, np.fft.fftshift(weight)))
    if outside > APART * inside and outside > total / 4:
        return (
            f"/operator/kernel has {100 * outside / total:.0f} % of its weight in its corners, "
            f"expected it around its middle [{middle[0]}, {middle[1]}]: numpy.fft.fftshift puts "
            "it there"
        )
    rows, cols = np.indices(sides)
    off = [
        float((weight * place).sum()) / total - m
        for place, m in zip((rows, cols), middle, strict=True)
    ]
    if all(abs(o) <= OFF * side for o, side in zip(off, sides, strict=True)):
        return None
    return (
        f"/operator/kernel has its centre of weight [{off[0]:.1f}, {off[1]:.1f}] pixels off its "
        f"middle [{middle[0]}, {middle[1]}], which shifts the image by as much, expected about "
        "[0, 0]: centre it"
    )


def measured_shape(grid: BlockGrid, factor: int) -> tuple[int, int]:
    """Height and width of y."""
    height, width = grid.shape
    return -(-height // factor), -(-width // factor)


def read_kernel(path: Path, file: h5py.File) -> Array:
    """k, float32 [kh, kw]. Raises ValueError unless both sides are odd and all is finite."""
    dataset = node(path, file, "operator/kernel", h5py.Dataset)
    kernel = reals(path, dataset, 2, "numbers [kh, kw]")
    if any(side % 2 == 0 for side in kernel.shape):
        raise ValueError(
            f"{path}: /operator/kernel is {dataset.dtype} {list(kernel.shape)}, expected odd sides"
        )
    return np.asarray(kernel, np.float32)


def write_blurred(
    path: Path,
    truth: Image,
    y: Array,
    *,
    kind: str,
    block: tuple[int, int],
    kernel: Array,
    factor: int,
) -> None:
    """Write a problem: truth float32 [H, W], y and kernel as the kind's module says."""
    with written_whole(path) as temporary, h5py.File(temporary, "w") as file:
        operator = write_head(file, BlockGrid(truth.shape, block), kind)
        operator["kernel"] = kernel
        if factor > 1:
            operator.attrs["factor"] = factor
        file["measurements/y"] = y
        file["truth"] = truth.astype(np.float32)
