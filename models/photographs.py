"""The photographs: photographs.csv read, their packages fetched, and random crops drawn.

Each row of photographs.csv is one photograph: the package it is in (scikit-learn from PyPI, the
others from Debian), its path there, its author and licence as debian/copyright or
sklearn/datasets/images/README.txt gives them, and the factor it is reduced by. Those of HELD_OUT
are not trained on: they tell how far the training has come.
"""

import csv
import math
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

HELD_OUT = "scikit-learn"
"""The package whose photographs are held out."""


@dataclass(frozen=True)
class Photograph:
    """One row of photographs.csv."""

    package: str
    path: str
    author: str
    licence: str
    shrink: int


def listed() -> list[Photograph]:
    """The rows of photographs.csv."""
    with Path(__file__).with_name("photographs.csv").open(newline="") as file:
        return [
            Photograph(package, path, author, licence, int(shrink))
            for package, path, author, licence, shrink in list(csv.reader(file))[1:]
        ]


def fetch(package: str, data: Path) -> None:
    """Unpack a package into data/package, once."""
    folder, archives = data / package, data / f"{package}.archive"
    if folder.exists():
        return
    archives.mkdir(parents=True, exist_ok=True)
    if package == "scikit-learn":
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--only-binary=:all:", package], cwd=archives, check=True)
        with zipfile.ZipFile(next(archives.glob("*.whl"))) as wheel:
            images = [name for name in wheel.namelist() if "/datasets/images/" in name]
            wheel.extractall(folder, images)
    else:
        if subprocess.run(["apt-get", "download", package], cwd=archives, check=False).returncode:
            raise SystemExit(f"cannot fetch Debian's package {package}: apt-get update?")
        subprocess.run(["dpkg-deb", "-x", next(archives.glob("*.deb")), folder], check=True)


def load(photograph: Photograph, data: Path) -> Tensor:
    """The photograph in gray (ITU-R BT.601), [h, w] float32 in [0, 1].

    Each pixel is the mean of shrink x shrink of the file's, which also takes away the sensor's
    noise and the JPEG blocks.
    """
    with Image.open(data / photograph.package / photograph.path) as image:
        rgb = np.asarray(image.convert("RGB"), np.float32) / 255
    gray = rgb @ np.array([0.299, 0.587, 0.114], np.float32)
    s = photograph.shrink
    h, w = gray.shape[0] // s, gray.shape[1] // s
    return torch.from_numpy(gray[: h * s, : w * s].reshape(h, s, w, s).mean((1, 3)))


class Crops:
    """Random square crops, turned and mirrored; a photograph's share is that of sqrt(h w)."""

    def __init__(self, photographs: list[Tensor], side: int, rng: np.random.Generator) -> None:
        self._photographs, self._side, self._rng = photographs, side, rng
        share = np.sqrt([p.numel() for p in photographs])
        self._share = share / share.sum()

    def batch(self, n: int) -> Tensor:
        """[n, 1, side, side] float32."""
        return torch.stack([self._crop() for _ in range(n)])[:, None]

    def state(self) -> dict[str, Any]:
        """Where the random numbers stand; `restore` goes back there."""
        return dict(self._rng.bit_generator.state)

    def restore(self, state: dict[str, Any]) -> None:
        self._rng.bit_generator.state = state

    def _crop(self) -> Tensor:
        p = self._photographs[self._rng.choice(len(self._photographs), p=self._share)]
        i, j = (int(self._rng.integers(size - self._side + 1)) for size in p.shape)
        crop = p[i : i + self._side, j : j + self._side]
        crop = torch.rot90(crop, int(self._rng.integers(4)))
        return crop.flip(0) if self._rng.integers(2) else crop


class HeldOut:
    """Photographs with noise of some levels, always the same, in units of 1/255."""

    def __init__(self, photographs: list[Tensor], levels: tuple[float, ...]) -> None:
        self._pairs: dict[float, list[tuple[Tensor, Tensor]]] = {level: [] for level in levels}
        for seed, x in enumerate(photographs):
            generator = torch.Generator("cpu").manual_seed(seed)
            e = torch.randn(x.shape, generator=generator, device="cpu").to(x)
            for level, pairs in self._pairs.items():
                pairs.append((x[None, None], (x + level / 255 * e)[None, None]))

    @torch.no_grad()
    def psnr(self, denoiser: nn.Module) -> dict[float, float]:
        """In dB, for a peak of 1, the mean of the photographs at each level."""
        found = {}
        for level, pairs in self._pairs.items():
            sigma = torch.full((1, 1, 1, 1), level / 255)
            errors = [(denoiser(y, sigma) - x).square().mean().item() for x, y in pairs]
            found[level] = -10 * sum(math.log10(error) for error in errors) / len(errors)
        return found
