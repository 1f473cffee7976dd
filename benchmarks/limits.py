"""The two halves of an update against what the machine can do at most.

The denoiser against the single-precision matrix product of the BLAS that NumPy brings (2048x2048),
with as many threads; 8-bit networks against the same. The data gradient of a block of 4356x6400
against the rate at which as many threads read memory: each the inner product of its part of as
large an array with itself. All in turn, medians of --repeats.

    python benchmarks/limits.py [--repeats 15] [--denoisers fast-s5 fast-s5-int8]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from asyncred.denoisers.appraise import gflop_per_pixel
from asyncred.denoisers.onnx import OnnxDenoiser
from asyncred.denoisers.shipped import find_model
from asyncred.operators.block_random import draw_matrix
from asyncred.operators.kernels import dense_gradient
from common import table

BLOCK, MEASUREMENTS, SIDE = 80, 4356, 2048

PAUSE, WARM = 0.1, 0.05
"""Seconds before each work, as threads of a BLAS go on spinning for a while after theirs; and of
the work before it counts, as a core that has been idle is not there at once."""

Work = tuple[float, Callable[[], object]]
"""An amount, in units of 1e9, and what does it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--denoisers", nargs="+", default=["fast-s5", "fast-s5-int8"])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    rng, rows = np.random.default_rng(0), []
    A = draw_matrix(0, 0, MEASUREMENTS, BLOCK**2)
    for threads in options.threads:
        works = {"matrix product": product(rng)}
        works |= {name: denoiser(name, threads, rng) for name in options.denoisers}
        works |= {"memory read": reading(A.ravel(), threads), "data gradient": gradient(A, threads)}
        with threadpool_limits(threads, user_api="blas"):
            rates = measured(works, options.repeats)
        for name, found in rates.items():
            memory = name in ("memory read", "data gradient")
            limit = rates["memory read" if memory else "matrix product"]
            unit = "GB/s" if memory else "GFLOP/s"
            rows.append([threads, name, f"{found:.1f} {unit}", f"{found / limit:.2f}"])
    print(table(["threads", "work", "rate", "of the limit"], rows))


def measured(works: dict[str, Work], repeats: int) -> dict[str, float]:
    """Median rate of each, in its amount per second; in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, (_, work) in works.items():
            time.sleep(PAUSE)
            begun = time.perf_counter()
            while time.perf_counter() < begun + WARM:
                work()
            start = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - start)
    return {name: works[name][0] / float(np.median(s)) for name, s in seconds.items()}


def product(rng: np.random.Generator) -> Work:
    """A matrix product."""
    a, b = (rng.random((SIDE, SIDE), dtype=np.float32) for _ in range(2))
    out = np.empty_like(a)
    return 2e-9 * SIDE**3, lambda: np.matmul(a, b, out=out)


def denoiser(name: str, threads: int, rng: np.random.Generator) -> Work:
    """D on the window of a block."""
    model = find_model(name)
    side = BLOCK + 2 * model.field.halo
    window, D = rng.random((side, side), dtype=np.float32), OnnxDenoiser(model, threads=threads)
    return gflop_per_pixel(model) * side**2, lambda: D(window)


def reading(values: NDArray[np.float32], threads: int) -> Work:
    """The memory of a block's A, read once by so many threads."""
    parts, pool = np.array_split(values, threads), ThreadPoolExecutor(threads)
    return 1e-9 * values.nbytes, lambda: list(pool.map(lambda part: np.dot(part, part), parts))


def gradient(A: NDArray[np.float32], threads: int) -> Work:
    """A^T (A x - y), which reads A once."""
    m, n = A.shape
    x, y, out = np.ones(n, np.float32), np.ones(m, np.float32), np.empty(n, np.float32)
    return 1e-9 * A.nbytes, lambda: dense_gradient(A, x, y, out, threads)


main()
