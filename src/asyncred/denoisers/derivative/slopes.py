"""The derivatives of the operators that work element by element.

They hold for arrays and for ``Traced`` tensors: numpy's functions and operators, and no methods.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from asyncred.denoisers.derivative.graph import Traced
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


def _clip(node: Node, k: int) -> Any:
    low, high = node.given(1), node.given(2)
    x = node.value(0)
    above = x >= (node.get("min", -np.inf) if low is None else low)
    return above & (x <= (node.get("max", np.inf) if high is None else high))


def _extreme(node: Node, k: int) -> Any:
    """1 where input k is the first one to be the output."""
    first = node.value(k) == node.y
    for before in range(k):
        first = first & ~(node.value(before) == node.y)
    return first


def _quotient(node: Node, k: int) -> Any:
    a, b = node.value(0), node.value(1)
    return 1 / b if k == 0 else -a / b**2


def _power(node: Node, k: int) -> Any:
    a, b = node.value(0), node.value(1)
    if k == 1:
        raise node.error("has an exponent that varies")
    return b * a ** (b - 1)


def _quantize(node: Node, k: int) -> Array:
    if node.y.dtype.kind not in "iu" or node.get("block_size", 0):
        raise node.error("is no plain integer quantization")
    if isinstance(node.value(0), Traced):
        raise node.error("rounds: its slope is 0 almost everywhere")
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


def _other_factor(node: Node, k: int) -> Any:
    return node.value(1 - k)


def _gelu(node: Node, k: int) -> Any:
    if node.get("approximate", b"none") != b"none":
        raise node.error("is approximate")
    x = node.value(0)
    return (1 + scipy.special.erf(x / 2**0.5)) / 2 + x * np.exp(-(x**2) / 2) / (2 * np.pi) ** 0.5


def _hard_swish(node: Node, k: int) -> Any:
    x = node.value(0)
    return np.where(x > 3, 1, np.where(x < -3, 0, (2 * x + 3) / 6))


def _elu(node: Node, k: int) -> Any:
    alpha = node.get("alpha", 1.0)
    return np.minimum(node.y + 1, 1) if alpha == 1 else np.where(node.y > 0, 1, node.y + alpha)


def _where(node: Node, k: int) -> Any:
    chosen = node.value(0)
    return np.zeros(()) if k == 0 else chosen if k == 1 else ~chosen


def _sign_or(below: Callable[[Node], Any]) -> Callable[[Node, int], Any]:
    """The slope 1 right of 0 and ``below`` left of it."""
    return lambda node, k: np.where(node.value(0) > 0, 1, below(node))


def _one(node: Node, k: int) -> Array:
    return np.ones(())


def _cast(node: Node, k: int) -> Array:
    return np.array(node.y.dtype.kind not in "iub")


SELU = 1.0507009873554805, 1.6732632423543772

SLOPES: dict[str, Callable[[Node, int], Any]] = {
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
    "Where": _where,
    "Clip": _clip,
    "Relu": lambda n, k: np.sign(n.y),
    "LeakyRelu": _sign_or(lambda n: n.get("alpha", 0.01)),
    "PRelu": _sign_or(lambda n: n.value(1)),
    "Elu": _elu,
    "Celu": lambda n, k: np.minimum(n.y / n.get("alpha", 1.0) + 1, 1),
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
    "Softplus": lambda n, k: scipy.special.expit(n.value(0)),
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
