"""The files that asyncred ships: ONNX denoisers and a photograph."""

from __future__ import annotations

from pathlib import Path

__all__ = ["model_names", "model_path", "photograph_path"]

_PACKAGE = Path(__file__).resolve().parent


def _models() -> Path:
    """Folder of the shipped models: in the package, or the repository's (editable install)."""
    installed = _PACKAGE / "models"
    return installed if installed.is_dir() else _PACKAGE.parents[1] / "models"


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
