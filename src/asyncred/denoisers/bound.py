"""Upper bounds of the Lipschitz constant of D: what its file states, what its layers prove.

Along the nodes of the network each tensor keeps a bound of its Lipschitz constant as a function of
the image, in the 2-norm: a layer multiplies it by its own constant, branches that are added add
theirs. For ordinary networks the product is far above the true constant.

The bound is that of the network on images whose sides its total stride divides. Other images are
filled up by repeated rows and columns, which alone can stretch a difference.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asyncred.denoisers.derivative import DifferentiableNetwork, Node, NoDerivativeError
from asyncred.denoisers.metadata import stated_at, stated_numbers
from asyncred.denoisers.onnx import DenoiserModel, OnnxDenoiser
from asyncred.denoisers.trial import LARGE

FREQUENCIES = 32
"""Per axis, at least: where the transform of a kernel is evaluated."""


class NoBoundError(ValueError):
    """A node has no Lipschitz constant that is known."""


def certified_bound(model: DenoiserModel) -> float | None:
    """The bound that the file states, else that of its layers, else None. Raises ValueError."""
    stated = stated_bound(model)
    return layer_bound(model) if stated is None else stated


def stated_bound(model: DenoiserModel) -> float | None:
    """The Lipschitz constant of D in the metadata ``asyncred.lipschitz``; its card has the proof.

    None where there is none. Raises ValueError where it is no number.
    """
    found = stated_numbers(model.path, model.stated, "asyncred.lipschitz", 1)
    return found[0] if found else None


def stated_curvature(model: DenoiserModel) -> float | None:
    """The largest eigenvalue of the Hessian of D's potential, as ``asyncred.hessian`` states it.

    None where it does not. Raises ValueError where that cannot be read.
    """
    return stated_at(model.path, model.stated, "asyncred.hessian", model.sigma)


def layer_bound(model: DenoiserModel) -> float | None:
    """The Lipschitz constant of D as its layers bound it, 1 more where they return the noise.

    None where the network has a layer of no known constant, or so many parameters that the norms
    of its kernels would take minutes.
    """
    if model.parameters > LARGE or model.roles.planes > 1:
        return None
    align = model.field.align
    side = align * math.ceil(2 + model.field.halo / align)  # large enough for every layer
    x = np.full((side, side), 0.5, np.float32)
    D = OnnxDenoiser(model, threads=1)
    if not _takes(D, x):
        return None
    try:
        network = DifferentiableNetwork(model.network(), threads=1)
        bounds = {network.source: 1.0}
        for node in network.nodes(D.feeds(x)):
            before = [bounds[node.proto.input[k]] for k in node.varying]
            bounds[node.output] = _through(node, before)
    except (NoDerivativeError, NoBoundError):
        return None
    return bounds[network.target] + (model.output == "noise")


def _takes(D: OnnxDenoiser, x: NDArray[np.float32]) -> bool:
    """Whether D takes an image of this size; a network with a constant image in it may not."""
    try:
        D(x)
    except ValueError:
        return False
    return True


def convolution_norm(W: NDArray[Any], group: int = 1) -> float:
    """A proven upper bound of ||W *||_2 on images of any size, padded with zeros.

    The zero-padded convolution is a part of that of the whole plane, whose norm is the maximum over
    the frequencies of the spectral norm of the [c_out, c_in] matrix of the kernel's transform.
    Between N samples an axis a trigonometric polynomial of degree d is at most
    1 / cos(pi d / N) times the largest sample (M. Riesz 1914). Stride and dilation do not raise
    the norm. W is [c_out, c_in / group, kh, kw].
    """
    kh, kw = W.shape[2:]
    blocks = W.astype(np.float64).reshape(group, -1, *W.shape[1:])
    points = [max(FREQUENCIES, 8 * side) for side in (kh, kw)]
    top = 0.0
    for p in range(points[0]):
        wave = np.exp(-2j * np.pi * p * np.arange(kh) / points[0])
        row = np.fft.fft(np.einsum("goihw,h->wgoi", blocks, wave), points[1], axis=0)
        half = row[: points[1] // 2 + 1]  # the rest are complex conjugates of another row
        top = max(top, float(np.linalg.norm(half, ord=2, axis=(-2, -1)).max()))
    between = [math.cos(math.pi * (k // 2) / n) for k, n in zip((kh, kw), points, strict=True)]
    return top / math.prod(between)


def _through(node: Node, before: list[float]) -> float:
    """The bound of a tensor from those of the inputs that it varies with."""
    rule = _RULES.get(node.proto.op_type)
    if rule is None:
        raise NoBoundError(node.proto.op_type)
    if node.proto.op_type == "Concat":
        return math.hypot(*before)
    return rule(node) * sum(before)


def _same_shape(node: Node) -> float:
    """1, where nothing is repeated along an axis."""
    if any(node.value(k).shape != node.y.shape for k in node.varying):
        raise NoBoundError(node.proto.op_type)
    return 1.0


def _factor(node: Node) -> float:
    """Of Mul and Div by a constant that is the same at every pixel."""
    _same_shape(node)
    if len(node.varying) > 1 or (node.proto.op_type == "Div" and node.varying != (0,)):
        raise NoBoundError(node.proto.op_type)
    c = node.value(1 - node.varying[0])
    if math.prod(c.shape[-2:]) > 1:
        raise NoBoundError(node.proto.op_type)
    return float(np.abs(1 / c if node.proto.op_type == "Div" else c).max())


def _normalization(node: Node) -> float:
    scale = node.value(1) / np.sqrt(node.value(4) + node.get("epsilon", 1e-5))
    return float(np.abs(scale).max())


def _one(node: Node) -> float:
    return 1.0


def _convolution(node: Node) -> float:
    return convolution_norm(node.value(1), node.get("group", 1))


_RULES: dict[str, Callable[[Node], float]] = {
    **dict.fromkeys(["Identity", "Dropout", "Relu", "Clip", "Tanh", "Abs", "Neg", "Celu"], _one),
    **dict.fromkeys(["Softplus", "Softsign", "Split", "Slice", "Reshape", "Transpose"], _one),
    **dict.fromkeys(["Flatten", "DepthToSpace", "SpaceToDepth", "Concat"], _one),
    **dict.fromkeys(["Add", "Sub", "Sum", "Max", "Min"], _same_shape),
    "Mul": _factor,
    "Div": _factor,
    "Mean": lambda n: _same_shape(n) / len(n.x),
    "LeakyRelu": lambda n: max(1.0, abs(n.get("alpha", 0.01))),
    "PRelu": lambda n: max(1.0, float(np.abs(n.value(1)).max())),
    "Elu": lambda n: max(1.0, n.get("alpha", 1.0)),
    "Sigmoid": lambda n: 0.25,
    "HardSigmoid": lambda n: float(n.get("alpha", 0.2)),
    "BatchNormalization": _normalization,
    "Conv": _convolution,
    "ConvTranspose": _convolution,
}
"""The Lipschitz constant of a node in each of the inputs that vary."""
