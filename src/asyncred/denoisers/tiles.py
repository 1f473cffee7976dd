"""How far D of windows is from D of the whole image, and which windows bring it near."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from asyncred.denoisers.metadata import DEFAULT_SIGMA
from asyncred.denoisers.onnx import Array, Denoiser, DenoiserModel, OnnxDenoiser
from asyncred.denoisers.pictures import scene
from asyncred.denoisers.receptive import ReceptiveField
from asyncred.grid import BlockGrid

EXACT = 1e-5
"""A tiled denoiser is exact where it differs from the whole by no more than this, in [0, 1]."""

SIDE = 128
"""Of the picture on which alignments are tried."""

STRIDES = (1, 2, 4, 8, 16, 32)
"""Alignments that are tried; networks of another total stride say so in their graph."""

APART = 2.0
"""Windows that are not aligned bring at least so many times the error of those that are."""

FARTHEST = 128
"""The largest halo that is tried where the graph gives none."""

WHOLE = 2**20
"""Pixels, at most, of the image that is denoised at once for comparison."""


def tiling_error(D: Denoiser, planes: int = 1) -> float:
    """max |U_i^T D(x) - D_i(window)| on an image of noise: the halo proved numerically.

    Of the first block and the last, on an image that is larger than their windows; x in [0, 1].
    """
    block = -(-16 // D.align) * D.align
    side = (math.ceil((D.halo + 2 * D.align) / block) + 2) * block
    shape = (side, side) if planes == 1 else (planes, side, side)
    x = np.random.default_rng(0).random(shape, dtype=np.float32)
    grid = BlockGrid((side, side), (block, block))
    return Tiles(D, grid, x, [0, len(grid) - 1]).error(D.halo, D.align)


class Tiles:
    """D of a whole image, for comparison with D of its windows, block by block."""

    def __init__(self, D: Denoiser, grid: BlockGrid, x: Array, blocks: Iterable[int]) -> None:
        self._D, self._grid, self._x, self._blocks = D, grid, x, [*blocks]
        self._whole = D(x)

    def error(self, halo: int, align: int) -> float:
        """The largest difference in the blocks with these windows."""
        error = 0.0
        for i in self._blocks:
            window = self._grid.window(i, halo, align)
            tile = self._D(self._x[(..., *window.region)])[(..., *window.inner)]
            apart = np.abs(tile - self._whole[(..., *self._grid.block(i))]).max()
            error = max(error, float(apart))
        return error


def tile_error(model: DenoiserModel, grid: BlockGrid | None = None) -> float:
    """How far tiles are from the whole: on noise where the halo is known, else on a photograph.

    On blocks as those of ``grid``. Raises ValueError where the network fails on them.
    """
    D, planes = OnnxDenoiser(model, threads=1), model.roles.planes
    if model.halo_known:
        return tiling_error(D, planes)
    return _tiles(model, D, grid, model.field.halo).error(D.halo, D.align)


def proved(model: DenoiserModel, grid: BlockGrid | None = None) -> tuple[DenoiserModel, float]:
    """The network with an alignment with which its tiles equal the whole, and how far they do.

    A network that fills its image up to some multiple has no stride of that size in its graph, but
    sees another border where windows are no such multiples. Raises ValueError.
    """
    error = tile_error(model, grid)
    if not model.halo_known or error <= EXACT:
        return model, error
    for step in STRIDES:
        align = math.lcm(step, model.field.align)
        other = replace(model, field=replace(model.field, align=align))
        if align > model.field.align and (found := tile_error(other)) <= EXACT:
            return other, found
    return model, error


def within(model: DenoiserModel, error: float, grid: BlockGrid | None = None) -> DenoiserModel:
    """The same network with the smallest halo whose tiles are so near the whole.

    Of a photograph with noise, tried on blocks as those of ``grid``. Raises ValueError where no
    halo is found.
    """
    align, field = model.field.align, model.field
    largest = field.halo if model.halo_known else FARTHEST
    step = align if align >= 4 else 1
    count = -(-min(largest, FARTHEST) // step)
    D = OnnxDenoiser(model, threads=1)
    tiles = _tiles(model, D, grid, count * step)
    low, high = -1, 0
    while not tiles.error(high * step, align) <= error:
        if high == count and model.halo_known:
            return model
        if high == count:
            raise ValueError(
                f"{model.path}: no halo up to {high * step} pixels brings tiles within {error:g} "
                "of the whole; expected a larger error, or --halo N"
            )
        low, high = high, min(max(1, 2 * high), count)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if tiles.error(middle * step, align) <= error else (middle, high)
    found = ReceptiveField(min(high * step, largest), align)
    return replace(model, field=found, halo_known=model.halo_known and found.halo >= largest)


def _tiles(model: DenoiserModel, D: Denoiser, grid: BlockGrid | None, halo: int) -> Tiles:
    """A part of the image that windows with this halo do not fill, of at most WHOLE pixels."""
    side = -(-64 // D.align) * D.align
    image, block = (None, (side, side)) if grid is None else (grid.shape, grid.block_shape)
    room = math.isqrt(WHOLE)
    sides = []
    for k, b in enumerate(block):
        wanted = b * (2 * math.ceil(halo / b) + 3)
        cut = max(b, min(wanted, room // b * b))
        sides.append(cut if image is None else min(cut, image[k]))
    shape = (sides[0], sides[1])
    part = BlockGrid(shape, (min(block[0], shape[0]), min(block[1], shape[1])))
    rows, cols = part.blocks_per_side
    middle = rows // 2 * cols + cols // 2
    x = scene(shape, model.roles.planes, model.sigma or DEFAULT_SIGMA)
    return Tiles(D, part, x, sorted({0, middle, len(part) - 1}))


def found_align(model: DenoiserModel) -> int:
    """The alignment of windows, by shifting a picture: D of a part of it is a part of D of it.

    The smallest one with which that holds about as well as with any. Raises ValueError where the
    network takes no picture of any of these sizes.
    """
    D = OnnxDenoiser(replace(model, field=ReceptiveField(0, 1)), threads=1)
    x = scene((SIDE, SIDE), model.roles.planes, model.sigma or DEFAULT_SIGMA)
    whole, edge = D(x), SIDE // 4
    errors = {}
    for shift in STRIDES:
        try:
            part = D(np.ascontiguousarray(x[..., shift:, shift:]))
        except ValueError:
            continue
        inside = (..., slice(edge, -edge), slice(edge, -edge))
        errors[shift] = float(np.abs(part - whole[..., shift:, shift:])[inside].max())
    if not errors:
        return _coarse(model, D, x)
    least = min(errors.values())
    return min(shift for shift in errors if errors[shift] <= APART * least + EXACT)


def _coarse(model: DenoiserModel, D: OnnxDenoiser, x: Array) -> int:
    """The alignment of a network that takes no smaller multiples. Raises ValueError."""
    try:
        D(np.ascontiguousarray(x[..., SIDE // 2 :, SIDE // 2 :]))
    except ValueError:
        raise ValueError(
            f"{model.path}: takes pictures of {SIDE}x{SIDE} pixels, and none that are smaller by 1 "
            f"to {SIDE // 2}; --align A says of which number its sides are multiples"
        ) from None
    return SIDE // 2


def try_windows(model: DenoiserModel, grid: BlockGrid) -> None:
    """Denoise a window of every shape that the blocks have. Raises ValueError where one fails."""
    D = OnnxDenoiser(model, threads=1)
    windows = (grid.window(i, D.halo, D.align) for i in range(len(grid)))
    for shape in sorted({window.shape for window in windows}):
        out = D(scene(shape, model.roles.planes, model.sigma or DEFAULT_SIGMA))
        if out.shape[-2:] != shape or not np.isfinite(out).all():
            raise ValueError(
                f"{model.path}: returns {out.shape[-2:]} pixels, or NaN, for a window of {shape}; "
                "expected finite values in its shape: take another --block or --align"
            )
