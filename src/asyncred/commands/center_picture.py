"""The picture that shows where the rotation axis is: one slice, reconstructed about several bins.

Filtered backprojections side by side, each under the bin that it takes for the axis. About the
right one edges are sharp; about a wrong one points are arcs, open to one side or the other. Known
from TomoPy's ``write_center``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as pillow
from PIL import ImageDraw, ImageFont

from asyncred.files.problem import Asked, ParallelBeamData, Problem
from asyncred.files.problem.head import MIDDLE
from asyncred.files.whole import written_whole
from asyncred.grid import BlockGrid
from asyncred.operators import Image

OFFSETS = (-4.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 4.0)
"""Bins from the axis that a run would take."""

WIDE = 64
"""Where the axis was not found they are that many bins of the detector for one."""

LARGEST = 320
"""Pixels of a side that are shown, the middle of the image."""

LABEL = 18
"""Pixels for the bin above an image."""


def write_center_picture(problem: Problem, asked: Asked, path: Path) -> str:
    """Write the PNG file; a line that says what it shows. Raises ValueError."""
    data = problem.data
    if not isinstance(data, ParallelBeamData):
        raise ValueError(f"{problem.path}: is {problem.kind}, expected tomography to draw its axis")
    index = problem.images[len(problem.images) // 2]
    scale = max(1, data.bins // WIDE) if asked.center == MIDDLE else 1
    centers = [data.center + scale * offset for offset in OFFSETS]
    images = [about(data.of(index), center) for center in centers]
    with written_whole(path) as temporary:
        _strip(images, centers, data.center).save(temporary, format="png")
    return (
        f"wrote {path}: image {index} with the axis at bins {centers[0]:.2f} to {centers[-1]:.2f}"
    )


def about(data: ParallelBeamData, center: float) -> Image:
    """The middle of a filtered backprojection about an axis at a bin."""
    side = min(LARGEST, *data.grid.shape)
    moved = replace(data, center=center)
    y = moved.filtered(range(data.groups))
    grid = BlockGrid((side, side), (side, side))
    model = replace(moved, grid=grid).model([0], threads=1)
    seen = model.footprint(0)
    columns = seen.first[:, None] + np.arange(seen.width)
    return model.adjoint(0, np.take_along_axis(y, columns, axis=1), None)


def _strip(images: list[Image], centers: list[float], taken: float) -> pillow.Image:
    """Side by side in the gray values of the one that is taken, each under its bin."""
    side = images[0].shape[0]
    low, high = _limits(images[centers.index(taken)])
    strip = pillow.new("L", ((side + 2) * len(images) - 2, side + LABEL))
    draw, font = ImageDraw.Draw(strip), ImageFont.load_default()
    for k, (image, center) in enumerate(zip(images, centers, strict=True)):
        gray = np.clip(255 * (image - low) / (high - low), 0, 255).astype(np.uint8)
        strip.paste(pillow.fromarray(gray), (k * (side + 2), LABEL))
        text = f"{center:.2f}" + (" taken" if center == taken else "")
        draw.text((k * (side + 2) + 3, 3), text, fill=255, font=font)
    return strip


def _limits(image: NDArray[np.float32]) -> tuple[float, float]:
    low, high = (float(q) for q in np.quantile(image, (0.01, 0.995)))
    return low, max(high, low + 1e-9)
