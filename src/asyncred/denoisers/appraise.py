"""What a denoiser is worth: its cost, what it leaves of noise, how far it is from nonexpansive.

Of one with a potential also: how far it is from the gradient step of that, and how curved that is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asyncred.denoisers.derivative import Tape
from asyncred.denoisers.jacobian import (
    EXACT,
    SECANTS,
    DenoiserJacobian,
    LocalHessian,
    LocalNorm,
)
from asyncred.denoisers.metadata import DEFAULT_SIGMA
from asyncred.denoisers.onnx import Array, Denoiser, DenoiserModel, OnnxDenoiser
from asyncred.denoisers.pictures import photograph
from asyncred.denoisers.trial import LARGE
from asyncred.metrics import psnr

CORNERS = ((64, 192), (208, 208), (352, 96))
"""Of the crops of the shipped photograph at which the Jacobian is looked at."""

SIDE = 64
STEPS = 12
"""Lanczos steps at each of them: enough for the third digit."""

LARGEST = 175.0
"""1e9 floating point operations on the photograph, of which a costly denoiser sees a part."""

FEW = 4
"""Of these steps for a denoiser of more than LARGE parameters, at one crop with noise."""

NOISE = (0, 1, 3)
"""Of those crops, in units of sigma."""

PROBE = 0.01
"""Of x - D(x), the change of x by which a potential is compared with its gradient."""

KERNELS = {"Conv": 1, "ConvTranspose": 1, "FusedConv": 1, "ConvInteger": 1, "QLinearConv": 3}
"""Which input of a node is its kernel."""


@dataclass(frozen=True)
class Quality:
    """PSNR of the shipped photograph, in dB: with noise of ``sigma``, in [0, 1], and denoised."""

    sigma: float
    before: float
    after: float


@dataclass(frozen=True)
class WorstNorm:
    """The largest ||J_D(x)||_2 found, each from below, and how."""

    value: float
    points: int
    method: str


@dataclass(frozen=True)
class WorstHessian:
    """Of a potential g: the extreme eigenvalues of I - J_D found, and what speaks against g."""

    low: float
    high: float
    asymmetry: float
    """The largest of J_D, ``LocalHessian`` says how it is measured."""
    error: float
    """The largest relative difference of a change of g and what x - D(x) says of it."""
    points: int
    method: str


def gflop_per_pixel(model: DenoiserModel) -> float:
    """1e9 floating point operations a pixel: two for each multiply-add of the convolutions."""
    graph = model.network()
    nodes = [node for node in graph.graph.node if node.op_type in KERNELS]
    side = -(-SIDE // model.field.align) * model.field.align
    feeds = OnnxDenoiser(model, threads=1).feeds(_parts(model, np.zeros((side, side), np.float32)))
    names = [name for node in nodes for name in (*node.input, *node.output)]
    values = Tape(graph, names, threads=1)(feeds) if nodes else {}
    total = 0
    for node in nodes:
        W = values[node.input[KERNELS[node.op_type]]]
        grid = values[node.input[0] if node.op_type == "ConvTranspose" else node.output[0]]
        total += 2 * grid.size * W.size // W.shape[0]
    return total / (1e9 * side**2)


def photograph_quality(model: DenoiserModel, *, threads: int = 1, seed: int = 0) -> Quality:
    """PSNR before and after, with white noise of the model's level."""
    side = math.isqrt(int(LARGEST / max(gflop_per_pixel(model), 1e-9)))
    sigma, x = _sigma(model), _parts(model, photograph()[-side:, -side:])
    noisy = _noisy(x, sigma, np.random.default_rng(seed))
    after = OnnxDenoiser(model, threads=threads)(noisy)
    return Quality(sigma, psnr(x, noisy), psnr(x, after))


def worst_norm(
    model: DenoiserModel, *, threads: int = 1, steps: int = STEPS, seed: int = 0
) -> WorstNorm:
    """||J_D||_2 at crops of the shipped photograph, clean, with noise and with three times that."""
    J = DenoiserJacobian(model, threads=threads)
    steps = steps if model.parameters <= LARGE else FEW
    found = [J.norm(x, steps=steps) for x in _points(model, seed)]
    return WorstNorm(max(norm.value for norm in found), len(found), _method(found))


def worst_hessian(
    model: DenoiserModel, *, threads: int = 1, steps: int = STEPS, seed: int = 0
) -> WorstHessian:
    """The Hessian of the potential of D at the same points. D must have one."""
    J, D = DenoiserJacobian(model, threads=threads), OnnxDenoiser(model, threads=threads)
    points = _points(model, seed)
    found = [J.hessian(x, steps=steps) for x in points]
    return WorstHessian(
        min(hessian.low for hessian in found),
        max(hessian.high for hessian in found),
        max(hessian.asymmetry for hessian in found),
        max(gradient_error(D, x) for x in points),
        len(found),
        _method(found),
    )


def gradient_error(D: Denoiser, x: Array) -> float:
    """|g(x + e) - g(x - e) - 2 <x - D(x), e>| / |2 <x - D(x), e>| for a small e along x - D(x)."""
    step = x - D(x)
    ahead, behind = x + PROBE * step, x - PROBE * step
    expected = float(np.vdot(step.astype(np.float64), ahead - behind))
    g = [float(D.with_potential(z)[1].sum(dtype=np.float64)) for z in (ahead, behind)]
    return abs(g[0] - g[1] - expected) / expected if expected else 0.0


def _points(model: DenoiserModel, seed: int) -> list[Array]:
    """Crops of the shipped photograph, each as it is and with noise, of sides fit for D."""
    side = -(-SIDE // model.field.align) * model.field.align
    x, rng = photograph(), np.random.default_rng(seed)
    return [
        _noisy(_parts(model, x[i : i + side, j : j + side]), k * _sigma(model), rng)
        for i, j in (CORNERS if model.parameters <= LARGE else CORNERS[:1])
        for k in (NOISE if model.parameters <= LARGE else (1,))
    ]


def _parts(model: DenoiserModel, x: Array) -> Array:
    """A picture as the denoiser takes it; of complex values the second part is darker."""
    return x if model.roles.planes == 1 else np.stack([x / 2**k for k in range(2)])


def _method(found: Sequence[LocalNorm | LocalHessian]) -> str:
    return EXACT if all(one.method == EXACT for one in found) else SECANTS


def _sigma(model: DenoiserModel) -> float:
    return model.sigma or DEFAULT_SIGMA


def _noisy(x: Array, sigma: float, rng: np.random.Generator) -> Array:
    return x + np.float32(sigma) * rng.standard_normal(x.shape, dtype=np.float32)
