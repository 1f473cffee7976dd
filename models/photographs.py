"""The training photographs: photographs.csv read, their packages fetched, and random crops drawn.

Each row of photographs.csv is one photograph: the package it is in (scikit-learn from PyPI, the
others from Debian), its path there, its author and licence as debian/copyright or
sklearn/datasets/images/README.txt gives them, and the factor it is reduced by.
"""

import csv
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor


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

    def _crop(self) -> Tensor:
        p = self._photographs[self._rng.choice(len(self._photographs), p=self._share)]
        i, j = (int(self._rng.integers(size - self._side + 1)) for size in p.shape)
        crop = p[i : i + self._side, j : j + self._side]
        crop = torch.rot90(crop, int(self._rng.integers(4)))
        return crop.flip(0) if self._rng.integers(2) else crop
