"""Problems with a known truth, for trying things out and for measuring."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from asyncred.files import check_writable
from asyncred.grid import BlockGrid
from asyncred.images import load_image
from asyncred.operators import ParallelBeam
from asyncred.problem import write_block_random, write_parallel_beam


def simulate_cs(
    path: Path,
    *,
    image: str,
    size: int | None,
    block: int,
    ratio: float,
    noise_snr: float,
    seed: int,
    store_matrix: bool,
    overwrite: bool,
) -> str:
    """Write a block-diagonal compressive-sensing problem; what was written, in a line.

    Raises ValueError on bad arguments.
    """
    check_writable(path, overwrite=overwrite)
    if seed >= 2**63:
        raise ValueError(f"--seed is {seed}, expected less than 2**63 (an HDF5 integer)")
    truth = load_image(image, size=size)
    if block > min(truth.shape):
        raise ValueError(f"--block is {block}, expected at most {min(truth.shape)} (the image)")
    m = max(1, round(ratio * block * block))
    write_block_random(
        path,
        truth,
        block=(block, block),
        m=m,
        noise_snr=noise_snr,
        seed=seed,
        store_matrix=store_matrix,
    )
    return (
        f"wrote {path}: {truth.shape[0]}x{truth.shape[1]} image, blocks of {block}x{block}, "
        f"{m} measurements each, noise at {noise_snr:g} dB"
    )


def simulate_ct(
    path: Path,
    *,
    image: str,
    size: int | None,
    block: int,
    views: int,
    photons: float,
    attenuation: float,
    seed: int,
    overwrite: bool,
) -> str:
    """Write a tomography problem; what was written, in a line. Raises ValueError on bad arguments.

    ``views`` over 180 degrees, bins of one pixel that see the whole image; each bin counts
    Poisson-distributed photons, ``photons`` of them where nothing is in the way, and y is the
    logarithm of their loss. The image, 0 to 1, is scaled so that the strongest ray loses exp of
    ``attenuation``.
    """
    check_writable(path, overwrite=overwrite)
    truth = load_image(image, size=size)
    if block > min(truth.shape):
        raise ValueError(f"--block is {block}, expected at most {min(truth.shape)} (the image)")
    angles = np.arange(views) * 180 / views
    bins = math.ceil(math.hypot(*truth.shape)) + 2
    A = ParallelBeam(BlockGrid(truth.shape, truth.shape), np.radians(angles), bins, threads=1)
    first, integrals = A.footprint(0).first, A.forward(0, truth, None)
    exact = np.zeros((views, bins))
    for v in range(views):
        exact[v, first[v] : first[v] + integrals.shape[1]] = integrals[v]
    pixel = attenuation / exact.max() if exact.max() > 0 else 1.0
    counts = np.random.default_rng(seed).poisson(photons * np.exp(-pixel * exact))
    y = -np.log(np.maximum(counts, 1) / photons)
    write_parallel_beam(
        path,
        truth,
        y.astype(np.float32),
        block=(block, block),
        angles=angles,
        pixel=float(pixel),
    )
    return (
        f"wrote {path}: {truth.shape[0]}x{truth.shape[1]} image, blocks of {block}x{block}, "
        f"{views} views of {bins} bins, {photons:g} photons a bin"
    )


def simulate_demo(path: Path, *, overwrite: bool) -> str:
    """The problem of the paper's code on the shipped photograph; what was written, in a line.

    240x240 pixels, 9 blocks of 80x80, 4356 of 6400 measurements a block, 30 dB.
    """
    return simulate_cs(
        path,
        image="camera",
        size=240,
        block=80,
        ratio=4356 / 6400,
        noise_snr=30.0,
        seed=0,
        store_matrix=False,
        overwrite=overwrite,
    )
