"""The denoisers that asyncred ships, and denoisers by name."""

from __future__ import annotations

from pathlib import Path

from asyncred.denoisers.inspection import inspect_denoiser
from asyncred.denoisers.onnx import DenoiserModel
from asyncred.errors import InputError, did_you_mean

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


def find_model(
    name: str,
    *,
    output: str = "auto",
    value_range: tuple[float, float] | None = None,
    halo: int | str | None = None,
    align: int | None = None,
    sigma: float | None = None,
    inputs: str | None = None,
) -> DenoiserModel:
    """A shipped denoiser by name, or an ONNX file; sigma in units of 1/255. Raises ValueError."""
    path = model_path(name)
    if path is None:
        names = model_names()
        hint = did_you_mean(name, names)
        raise InputError(f"{name}: no such file, nor a shipped denoiser ({', '.join(names)}){hint}")
    return inspect_denoiser(
        path,
        output=output,
        value_range=value_range,
        halo=halo,
        align=align,
        sigma=None if sigma is None else sigma / 255,
        inputs=inputs,
    )
