"""Where a rank's time goes, and how to waste it on purpose: wrappers around D, A and G."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from asyncred.denoisers.onnx import Array, Denoiser
from asyncred.history import Times
from asyncred.operators import Image, Operator, Rows
from asyncred.red.anchored import AnchoredRed, Anchors, Pull
from asyncred.red.operator import RedOperator
from asyncred.red.pace import Pace


class TimedDenoiser:
    """A denoiser that adds its time to ``times.denoiser``."""

    def __init__(self, D: Denoiser, times: Times) -> None:
        self.halo, self.align = D.halo, D.align
        self._D, self._times = D, times

    def __call__(self, x: Array) -> Array:
        """D(x)."""
        start = time.perf_counter()
        out = self._D(x)
        self._times.denoiser += time.perf_counter() - start
        return out

    def with_potential(self, x: Array) -> tuple[Array, Array]:
        """D(x), and the share of each pixel in its potential."""
        start = time.perf_counter()
        out = self._D.with_potential(x)
        self._times.denoiser += time.perf_counter() - start
        return out


class TimedOperator:
    """An operator that adds the time of its gradients, and of its moves, to ``times.gradient``."""

    def __init__(self, A: Operator, times: Times) -> None:
        self.halo, self._A, self._times = A.halo, A, times

    def request(self, i: int, rows: Rows | None) -> None:
        """Ask other hosts."""
        self._A.request(i, rows)

    def gradient(self, i: int, x_i: Image, rows: Rows | None) -> Image:
        """The gradient of block i."""
        start = time.perf_counter()
        out = self._A.gradient(i, x_i, rows)
        self._times.gradient += time.perf_counter() - start
        return out

    def normal(self, i: int, v: Image) -> Image:
        """A_i^T A_i v."""
        start = time.perf_counter()
        out = self._A.normal(i, v)
        self._times.gradient += time.perf_counter() - start
        return out

    def moved(self, i: int, delta: Image) -> None:
        """Be told of an update."""
        start = time.perf_counter()
        self._A.moved(i, delta)
        self._times.gradient += time.perf_counter() - start

    def misfit(self, i: int) -> float:
        """||A x - y||^2 in block i."""
        start = time.perf_counter()
        out = self._A.misfit(i)
        self._times.gradient += time.perf_counter() - start
        return out

    def energy(self, i: int) -> float:
        """||y||^2 there."""
        return self._A.energy(i)

    def measurements(self, i: int) -> int:
        """m_i."""
        return self._A.measurements(i)

    def lipschitz(self, i: int, minibatch: int | None) -> float:
        """L_i."""
        return self._A.lipschitz(i, minibatch)


class TimedAnchored(AnchoredRed):
    """The anchored update, with all of its inner solve in ``times.gradient``."""

    def __init__(
        self,
        G: RedOperator,
        cheaper: RedOperator | None,
        anchors: Anchors,
        pace: Pace,
        pull: Pull,
        *,
        times: Times,
    ) -> None:
        super().__init__(G, cheaper, anchors, pace, pull)
        self._times = times

    def direction(self, j: int, x_j: Image, g_j: Image) -> Image:
        """d_j."""
        times, start = self._times, time.perf_counter()
        before = times.gradient + times.slowed
        out = super().direction(j, x_j, g_j)
        inside = times.gradient + times.slowed - before
        times.gradient += time.perf_counter() - start - inside
        return out


class Slowness:
    """Makes what a rank does take ``factor`` times as long: it sleeps for the difference."""

    def __init__(self, factor: float, times: Times) -> None:
        self.factor, self._times = factor, times

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Sleep after what is done inside."""
        start = time.perf_counter()
        yield
        pause = (self.factor - 1) * (time.perf_counter() - start)
        time.sleep(pause)
        self._times.slowed += pause


class SlowedDenoiser:
    """A denoiser on a slow rank."""

    def __init__(self, D: Denoiser, slowly: Slowness) -> None:
        self.halo, self.align = D.halo, D.align
        self._D, self._slowly = D, slowly

    def __call__(self, x: Array) -> Array:
        """D(x), late."""
        with self._slowly():
            return self._D(x)

    def with_potential(self, x: Array) -> tuple[Array, Array]:
        """D(x) and its potential, late."""
        with self._slowly():
            return self._D.with_potential(x)


class SlowedOperator:
    """An operator on a slow rank."""

    def __init__(self, A: Operator, slowly: Slowness) -> None:
        self.halo, self._A, self._slowly = A.halo, A, slowly
        self.request, self.misfit, self.energy = A.request, A.misfit, A.energy
        self.measurements, self.lipschitz, self.moved = A.measurements, A.lipschitz, A.moved

    def gradient(self, i: int, x_i: Image, rows: Rows | None) -> Image:
        """The gradient of block i, late."""
        with self._slowly():
            return self._A.gradient(i, x_i, rows)

    def normal(self, i: int, v: Image) -> Image:
        """A_i^T A_i v, late."""
        with self._slowly():
            return self._A.normal(i, v)
