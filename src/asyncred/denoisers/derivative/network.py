"""J, the Jacobian of an ONNX network at a point: J u and J^T v, both exact.

Every node on the way from the image to the output has, with respect to each of its inputs, a
linear map at the point, found by the rule of its operator. Written in the order of the graph these
maps give J u, their adjoints in the opposite order J^T v: forward and reverse mode of the same
derivative, each an ONNX graph of its own. ``write_adjoint`` writes J^T v for all points at once, on
the nodes of the network itself.

At a kink (0 of a Relu) one of the one-sided derivatives is taken. QuantizeLinear, whose derivative
is 0 almost everywhere, counts as the identity inside its representable range and as constant
outside (the straight-through estimate).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from asyncred.denoisers.derivative.graph import Graph, Shape, Traced
from asyncred.denoisers.derivative.linear import LinearMap
from asyncred.denoisers.derivative.node import Node, NoDerivativeError, no_derivative
from asyncred.denoisers.derivative.rules import RULES
from asyncred.denoisers.derivative.tape import Tape
from asyncred.denoisers.metadata import image_input, image_output
from asyncred.denoisers.onnx import open_session

Array = NDArray[Any]

# fmt: off
_FLAT = frozenset([
    "And", "ArgMax", "ArgMin", "Ceil", "ConstantOfShape", "Equal", "Floor", "Greater",
    "GreaterOrEqual", "Less", "LessOrEqual", "Not", "Or", "Round", "Shape", "Sign", "Size",
])
# fmt: on
"""Constant almost everywhere."""

Link = tuple[str, str, LinearMap]
"""The names of an input and of an output of a node, and the map from one to the other."""


class Derivative:
    """J at one point, float32 of the shape of the input to that of the output and back."""

    def __init__(self, apply: bytes, adjoint: bytes, *, threads: int) -> None:
        self._apply = open_session(apply, threads)
        self._adjoint = open_session(adjoint, threads)

    def apply(self, u: Array) -> Array:
        """J u."""
        return np.asarray(self._apply.run(None, {"u": u})[0])

    def adjoint(self, v: Array) -> Array:
        """J^T v."""
        return np.asarray(self._adjoint.run(None, {"v": v})[0])


class DifferentiableNetwork:
    """An ONNX network from its first input to its output, whose nodes all have rules.

    Raises NoDerivativeError, naming the node, where one has none.
    """

    def __init__(self, model: onnx.ModelProto, *, threads: int) -> None:
        graph = model.graph
        self._model, self._threads = model, threads
        self.source, self.target = image_input(graph), image_output(graph)
        self._active, varying = _active(graph, self.source, self.target)
        if self.target not in varying:
            raise NoDerivativeError("the output does not depend on the input")
        self._varying = varying
        names = itertools.chain(*((*node.input, *node.output) for node in self._active))
        self._tape = Tape(model, names, threads=threads)

    def at(self, feeds: Mapping[str, Array]) -> Derivative:
        """J where the inputs are ``feeds``. Raises NoDerivativeError where a rule does not fit."""
        nodes = list(self.nodes(feeds))
        maps = _maps(nodes)
        after = next(node.y.shape for node in nodes if node.output == self.target)
        graph = Graph()
        backward = graph.model("v", after, self._backward(graph, maps, "v"))
        return Derivative(
            self._write_apply(maps, feeds[self.source].shape), backward, threads=self._threads
        )

    def write_adjoint(self, graph: Graph, v: str, feeds: Mapping[str, Array]) -> str:
        """Write J^T v, at any point, as nodes that go with those of the network; its name.

        ``feeds`` are inputs of one size, which all strides of the network divide: the nodes hold
        for all such sizes. Raises NoDerivativeError, naming the node, where a rule does not.
        """
        constants = _constants(self._model.graph)
        values = {
            name: value if name in constants else Traced(graph, name, value.shape, value.dtype)
            for name, value in self._tape(feeds).items()
        }
        return self._backward(graph, _maps(self._nodes(values)), v)

    def nodes(self, feeds: Mapping[str, Array]) -> Iterator[Node]:
        """The nodes between input and output, one for each output that varies, in their order."""
        return self._nodes(self._tape(feeds))

    def _nodes(self, values: Mapping[str, Array | Traced]) -> Iterator[Node]:
        for proto in self._active:
            x = [values[name] if name else None for name in proto.input]
            varying = tuple(k for k, name in enumerate(proto.input) if name in self._varying)
            attributes = {a.name: helper.get_attribute_value(a) for a in proto.attribute}
            for j, output in enumerate(proto.output):
                if output in self._varying:
                    yield Node(proto, attributes, self._model, x, varying, values[output], j)

    def _write_apply(self, maps: list[Link], before: Shape) -> bytes:
        graph, t = Graph(), {self.source: "u"}
        for output, group in itertools.groupby(maps, key=lambda item: item[1]):
            t[output] = graph.total([found.apply(graph, t[name]) for name, _, found in group])
        return graph.model("u", before, t[self.target])

    def _backward(self, graph: Graph, maps: list[Link], v: str) -> str:
        """Write J^T v; its name."""
        g = {self.target: [v]}
        for name, output, found in reversed(maps):
            if output in g:
                g[output] = [graph.total(g[output])]
                g.setdefault(name, []).append(found.adjoint(graph, g[output][0]))
        if self.source not in g:
            raise NoDerivativeError("the output does not depend on the input")
        return graph.total(g[self.source])


def _maps(nodes: Iterable[Node]) -> list[Link]:
    return [
        (node.proto.input[k], node.output, RULES[node.proto.op_type](node, k))
        for node in nodes
        for k in node.varying
    ]


def _active(
    graph: onnx.GraphProto, source: str, target: str
) -> tuple[list[onnx.NodeProto], set[str]]:
    """The nodes that the image goes through to the output, and the tensors that vary with it."""
    active, varying = [], {source}
    for node in _leading_to(graph, target):
        if any(a.type in (a.GRAPH, a.GRAPHS) for a in node.attribute):
            raise no_derivative(node, "has a subgraph")
        if node.op_type in _FLAT or not varying & {*node.input}:
            continue
        if node.op_type not in RULES or node.domain not in ("", "ai.onnx"):
            raise no_derivative(node, "has no derivative rule")
        active.append(node)
        varying |= {*node.output} if node.op_type == "Split" else {node.output[0]}
    return active, varying


def _leading_to(graph: onnx.GraphProto, target: str) -> list[onnx.NodeProto]:
    """The nodes that a tensor depends on, in their order."""
    wanted, found = {target}, []
    for node in reversed(graph.node):
        if wanted & {*node.output}:
            wanted |= {*node.input}
            found.append(node)
    return found[::-1]


def _constants(graph: onnx.GraphProto) -> set[str]:
    """The tensors that depend on no input."""
    found = {item.name for item in graph.initializer} | {""}
    for node in graph.node:
        if {*node.input} <= found:
            found |= {*node.output}
    return found
