"""What simulated problems have in common: a picture for their truth, blocks, and a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asyncred.files.pictures import load_image
from asyncred.files.whole import check_writable


@dataclass(frozen=True)
class Scene:
    """Which picture, and where the problem goes."""

    path: Path
    """Of the problem file."""
    image: str
    """As ``load_image`` takes it."""
    size: int | None
    """Of its longer side, scaled down to; None: as it is."""
    block: int
    """Side of a block."""
    seed: int
    overwrite: bool

    @property
    def blocks(self) -> tuple[int, int]:
        """Height and width of a block."""
        return self.block, self.block

    def truth(self) -> NDArray[np.float32]:
        """The picture, [H, W] in [0, 1]. Raises ValueError where something of it does not do."""
        check_writable(self.path, overwrite=self.overwrite)
        truth = load_image(self.image, size=self.size)
        if self.block > min(truth.shape):
            expected = f"at most {min(truth.shape)} (the image)"
            raise ValueError(f"--block is {self.block}, expected {expected}")
        return truth

    def written(self, shape: tuple[int, ...], what: str) -> str:
        """What was written, in a line."""
        sides = f"{shape[0]}x{shape[1]} image, blocks of {self.block}x{self.block}"
        return f"wrote {self.path}: {sides}, {what}"
