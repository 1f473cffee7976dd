"""The noise of the coils, and prewhitening: what makes it the same in all, and independent.

    Psi = E n n^H      covariance of the coils' noise, complex [C, C]
    W = sigma L^-1     with Psi = L L^H;  W y and W s take the place of y and s

(Pruessmann et al. 2001, eq. 14). sigma^2 is the median of the diagonal of Psi: coils of usual noise
keep the unit of the file, and so does the image. ||A x - y|| counts every sample by its noise.
Without a scan of noise, the outermost samples of k-space tell the noise of each coil alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import h5py

from asyncred.files.problem.fields import finite, node
from asyncred.files.problem.sampling import Complex, Mask, named

SAMPLES = 4
"""A scan of noise has at least so many samples a coil."""

OUTER = 0.75
"""Of half a side: samples beyond it, along both axes, hold little but noise."""

FEWEST = 64
"""Samples of it that tell the noise of a coil."""

UNEVEN = 2.0
"""Times the usual noise of a coil, or the inverse, where an estimate is used."""

Wide = NDArray[np.complex128]

RAYLEIGH = float(np.sqrt(2 * np.log(2)))
"""Median magnitude of complex noise whose parts have the standard deviation 1."""

COVARIANCE = "measurements/noise_covariance"
NOISE = "noise"


def whitening(Psi: Wide | None, dead: Sequence[int], coils: int) -> Complex | None:
    """W, complex64 [C, C], its rows and columns 0 for coils that are dead; None where it is I."""
    if Psi is None and not dead:
        return None
    living = np.setdiff1d(np.arange(coils), dead)
    W = np.zeros((coils, coils), np.complex64)
    if living.size == 0:
        return W
    part = np.eye(living.size) if Psi is None else Psi[np.ix_(living, living)]
    sigma = np.sqrt(np.median(np.diag(part).real))
    W[np.ix_(living, living)] = sigma * np.linalg.inv(np.linalg.cholesky(part))
    return W


def read_covariance(path: Path, file: h5py.File, coils: int) -> Wide | None:
    """Psi where the file has it. Raises ValueError."""
    if COVARIANCE not in file:
        return None
    data = node(path, file, COVARIANCE, h5py.Dataset)
    if data.shape != (coils, coils) or data.dtype.kind not in "fc":
        raise ValueError(
            f"{path}: /{COVARIANCE} is {data.dtype} {list(data.shape)}, expected complex64 "
            f"[{coils}, {coils}], the covariance of the noise of the coils"
        )
    Psi = np.asarray(data[()], np.complex128)
    return checked(path, f"/{COVARIANCE}", Psi)


def checked(path: Path, name: str, Psi: Wide) -> Wide:
    """Psi made exactly Hermitian. Raises ValueError unless it is one and positive definite.

    Rows and columns of 0 are those of coils that are dead.
    """
    finite(path, name, Psi)
    uneven = float(np.abs(Psi - Psi.conj().T).max()) if Psi.size else 0.0
    if uneven > 1e-3 * float(np.abs(Psi).max()):
        raise ValueError(
            f"{path}: {name} is not Hermitian, entries differ by {uneven:.2g} from the conjugate "
            "of the opposite one, expected a covariance: noise @ noise.conj().T / samples"
        )
    Psi = (Psi + Psi.conj().T) / 2
    lowest = float(np.linalg.eigvalsh(Psi)[0])
    silent = np.flatnonzero(np.diag(Psi).real <= 0)
    if silent.size or lowest <= 1e-9 * float(np.diag(Psi).real.max()):
        what = f"its lowest eigenvalue is {lowest:.2g}"
        if silent.size:
            what = f"the noise of coil {named(silent.tolist())} is 0"
        raise ValueError(
            f"{path}: {name}: {what}, expected a positive definite covariance of the coils: a "
            "noise scan of more samples than coils, or one without the coils that are dead"
        )
    return Psi


def covariance_of(path: Path, name: str, noise: Complex) -> Wide:
    """Psi of samples of noise, complex [C, samples]. Raises ValueError."""
    finite(path, name, noise)
    coils, samples = noise.shape
    if samples < max(SAMPLES, 2 * coils):
        raise ValueError(
            f"{path}: {name} has {samples} samples of {coils} coils, expected at least "
            f"{max(SAMPLES, 2 * coils)}"
        )
    wide = noise.astype(np.complex128)
    return checked(path, name, wide @ wide.conj().T / samples)


def estimated(outer: Complex) -> tuple[Wide | None, str]:
    """Psi, diagonal, of outer samples [C, n]; None where the noise of the coils is about the same.

    Besides, a note. Dead coils are 0 there.
    """
    sigma = np.median(np.abs(outer), axis=1) / RAYLEIGH if outer.shape[1] else np.zeros(len(outer))
    living = sigma > 0
    if outer.shape[1] < FEWEST or not living.any():
        return None, ""
    usual = float(np.median(sigma[living]))
    odd = living & ((sigma > UNEVEN * usual) | (sigma < usual / UNEVEN))
    if not odd.any():
        return None, ""
    sigma = np.where(living, sigma, usual)
    times = ", ".join(f"{sigma[c] / usual:.2g}" for c in np.flatnonzero(odd)[:8])
    return np.diag(np.square(sigma)).astype(np.complex128), (
        f"noise estimated from the outer k-space: coil {named(np.flatnonzero(odd).tolist())} has "
        f"{times} times the usual one, coils are weighted by it; --noise-scan FILE.h5 says better"
    )


def outer_rows(rows: int) -> tuple[slice, slice]:
    """The first and the last rows of k-space, which ``outer`` takes samples from."""
    reach = max(1, round(rows * (1 - OUTER) / 2))
    return slice(0, reach), slice(rows - reach, rows)


def outer(k: Complex, sampled: Mask) -> Complex:
    """The samples [C, n] of some outer rows, complex [C, rows, kx], in their outer columns."""
    width = k.shape[2]
    aside = np.abs(np.arange(width) - width // 2) > OUTER * width / 2
    if (sampled & aside).sum() < FEWEST:
        aside[:] = True
    found: Complex = k[:, sampled & aside]
    return found
