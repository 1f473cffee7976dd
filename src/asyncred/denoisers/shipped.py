"""The files that asyncred ships, ONNX denoisers and a photograph, and denoisers by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as pillow

from asyncred.denoisers.inspection import inspect_denoiser
from asyncred.denoisers.onnx import DenoiserModel
from asyncred.errors import InputError, did_you_mean

__all__ = ["find_model", "model_names", "model_path", "photograph", "photograph_path"]

_PACKAGE = Path(__file__).resolve().parent


def _models() -> Path:
    """Folder of the shipped models: in the package, or the repository's (editable install)."""
    installed = _PACKAGE / "models"
    return installed if installed.is_dir() else _PACKAGE.parents[2] / "models"


def model_names() -> list[str]:
    """Names of the shipped denoisers, sorted, as `model_path` takes them."""
    return sorted(path.stem for path in _models().glob("*.onnx"))


def model_path(name_or_file: str) -> Path | None:
    """ONNX file of a shipped denoiser, by name, or the user's own file.

    A name wins over a file of the same name in the working directory; write ``./name`` for the
    latter. None if there is neither.
    """
    if name_or_file in model_names():
        return _models() / f"{name_or_file}.onnx"
    path = Path(name_or_file)
    return path if path.is_file() else None


def photograph_path() -> Path:
    """PNG of the demonstration photograph: 480 x 480 pixels, 8-bit gray."""
    return _PACKAGE / "photos" / "camera.png"


def photograph() -> NDArray[np.float32]:
    """The demonstration photograph, float32 [480, 480] in [0, 1]."""
    with pillow.open(photograph_path()) as picture:
        return np.asarray(picture, np.float32) / np.float32(255)


def find_model(
    name: str,
    *,
    output: str = "auto",
    value_range: tuple[float, float] | None = None,
    halo: int | None = None,
    sigma: float | None = None,
) -> DenoiserModel:
    """A shipped denoiser by name, or an ONNX file; sigma in units of 1/255. Raises ValueError."""
    path = model_path(name)
    if path is None:
        names = model_names()
        hint = did_you_mean(name, names)
        raise InputError(f"{name}: no such file, nor a shipped denoiser ({', '.join(names)}){hint}")
    level = None if sigma is None else sigma / 255
    return inspect_denoiser(path, output=output, value_range=value_range, halo=halo, sigma=level)
