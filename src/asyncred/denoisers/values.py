"""What a denoiser of gray pictures in [0, 1] sees of other values, and of complex images.

A complex image x = P u, |P| = 1, is recovered as u where a smooth phase P is known: the magnitude
is then in the real part of u and little but noise in the imaginary one. x -> P D(conj(P) x) is as
nonexpansive as D.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from asyncred.denoisers.onnx import Denoiser, fill
from asyncred.operators import Image

SAMPLED = 2**18
"""Pixels of an image from which its range of values is taken, about."""

EXTREME = 0.002
"""The share of them that may lie below black, and above white."""


class Ranged:
    """low + s D((x - low) / s), s = high - low: D on images whose black and white are low and high.

    As nonexpansive as D itself. Noise of D's level is s times as strong here. Where D has the
    potential g, this has s^2 g((x - low) / s).
    """

    def __init__(self, D: Denoiser, low: float, high: float) -> None:
        self.halo, self.align = D.halo, D.align
        self._D, self._low, self._scale = D, np.float32(low), np.float32(high - low)

    def __call__(self, x: Image) -> Image:
        """The clean image, float32 [h, w]."""
        return self._low + self._scale * self._D((x - self._low) / self._scale)

    def with_potential(self, x: Image) -> tuple[Image, Image]:
        """The clean image, and the share of each pixel in the potential."""
        clean, potential = self._D.with_potential((x - self._low) / self._scale)
        return self._low + self._scale * clean, self._scale**2 * potential


class Parts:
    """D(Re x) + i D(Im x): D on the real and on the imaginary part, each for itself.

    As nonexpansive as D itself. Where D has the potential g, this has g(Re x) + g(Im x), whose
    gradient in both parts, written as one complex number, is x - D(x).
    """

    def __init__(self, D: Denoiser) -> None:
        self.halo, self.align = D.halo, D.align
        self._D = D

    def __call__(self, x: Image) -> Image:
        """The clean image, complex64 [h, w]."""
        out = np.empty(x.shape, np.complex64)
        out.real = self._D(np.ascontiguousarray(x.real))
        out.imag = self._D(np.ascontiguousarray(x.imag))
        return out

    def with_potential(self, x: Image) -> tuple[Image, Image]:
        """The clean image, complex64, and the share of each pixel in the potential, float32."""
        out = np.empty(x.shape, np.complex64)
        out.real, of_real = self._D.with_potential(np.ascontiguousarray(x.real))
        out.imag, of_imaginary = self._D.with_potential(np.ascontiguousarray(x.imag))
        return out, of_real + of_imaginary


class Complex:
    """D of complex images where the network takes their parts as two channels."""

    def __init__(self, D: Denoiser) -> None:
        self.halo, self.align = D.halo, D.align
        self._D = D

    def __call__(self, x: Image) -> Image:
        """The clean image, complex64 [h, w]."""
        real, imaginary = self._D(np.stack([x.real, x.imag]))
        return np.asarray(real + np.complex64(1j) * imaginary, np.complex64)

    def with_potential(self, x: Image) -> tuple[Image, Image]:
        """No such network has a potential: the denoiser says so."""
        return self._D.with_potential(x)


class Equivariant:
    """T^-1 D(T x), T a random turn by quarters and a mirroring, another one in each call.

    The mean of this D over all T commutes with them, whatever the network does (Terris, Moreau,
    Pustelnik, Tachella, "Equivariant plug-and-play image reconstruction", CVPR 2024). x is filled
    up to the stride before it is turned, so that the borders of windows stay multiples of it.
    """

    def __init__(self, D: Denoiser, rng: np.random.Generator) -> None:
        self.halo, self.align = D.halo, D.align
        self._D, self._rng = D, rng

    def __call__(self, x: Image) -> Image:
        """The clean image, of the shape of x."""
        turns, mirrored = self._draw()
        clean = self._D(_turned(fill(x, self.align), turns, mirrored))
        return _turned_back(clean, turns, mirrored, x.shape)

    def with_potential(self, x: Image) -> tuple[Image, Image]:
        """The clean image, and the share of each pixel in the potential."""
        turns, mirrored = self._draw()
        clean, potential = self._D.with_potential(_turned(fill(x, self.align), turns, mirrored))
        return (
            _turned_back(clean, turns, mirrored, x.shape),
            _turned_back(potential, turns, mirrored, x.shape),
        )

    def _draw(self) -> tuple[int, bool]:
        number = int(self._rng.integers(8))
        return number % 4, number >= 4


def _turned(x: Image, turns: int, mirrored: bool) -> Image:
    x = x[..., ::-1] if mirrored else x
    return np.ascontiguousarray(np.rot90(x, turns, axes=(-2, -1)))


def _turned_back(x: Image, turns: int, mirrored: bool, shape: tuple[int, ...]) -> Image:
    x = np.rot90(x, -turns, axes=(-2, -1))
    x = x[..., ::-1] if mirrored else x
    return np.ascontiguousarray(x[..., : shape[-2], : shape[-1]])


def with_phases(u: Mapping[int, Image], P: Mapping[int, Image]) -> Mapping[int, Image]:
    """P u, block by block; u itself where P is {}."""
    return {i: P[i] * u_i for i, u_i in u.items()} if P else u


def without_phases(x: Mapping[int, Image], P: Mapping[int, Image]) -> Mapping[int, Image]:
    """conj(P) x, block by block; x itself where P is {}."""
    return {i: P[i].conj() * x_i for i, x_i in x.items()} if P else x


def sample(x_i: Image, blocks: int) -> Image:
    """Some of the values of one of so many blocks, evenly spread."""
    flat = x_i.ravel()
    part: Image = flat[:: max(1, flat.size * blocks // SAMPLED)]
    return part


def range_of(values: Image) -> tuple[float, float]:
    """What is black and what is white among the values of an image, but for a few extreme ones.

    Of complex values black is 0 and white the largest magnitude.
    """
    if np.iscomplexobj(values):
        low, high = 0.0, float(np.quantile(np.abs(values), 1 - EXTREME))
    else:
        low, high = (float(q) for q in np.quantile(values, (EXTREME, 1 - EXTREME)))
    return (low, high) if low < high else (low, low + 1.0)
