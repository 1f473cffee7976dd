"""Weights of the measurements in a problem file: the data term is 1/2 ||A x - y||_W^2.

/measurements/weights  real numbers >= 0 of the shape of y without its axis of images, or with it;
                       axes of length 1, and leading ones that are left out, stand for all of y

What has the weight 0 was not measured: y may be anything there, NaN too. The mean over the rest of
an image is made 1, so that tau means the same for any scale of weights (``operators.weighted``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import h5py

from asyncred.files.problem.fields import node
from asyncred.files.problem.head import Stack
from asyncred.files.whole import open_hdf5

Array = NDArray[np.float32]
Part = tuple[slice, ...]
"""Some of the measurements of an image, a slice an axis."""

NAME = "measurements/weights"
VALUES = 1 << 20
"""How many are checked at once."""


@dataclass(frozen=True)
class Weights:
    """Those of a file; read by part."""

    path: Path
    shape: tuple[int, ...]
    """Of y, of one image."""
    each: bool
    """Whether images of a stack have their own."""

    def read(self, image: int, part: Part) -> Array:
        """w of some measurements of an image, float32, as the file has it."""
        sizes = [len(range(*p.indices(n))) for p, n in zip(part, self.shape, strict=True)]
        with open_hdf5(self.path) as file:
            data = file[NAME]
            lead, sides = self._axes(data.shape, image)
            own = part[len(part) - len(sides) :]
            lengths = self.shape[len(self.shape) - len(sides) :]
            where = tuple(
                p if side == length else slice(None)
                for p, side, length in zip(own, sides, lengths, strict=True)
            )
            found = np.asarray(data[(*lead, *where)], np.float32)
        return np.broadcast_to(found, sizes)

    def hide(self, y: NDArray[np.generic], image: int, part: Part) -> NDArray[np.generic]:
        """y of some measurements, 0 where its weight is."""
        return np.where(self.read(image, part) > 0, y, y.dtype.type(0))

    def parts(self) -> Iterator[Part]:
        """All measurements of an image, some at a time."""
        rest = int(np.prod(self.shape[1:], dtype=np.int64))
        step = max(1, VALUES // max(1, rest))
        for first in range(0, self.shape[0], step):
            whole = tuple(slice(0, n) for n in self.shape[1:])
            yield (slice(first, min(first + step, self.shape[0])), *whole)

    def _axes(self, stored: tuple[int, ...], image: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """What to index the dataset with first, and its other axes."""
        if not self.each:
            return (0,) * max(0, len(stored) - len(self.shape)), stored[-len(self.shape) :]
        return (image,), stored[1:]


def read_weights(path: Path, file: h5py.File, stack: Stack) -> Weights:
    """Check /measurements/weights against /measurements/y. Raises ValueError."""
    data = node(path, file, NAME, h5py.Dataset)
    whole = file["measurements/y"].shape
    shape = whole if stack.images is None else whole[1:]
    fits = data.dtype.kind in "fiub" and 1 <= data.ndim <= len(whole)
    sides = zip(data.shape[::-1], whole[::-1], strict=False)
    if not fits or any(side not in (1, length) for side, length in sides):
        raise ValueError(
            f"{path}: /{NAME} is {data.dtype} {list(data.shape)}, expected real numbers "
            f"{list(shape)} (those of /measurements/y), with 1 for an axis along which they are "
            "the same"
        )
    each = stack.images is not None and data.ndim == len(whole) and data.shape[0] > 1
    weights = Weights(path, tuple(map(int, shape)), each)
    for image in stack.chosen if each else stack.chosen[:1]:
        _check_values(weights, image)
    return weights


def _check_values(weights: Weights, image: int) -> None:
    """Raise ValueError unless all are finite and >= 0, and one of them is more."""
    which = f"/{NAME}: image {image}" if weights.each else f"/{NAME}"
    some = False
    for part in weights.parts():
        w = weights.read(image, part)
        wrong = int(np.count_nonzero(~(np.isfinite(w) & (w >= 0))))
        if wrong:
            raise ValueError(
                f"{weights.path}: {which} holds {wrong} NaN, Inf or negative numbers, expected "
                "finite ones >= 0, 0 for what was not measured"
            )
        some = some or bool((w > 0).any())
    if not some:
        raise ValueError(
            f"{weights.path}: {which} is 0 everywhere, expected numbers > 0 for what was measured; "
            "--weights none leaves them out"
        )
