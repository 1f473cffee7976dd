"""The test images: held out, clean, and read from files that well-known packages bring along.

x is gray, float32 [h, w] in [0, 1]. None of them is a training photograph.

    camera, coffee, chelsea, astronaut    scikit-image's, at their own size
    hopper    matplotlib's Grace Hopper (US Navy, public domain), averaged over 2x2 pixels against
              its grain and its JPEG blocks
    mr        nilearn's copy of the ICBM152 2009a T1 template (Fonov et al. 2011), 1 mm: the middle
              axial slice, divided by its maximum
    ct        a head in pydicom's test files (J2K_pixelrep_mismatch.dcm): -1000 to 1000 HU
"""

import math
from importlib.util import find_spec
from pathlib import Path

import nibabel
import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from skimage import color, data

NATURAL = ("camera", "coffee", "chelsea", "astronaut", "hopper")
MEDICAL = ("mr", "ct")

Picture = NDArray[np.float32]


def load(name: str) -> Picture:
    """[h, w] in [0, 1]."""
    if name == "mr":
        return _mr()
    if name == "ct":
        return _ct()
    image = _hopper() if name == "hopper" else getattr(data, name)()
    gray = color.rgb2gray(image) if image.ndim == 3 else image / 255
    if name == "hopper":
        h, w = gray.shape[0] // 2, gray.shape[1] // 2
        gray = gray[: 2 * h, : 2 * w].reshape(h, 2, w, 2).mean((1, 3))
    return np.asarray(gray, np.float32)


def read(path: Path) -> Picture:
    """A picture of any kind, as gray [h, w] in [0, 1]."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("L"), np.float32) / np.float32(255)


def noisy(x: Picture, sigma: float, seed: int) -> Picture:
    """x + sigma e, e white Gaussian."""
    e = np.random.default_rng(seed).standard_normal(x.shape, np.float32)
    return x + np.float32(sigma) * e


def psnr(x: Picture, reference: Picture) -> float:
    """In dB, for a peak of 1."""
    return -10 * math.log10(np.mean((x - reference) ** 2, dtype=np.float64))


def _inside(package: str, path: str) -> Path:
    """A file of an installed package."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{package} is not installed; its {path} is a test image")
    return Path(spec.origin).parent / path


def _hopper() -> NDArray[np.uint8]:
    with Image.open(_inside("matplotlib", "mpl-data/sample_data/grace_hopper.jpg")) as image:
        return np.asarray(image.convert("RGB"))


def _mr() -> Picture:
    template = "datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
    volume = np.asarray(nibabel.load(_inside("nilearn", template)).dataobj, np.float32)
    axial = volume[:, ::-1, volume.shape[2] // 2].T  # the forehead on top
    return np.ascontiguousarray(axial / axial.max())


def _ct() -> Picture:
    file = pydicom.dcmread(_inside("pydicom", "data/test_files/J2K_pixelrep_mismatch.dcm"))
    hounsfield = file.pixel_array * float(file.RescaleSlope) + float(file.RescaleIntercept)
    return np.asarray(np.clip((hounsfield + 1000) / 2000, 0, 1), np.float32)
