"""ONNX Runtime, the denoiser and the native kernels: that they work, and how fast on every rank."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime as ort

from asyncred.commands.doctor.findings import Finding, Part, alike, where
from asyncred.denoisers.inspection import inspect_denoiser
from asyncred.denoisers.onnx import OnnxDenoiser
from asyncred.denoisers.provider import CPU, Provider, find_provider
from asyncred.denoisers.shipped import model_path
from asyncred.operators.kernels import dense_gradient, dense_gradient_numpy, openmp
from asyncred.runtime.placement import Placement

MODEL = "fast-s5"
BLOCK = 80
SIDE = 4096
"""Of the dense matrix, 64 MiB: more than caches hold."""

TRIES = 5
LIMIT = 120.0
SLOW = 2.0
"""A rank is slow where it takes so many times the median of all."""


@dataclass(frozen=True)
class Speed:
    """Seconds of one rank, all ranks at once."""

    one: float
    """With one thread."""
    all: float
    """With the threads of the rank."""
    threads: int
    provider: str
    there: float | None = None
    """On the provider that a run would take, where that is not the CPU."""


def parts(placement: Placement) -> list[Part[Any]]:
    """ONNX Runtime and its providers; a window; a data gradient."""
    hosts, threads = placement.hosts, placement.threads

    def provider() -> Provider:
        return find_provider("auto", placement.local_rank)

    return [
        Part("ONNX Runtime", LIMIT, lambda: _runtime(provider()), lambda t: tell_runtime(t, hosts)),
        Part(
            "denoiser",
            LIMIT,
            lambda: window_speed(threads, provider()),
            lambda t: tell_window(t, hosts),
        ),
        Part("kernels", LIMIT, lambda: gradient_speed(threads), lambda t: tell_gradient(t, hosts)),
    ]


def denoiser(*, threads: int, provider: Provider = CPU) -> OnnxDenoiser:
    """The shipped one."""
    path = model_path(MODEL)
    if path is None:
        raise ValueError(f"the denoiser {MODEL} was not installed with asyncred")
    return OnnxDenoiser(inspect_denoiser(path), threads=threads, provider=provider)


def _runtime(provider: Provider) -> str:
    return (
        f"{ort.__version__}, offers {', '.join(ort.get_available_providers())}; "
        f"a run takes {provider.name}"
    )


def tell_runtime(told: Sequence[str], hosts: Sequence[str]) -> list[Finding]:
    """One version everywhere, or results depend on the rank."""
    found = alike(told, hosts)
    if len(found) > 1:
        return [Finding(False, f"ONNX Runtime: {'; '.join(found)}: install the same everywhere")]
    return [Finding(True, f"ONNX Runtime: {found[0]}")]


def window_speed(threads: int, provider: Provider) -> Speed:
    """Of one window of the denoiser. Raises ValueError where the provider does not start."""
    here = denoiser(threads=1)
    side = BLOCK + 2 * here.halo
    window = np.random.default_rng(0).random((side, side), dtype=np.float32)
    there = None
    if provider != CPU:
        elsewhere = denoiser(threads=threads, provider=provider)
        there = median_seconds(lambda: elsewhere(window))
    many = denoiser(threads=threads)
    return Speed(
        median_seconds(lambda: here(window)),
        median_seconds(lambda: many(window)),
        threads,
        provider.words,
        there,
    )


def tell_window(told: Sequence[Speed], hosts: Sequence[str]) -> list[Finding]:
    """Milliseconds, the slowest rank beside the median."""
    one, many = (np.array([getattr(speed, name) for speed in told]) for name in ("one", "all"))
    said = (
        f"denoiser: a window of an {BLOCK}x{BLOCK} block {1e3 * np.median(one):.3g} ms with 1 "
        f"thread{_beside(told, f'{1e3 * np.median(many):.3g} ms')}"
    )
    there = [speed.there for speed in told if speed.there is not None]
    if there:
        said += f", {1e3 * np.median(there):.3g} ms on {told[0].provider}"
    return [_judged(said, told, hosts)]


def gradient_speed(threads: int) -> Speed:
    """Of one dense data gradient. Raises ValueError where its result is wrong."""
    rng = np.random.default_rng(0)
    A = rng.random((SIDE, SIDE), dtype=np.float32)
    x, y = rng.random((2, SIDE), dtype=np.float32)
    out = np.empty(SIDE, np.float32)
    one = median_seconds(lambda: dense_gradient(A, x, y, out, 1))
    many = median_seconds(lambda: dense_gradient(A, x, y, out, threads))
    exact = dense_gradient_numpy(A, x, y)
    error = float(np.linalg.norm(out - exact) / np.linalg.norm(exact))
    if not error <= 1e-4:
        raise ValueError(f"dense_gradient differs from NumPy by {error:.1e}: build asyncred anew")
    return Speed(one, many, threads, "cpu")


def tell_gradient(told: Sequence[Speed], hosts: Sequence[str]) -> list[Finding]:
    """Gigabytes of A a second, all ranks at once."""
    one, many = (
        4 * SIDE**2 / 1e9 / np.median([getattr(speed, name) for speed in told])
        for name in ("one", "all")
    )
    said = (
        f"kernels: {'with' if openmp else 'WITHOUT'} OpenMP; a dense data gradient reads "
        f"{one:.3g} GB/s a rank with 1 thread{_beside(told, f'{many:.3g}')}"
    )
    if not openmp and max(speed.threads for speed in told) > 1:
        return [Finding(False, f"{said}: build asyncred with a compiler that has OpenMP")]
    return [_judged(said, told, hosts)]


def median_seconds(work: Callable[[], object]) -> float:
    """Of some calls, after one that does not count."""
    work()
    seconds = []
    for _ in range(TRIES):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def _beside(told: Sequence[Speed], figure: str) -> str:
    """The figure with a rank's own threads, where they are more than one."""
    threads = sorted({speed.threads for speed in told})
    return "" if threads == [1] else f", {figure} with {' or '.join(map(str, threads))}"


def _judged(said: str, told: Sequence[Speed], hosts: Sequence[str]) -> Finding:
    """Slow ranks are named: of an asynchronous run they hold up nobody, but their own blocks."""
    seconds = np.array([speed.one for speed in told])
    slow = [int(rank) for rank in np.flatnonzero(seconds > SLOW * np.median(seconds))]
    if slow:
        times = seconds[slow].max() / np.median(seconds)
        return Finding(
            False,
            f"{said}; {where(slow, hosts)} {times:.1f} times slower than the median: does "
            "something else run there?",
        )
    if np.median([speed.all / speed.one for speed in told]) > SLOW:
        return Finding(False, f"{said}: more threads are slower, cores are shared: --threads 1")
    return Finding(True, said)
