"""MRI scans for tests: k-space of a smooth object, and files as scanners have them."""

from __future__ import annotations

import numpy as np

import h5py

from asyncred.commands.simulate.mri import smooth_coils, smooth_phase

HEADER = """<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
<experimentalConditions><H1resonanceFrequency_Hz>64000000</H1resonanceFrequency_Hz>
</experimentalConditions><encoding><encodedSpace><matrixSize><x>{rows}</x><y>{columns}</y><z>1</z>
</matrixSize><fieldOfView_mm><x>{wide}</x><y>200</y><z>5</z></fieldOfView_mm></encodedSpace>
<reconSpace><matrixSize><x>{image}</x><y>{columns}</y><z>1</z></matrixSize><fieldOfView_mm>
<x>200</x><y>200</y><z>5</z></fieldOfView_mm></reconSpace><encodingLimits>
<kspace_encoding_step_1><minimum>0</minimum><maximum>{last}</maximum><center>{center}</center>
</kspace_encoding_step_1></encodingLimits><trajectory>cartesian</trajectory></encoding>
</ismrmrdHeader>"""


def header(rows: int, columns: int, image: int) -> str:
    """A readout of ``rows`` samples, of whose pixels ``image`` are the image."""
    return HEADER.format(
        rows=rows,
        columns=columns,
        image=image,
        wide=200 * rows / image,
        last=columns - 1,
        center=columns // 2,
    )


def transform(images: np.ndarray, axes: tuple[int, ...] = (-2, -1)) -> np.ndarray:
    """Centred and orthonormal, by the definition."""
    shifted = np.fft.ifftshift(images, axes=axes)
    return np.fft.fftshift(np.fft.fftn(shifted, axes=axes, norm="ortho"), axes=axes)


def inverse(k: np.ndarray) -> np.ndarray:
    """Of ``transform``."""
    axes = (-2, -1)
    shifted = np.fft.ifftn(np.fft.ifftshift(k, axes=axes), axes=axes, norm="ortho")
    return np.fft.fftshift(shifted, axes=axes)


def scan(
    rng: np.random.Generator,
    *,
    shape: tuple[int, int] = (64, 48),
    coils: int = 4,
    slices: int = 2,
    noise: float = 1e-3,
    height: float = 0.8,
) -> tuple[np.ndarray, np.ndarray]:
    """Fully sampled k-space [slices, C, ky, kx], and the magnitudes [slices, ky, kx].

    The object is an ellipse with two holes, ``height`` of the rows and 0.8 of the columns.
    """
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    magnitudes, k = [], []
    s = smooth_coils(shape, coils, rng) * np.exp(1j * smooth_phase(shape, rng))
    for z in range(slices):
        body = 1.0 * ((y / height) ** 2 + (x / 0.8) ** 2 < 1)
        body -= 0.5 * (((y - 0.1 * z) / height) ** 2 + (x / 0.8 - 0.3) ** 2 < 0.05)
        body += 0.4 * ((y / height + 0.4) ** 2 + (x / 0.8 + 0.2) ** 2 < 0.03)
        magnitudes.append(body)
        k.append(transform(s * body))
    values = np.array(k)
    values += noise * (rng.standard_normal(values.shape) + 1j * rng.standard_normal(values.shape))
    return values.astype(np.complex64), np.array(magnitudes, np.float32)


def columns(width: int, step: int = 2, center: int = 13) -> np.ndarray:
    """Every ``step``-th column and the central ones, bool [width]."""
    mask = np.arange(width) % step == 0
    mask[width // 2 - center // 2 : width // 2 + center // 2 + 1] = True
    return mask


def write_fastmri(path, k, **datasets):
    """A file with /kspace and others."""
    with h5py.File(path, "w") as file:
        file["kspace"] = k.astype(np.complex64)
        for name, values in datasets.items():
            file[name] = values
    return path
