"""convolution in a problem file: deblurring with a known kernel.

/operator        attrs kind = "convolution"
  kernel         float32 [kh, kw], odd sides; k[kh // 2, kw // 2] is its middle
/measurements/y  float32 [H, W], or [T, H, W]: k * x, x being 0 outside of the image
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

import h5py

from asyncred.files.problem.blurred import BlurredData, read_kernel, write_blurred
from asyncred.files.problem.fields import picture
from asyncred.files.problem.head import Asked, read_stack
from asyncred.grid import BlockGrid
from asyncred.operators import Convolution, Image


@dataclass(frozen=True)
class ConvolutionData(BlurredData):
    """What a file holds of k, and y by block; ``factor`` is 1."""

    starts: ClassVar[Mapping[str, Callable[[Any, int], Image]]] = {
        "measured": Convolution.measured,
        "adjoint": Convolution.adjoint,
    }

    def operator(self, blocks: list[int], *, threads: int) -> Convolution:
        """The data term of some blocks, on one thread."""
        return Convolution(self.grid, self.kernel, self.measured(blocks), self.weights_of(blocks))


def read_convolution(path: Path, file: h5py.File, grid: BlockGrid, asked: Asked) -> ConvolutionData:
    """Check /operator and /measurements/y. Raises ValueError."""
    kernel = read_kernel(path, file)
    y = picture(path, file, grid.shape, "the image's shape")
    return ConvolutionData(path, grid, read_stack(path, y, 2, asked), kernel, 1)


def write_convolution(
    path: Path,
    truth: Image,
    y: NDArray[np.float32],
    *,
    block: tuple[int, int],
    kernel: NDArray[np.float32],
) -> None:
    """Write a problem: truth and y float32 [H, W]."""
    write_blurred(path, truth, y, kind="convolution", block=block, kernel=kernel, factor=1)
