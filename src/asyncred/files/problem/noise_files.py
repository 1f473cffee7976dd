"""Where the covariance of the coils' noise comes from: a scan of noise, or the file itself.

A scan of noise is a file of its own: ISMRMRD with noise acquisitions, or a dataset /noise, complex
[C, samples], or /kspace, complex [slices, C, ky, kx], of a scan without an object or pulses.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import h5py

from asyncred.files.problem.head import Asked
from asyncred.files.problem.ismrmrd_file import acquisitions_of, is_ismrmrd
from asyncred.files.problem.noise import covariance_of, read_covariance
from asyncred.files.problem.sampling import Complex
from asyncred.files.problem.stored import check_stored
from asyncred.files.whole import open_hdf5

Found = tuple[NDArray[Any] | None, tuple[str, ...]]
"""Psi, None where nothing tells it, and notes."""


def covariance(path: Path, file: h5py.File, coils: int, asked: Asked) -> Found:
    """Psi as the user or the file says it. Raises ValueError."""
    if asked.noise_scan is not None:
        noise = _scan(asked.noise_scan)
        name = f"noise scan {asked.noise_scan}"
        if len(noise) != coils:
            raise ValueError(
                f"{asked.noise_scan}: noise of {len(noise)} coils, expected that of the {coils} of "
                f"{path}"
            )
        Psi = covariance_of(asked.noise_scan, "the noise", noise)
        return Psi, (_prewhitened(Psi, f"{name}, {noise.shape[1]} samples"),)
    found = read_covariance(path, file, coils)
    if found is None:
        return None, ()
    return found, (_prewhitened(found, "/measurements/noise_covariance"),)


def _prewhitened(Psi: NDArray[Any], source: str) -> str:
    """A note: where Psi is from, and how uneven the coils are."""
    sigma = np.sqrt(np.diag(Psi).real)
    low, high = (float(end / np.median(sigma)) for end in (sigma.min(), sigma.max()))
    return f"coils prewhitened by {source}: their noise is {low:.2g} to {high:.2g} times the median"


def prewhitened(path: Path, name: str, noise: Complex) -> Found:
    """Psi of noise that the file itself has, complex [C, samples]. Raises ValueError."""
    Psi = covariance_of(path, name, noise)
    return Psi, (_prewhitened(Psi, f"{noise.shape[1]} samples of noise in the file"),)


def _scan(path: Path) -> Complex:
    """Samples of noise, complex [C, samples]. Raises ValueError."""
    with open_hdf5(path) as file:
        if is_ismrmrd(file):
            found = acquisitions_of(path, file)
            return found.noise() if found.noisy.size else found.samples()
        for name, ndim in (("noise", (2,)), ("kspace", (3, 4))):
            data = file.get(name)
            if isinstance(data, h5py.Dataset) and data.ndim in ndim and data.dtype.kind == "c":
                check_stored(path, f"/{name}", data)
                k = np.asarray(data[()])
                axis = 0 if name == "noise" else k.ndim - 3
                k = np.moveaxis(k, axis, 0).reshape(k.shape[axis], -1)
                return k[:, (k != 0).any(axis=0)]
    raise ValueError(
        f"{path}: neither /noise, complex [coils, samples], nor /kspace nor ISMRMRD, expected a "
        "scan of noise"
    )
