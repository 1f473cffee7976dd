"""The images of a result, written for other programs: TIFF, PNG, NumPy, NIfTI.

tiff    NAME_NUMBER.tif, float32 [H, W], one an image
png     NAME_NUMBER.png, 8 bits, from the result's black to its white, one an image
npy     NAME.npy, float32 or complex64 [T, H, W]
nifti   NAME.nii, float32; x along columns, y up against rows, z along images, sides of 1

NAME is that of the result, NUMBER the image's in the problem. Complex images are written by their
magnitude, but for npy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as pillow

from asyncred.files.whole import check_writable, open_hdf5, written_whole
from asyncred.operators import Image

NEEDED = (
    "entry/data/data",
    "entry/complete",
    "entry/images",
    "entry/reconstruction/range",
    "entry/convergence/updates",
)

EXTRAS = {"tiff": "tifffile", "nifti": "nibabel"}
"""Packages that write a format, which are installed with the extra of its name."""

LEVELS = 255
"""Of a PNG file, above black."""


@dataclass(frozen=True)
class Images:
    """The images of a result file that are there, whole or so far."""

    path: Path
    rows: tuple[int, ...]
    """Which rows of the file."""
    numbers: tuple[int, ...]
    """Which images of the problem these are."""
    incomplete: tuple[int, ...]
    """Those of them that did not reach their budget or tolerance."""
    absent: int
    """How many rows nothing was written to yet."""
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    shades: tuple[float, float]
    """The lowest black and the highest white of all."""

    def read(self, k: int) -> Image:
        """One of ``rows``, float32 or complex64 [H, W]."""
        with open_hdf5(self.path) as file:
            return np.asarray(file["entry/data/data"][self.rows[k]])

    def real(self, k: int) -> NDArray[np.float32]:
        """The same, of complex images the magnitude."""
        image = self.read(k)
        return np.asarray(np.abs(image) if np.iscomplexobj(image) else image, np.float32)


def export(path: Path, folder: Path, form: str, *, overwrite: bool) -> str:
    """Write the images of a result into a folder; what was written, in a line.

    ``form`` is one of ``FORMATS``. Raises ValueError where the file is no result or has no image
    yet, where a package is missing, and where a file exists, unless ``overwrite``.
    """
    images = find_images(path)
    names, write = FORMATS[form]
    if form in EXTRAS:
        _package(EXTRAS[form], form)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: is a file, expected a folder to write to")
    files = [folder / name for name in names(images)]
    taken = [file for file in files if file.exists()]
    if taken and not overwrite:
        more = f" and {len(taken) - 1} more" if len(taken) > 1 else ""
        raise ValueError(f"{taken[0]}{more}: exists; --overwrite replaces it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{folder}: cannot be made: {error.strerror}") from None
    check_writable(files[0], overwrite=overwrite)
    how = write(images, files)
    return f"wrote {_listed(files)}: {len(images.rows)} image(s), {how}{_left_out(images)}"


def find_images(path: Path) -> Images:
    """What a result file holds. Raises ValueError where it is none, or nothing is in it yet."""
    with open_hdf5(path) as file:
        missing = [key for key in NEEDED if key not in file]
        if missing:
            raise ValueError(f"{path}: /{missing[0]} is missing, expected a result of asyncred run")
        numbers, data = file["entry/images"][:], file["entry/data/data"]
        rows = np.flatnonzero(file["entry/convergence/updates"][:, 0] >= 0)
        if rows.size == 0:
            raise ValueError(f"{path}: no image of {len(numbers)} is there yet, expected some")
        done = file["entry/complete"][:].astype(bool)
        shades = file["entry/reconstruction/range"][:][rows]
        return Images(
            path,
            tuple(rows.tolist()),
            tuple(numbers[rows].tolist()),
            tuple(numbers[[row for row in rows if not done[row]]].tolist()),
            len(numbers) - rows.size,
            data.shape[1:],
            data.dtype,
            (float(shades[:, 0].min()), float(shades[:, 1].max())),
        )


def _package(name: str, form: str) -> Any:
    """A package that is not installed with asyncred. Raises ValueError without it."""
    try:
        return import_module(name)
    except ImportError:
        raise ValueError(
            f"--format {form}: the package {name} is not installed, expected it: pip install "
            f"'asyncred[{form}]'"
        ) from None


def _listed(files: list[Path]) -> str:
    return str(files[0]) if len(files) == 1 else f"{files[0]} to {files[-1].name}"


def _left_out(images: Images) -> str:
    said = f"; incomplete: {', '.join(map(str, images.incomplete))}" if images.incomplete else ""
    return f"{said}; not there yet: {images.absent}" if images.absent else said


def _magnitude(images: Images) -> str:
    return "magnitude, " if images.dtype.kind == "c" else ""


def _numbered(suffix: str) -> Callable[[Images], list[str]]:
    def names(images: Images) -> list[str]:
        digits = max(4, len(str(max(images.numbers))))
        return [f"{images.path.stem}_{n:0{digits}}{suffix}" for n in images.numbers]

    return names


def _one(suffix: str) -> Callable[[Images], list[str]]:
    return lambda images: [images.path.stem + suffix]


def _write_tiff(images: Images, files: list[Path]) -> str:
    tifffile = _package("tifffile", "tiff")
    for k, file in enumerate(files):
        with written_whole(file) as temporary:
            tifffile.imwrite(temporary, images.real(k), photometric="minisblack", metadata=None)
    return f"{_magnitude(images)}float32"


def _write_png(images: Images, files: list[Path]) -> str:
    low, high = images.shades
    if not low < high:
        raise ValueError(
            f"{images.path}: /entry/reconstruction/range is [{low:g}, {high:g}], expected black "
            "below white: --format tiff needs neither"
        )
    for k, file in enumerate(files):
        levels = np.clip((images.real(k) - low) / (high - low), 0, 1) * LEVELS
        with written_whole(file) as temporary:
            pillow.fromarray(np.rint(levels).astype(np.uint8)).save(temporary, format="PNG")
    return f"{_magnitude(images)}8 bits, black is {low:.6g} and below, white {high:.6g} and above"


def _write_npy(images: Images, files: list[Path]) -> str:
    shape = (len(images.rows), *images.shape)
    with written_whole(files[0]) as temporary:
        array = np.lib.format.open_memmap(temporary, "w+", images.dtype, shape)
        for k in range(len(images.rows)):
            array[k] = images.read(k)
        array.flush()
        del array
    return f"{images.dtype} {list(shape)}"


def _write_nifti(images: Images, files: list[Path]) -> str:
    nibabel = _package("nibabel", "nifti")
    volume = np.empty((*images.shape[::-1], len(images.rows)), np.float32, order="F")
    for k in range(len(images.rows)):
        volume[:, :, k] = images.real(k).T
    upright = np.diag([1.0, -1.0, 1.0, 1.0])  # of scanner coordinates, y points up
    content = nibabel.Nifti1Image(volume, upright).to_bytes()
    with written_whole(files[0]) as temporary:
        temporary.write_bytes(content)
    return f"{_magnitude(images)}float32 {list(volume.shape)} (columns, rows, images)"


Names = Callable[[Images], list[str]]
Write = Callable[[Images, list[Path]], str]

FORMATS: Mapping[str, tuple[Names, Write]] = {
    "tiff": (_numbered(".tif"), _write_tiff),
    "png": (_numbered(".png"), _write_png),
    "npy": (_one(".npy"), _write_npy),
    "nifti": (_one(".nii"), _write_nifti),
}
"""What names the files of a format, and what writes them and says how."""
