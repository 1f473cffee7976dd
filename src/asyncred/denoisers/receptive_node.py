"""A node of an ONNX graph as the reader of receptive fields sees it, and what a tensor sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import onnx

from asyncred.denoisers.folding import Folded


class UnboundedReceptiveFieldError(ValueError):
    """The graph has a node through which every pixel may depend on every other."""


@dataclass(frozen=True)
class Span:
    """Element q depends on the input pixels ``a q + low`` to ``a q + high`` of one axis."""

    a: Fraction
    low: Fraction
    high: Fraction

    def window(self, stride: int, first: int, last: int) -> Span:
        """Of an output that sees elements ``stride q + first`` to ``stride q + last``."""
        a = self.a
        return Span(a * stride, self.low + a * first, self.high + a * last)

    def finer(self, factor: Fraction, first: Fraction, last: Fraction) -> Span:
        """Of an output that sees elements ``q / factor + first`` to ``q / factor + last``."""
        a = self.a
        return Span(a / factor, self.low + a * first, self.high + a * last)


@dataclass(frozen=True)
class Seen:
    """How a tensor depends on the image."""

    axes: tuple[int, ...]
    """Which of its axes are those of the image, rising."""
    spans: tuple[Span, ...]
    """What it sees along each of them."""
    slack: tuple[Fraction, ...] = ()
    """Its sides less those of the image at its resolution."""


@dataclass(frozen=True)
class At:
    """A node, its surroundings, and what its inputs see, by their number."""

    node: onnx.NodeProto
    attributes: Mapping[str, Any]
    folded: Folded
    seen: Mapping[int, Seen]

    def get(self, name: str, default: Any) -> Any:
        """An attribute."""
        return self.attributes.get(name, default)

    def given(self, k: int, name: str = "") -> Any:
        """A constant input, or else the attribute of that name; None where there is neither."""
        if k < len(self.node.input) and self.node.input[k]:
            return self.folded.constant(self.node.input[k])
        return self.attributes.get(name)

    def before(self) -> tuple[int, ...]:
        """The shape of the first input."""
        return self._sides(self.node.input[0])

    def after(self) -> tuple[int, ...]:
        """The shape of the output."""
        return self._sides(self.node.output[0])

    def _sides(self, name: str) -> tuple[int, ...]:
        sides = self.folded.sides(name)
        if sides is None:
            raise unbounded(self.node, "has a shape that is not known beforehand")
        return sides


def unbounded(node: onnx.NodeProto, why: str) -> UnboundedReceptiveFieldError:
    """What to raise for a node."""
    return UnboundedReceptiveFieldError(f"node {node.op_type} {node.name!r} {why}")


def only_first(at: At) -> None:
    """Raise where another input than the first depends on the image."""
    if set(at.seen) != {0}:
        raise unbounded(at.node, "is told by the image where to look")
