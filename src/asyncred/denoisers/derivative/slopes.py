"""The derivatives of the operators that work element by element."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from asyncred.denoisers.derivative.node import Node

Array = NDArray[Any]


def _along(node: Node, values: Array) -> Array:
    """Values of one axis, of channels where none is named, against the shape of y."""
    shape = [1] * node.y.ndim
    if values.size > 1:
        shape[node.get("axis", 1)] = values.size
    return np.asarray(values, np.float32).reshape(shape)


def _normalization(node: Node, k: int) -> Array:
    return _along(node, node.value(1) / np.sqrt(node.value(4) + node.get("epsilon", 1e-5)))


def _clip(node: Node, k: int) -> Array:
    low, high = node.given(1), node.given(2)
    x = node.value(0)
    return np.asarray(
        (x >= (node.get("min", -np.inf) if low is None else low))
        & (x <= (node.get("max", np.inf) if high is None else high))
    )


def _extreme(node: Node, k: int) -> Array:
    """1 where input k is the first one to be the output."""
    taken = np.zeros(node.y.shape, bool)
    for before in range(k):
        taken |= node.value(before) == node.y
    return np.asarray((node.value(k) == node.y) & ~taken)


def _quotient(node: Node, k: int) -> Array:
    a, b = node.value(0), node.value(1)
    return np.asarray(1 / b if k == 0 else -a / b**2)


def _power(node: Node, k: int) -> Array:
    a, b = node.value(0), node.value(1)
    if k == 1:
        raise node.error("has an exponent that varies")
    return np.asarray(b * a ** (b - 1))


def _quantize(node: Node, k: int) -> Array:
    if node.y.dtype.kind not in "iu" or node.get("block_size", 0):
        raise node.error("is no plain integer quantization")
    scale, zero = _along(node, node.value(1)), node.given(2)
    level = np.rint(node.value(0) / scale)
    if zero is not None:
        level = level + _along(node, zero)
    limits = np.iinfo(node.y.dtype)
    return np.asarray(((level >= limits.min) & (level <= limits.max)) / scale)


def _dequantize(node: Node, k: int) -> Array:
    if node.get("block_size", 0):
        raise node.error("is no plain integer quantization")
    return _along(node, node.value(1))


def _other_factor(node: Node, k: int) -> Array:
    return node.value(1 - k)


def _gelu(node: Node, k: int) -> Array:
    if node.get("approximate", b"none") != b"none":
        raise node.error("is approximate")
    x = node.value(0)
    return np.asarray((1 + erf(x / 2**0.5)) / 2 + x * np.exp(-(x**2) / 2) / (2 * np.pi) ** 0.5)


def _hard_swish(node: Node, k: int) -> Array:
    x = node.value(0)
    return np.where(x > 3, 1, np.where(x < -3, 0, (2 * x + 3) / 6))


def _sign_or(below: Callable[[Node], Any]) -> Callable[[Node, int], Array]:
    """The slope 1 right of 0 and ``below`` left of it."""
    return lambda node, k: np.where(node.value(0) > 0, 1, below(node))


def _one(node: Node, k: int) -> Array:
    return np.ones(())


def _cast(node: Node, k: int) -> Array:
    return np.array(node.y.dtype.kind not in "iub")


SELU = 1.0507009873554805, 1.6732632423543772

SLOPES: dict[str, Callable[[Node, int], Array]] = {
    "Identity": _one,
    "Dropout": _one,
    "Cast": _cast,
    "Add": _one,
    "Sum": _one,
    "Sub": lambda n, k: np.array([1, -1])[k],
    "Neg": lambda n, k: np.array(-1),
    "Mul": _other_factor,
    "Div": _quotient,
    "Pow": _power,
    "Mean": lambda n, k: np.array(1 / len(n.x)),
    "Max": _extreme,
    "Min": _extreme,
    "Where": lambda n, k: (n.value(0) == (k == 1)) & (k > 0),
    "Clip": _clip,
    "Relu": _sign_or(lambda n: 0),
    "LeakyRelu": _sign_or(lambda n: n.get("alpha", 0.01)),
    "PRelu": _sign_or(lambda n: n.value(1)),
    "Elu": _sign_or(lambda n: n.y + n.get("alpha", 1.0)),
    "Celu": _sign_or(lambda n: n.y / n.get("alpha", 1.0) + 1),
    "Selu": lambda n, k: np.where(
        n.value(0) > 0,
        n.get("gamma", SELU[0]),
        n.y + n.get("gamma", SELU[0]) * n.get("alpha", SELU[1]),
    ),
    "ThresholdedRelu": lambda n, k: n.value(0) > n.get("alpha", 1.0),
    "Sigmoid": lambda n, k: n.y * (1 - n.y),
    "HardSigmoid": lambda n, k: n.get("alpha", 0.2) * ((n.y > 0) & (n.y < 1)),
    "HardSwish": _hard_swish,
    "Gelu": _gelu,
    "Erf": lambda n, k: 2 / np.pi**0.5 * np.exp(-(n.value(0) ** 2)),
    "Tanh": lambda n, k: 1 - n.y**2,
    "Softplus": lambda n, k: 1 - np.exp(-n.y),
    "Softsign": lambda n, k: (1 - np.abs(n.y)) ** 2,
    "Abs": lambda n, k: np.sign(n.value(0)),
    "Sqrt": lambda n, k: 1 / (2 * n.y),
    "Exp": lambda n, k: n.y,
    "Log": lambda n, k: 1 / n.value(0),
    "Reciprocal": lambda n, k: -(n.y**2),
    "BatchNormalization": _normalization,
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _dequantize,
}
"""The derivative of an element of y by that of input k."""

OF_SEVERAL = frozenset(["Add", "Sum", "Sub", "Mul", "Div", "Pow", "Mean", "Max", "Min", "Where"])
"""Those of which not only the first input may vary."""
