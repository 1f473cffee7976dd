"""Pictures in: a gray image in [0, 1] from a file or from what the package ships."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as pillow

from asyncred.denoisers.pictures import photograph_path


def load_image(name: str, *, size: int | None = None) -> NDArray[np.float32]:
    """A gray image, float32 [h, w] in [0, 1].

    ``name`` is ``camera`` (the shipped photograph), a picture file or an .npy file; ``size``
    scales its longer side down to this many pixels. Raises ValueError.
    """
    path = photograph_path() if name == "camera" else Path(name)
    if not path.is_file():
        raise ValueError(f"{name}: no such file, expected a picture, an .npy file or camera")
    image = _load_npy(path) if path.suffix == ".npy" else _load_picture(path)
    if size is None or size == max(image.shape):
        return image
    if not 1 <= size < max(image.shape):
        raise ValueError(f"{name}: --size is {size}, expected 1 to {max(image.shape)}")
    scale = size / max(image.shape)
    new = [max(1, round(side * scale)) for side in image.shape]
    small = pillow.fromarray(image).resize((new[1], new[0]), pillow.Resampling.LANCZOS)
    return np.clip(np.asarray(small, np.float32), 0, 1)


def _load_picture(path: Path) -> NDArray[np.float32]:
    try:
        with pillow.open(path) as picture:
            deep = picture.mode.startswith("I") or picture.mode == "F"
            gray = np.asarray(picture if deep else picture.convert("L"), np.float32)
    except (OSError, pillow.DecompressionBombError) as error:
        raise ValueError(f"{path}: not a picture: {error}") from None
    top = 65535 if deep and gray.max() > 255 else 1 if deep and gray.max() <= 1 else 255
    return gray / np.float32(top)


def _load_npy(path: Path) -> NDArray[np.float32]:
    try:
        image = np.load(path)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path}: cannot be read: {error}") from None
    if image.ndim != 2 or image.dtype.kind not in "fu" or not np.isfinite(image).all():
        raise ValueError(
            f"{path}: {image.dtype} {list(image.shape)}, expected finite floats or unsigned "
            "integers [h, w]"
        )
    if image.dtype.kind == "u":
        return np.asarray(image / np.iinfo(image.dtype).max, np.float32)
    if image.min() < 0 or image.max() > 1:
        raise ValueError(f"{path}: {image.min():g} to {image.max():g}, expected 0 to 1")
    return np.asarray(image, np.float32)
