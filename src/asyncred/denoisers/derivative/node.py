"""A node of an ONNX graph at a point: its values there, and the node alone as a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from asyncred.denoisers.derivative.graph import IR_VERSION, Traced
from asyncred.denoisers.onnx import open_session

Array = NDArray[Any]


class NoDerivativeError(ValueError):
    """A node of the graph has no rule."""


@dataclass(frozen=True)
class Node:
    """A node at a point; or at all points, where ``Traced`` tensors stand for its values."""

    proto: onnx.NodeProto
    attributes: Mapping[str, Any]
    model: onnx.ModelProto
    x: Sequence[Array | Traced | None]
    """The values of its inputs, None where an optional one is left out."""
    varying: tuple[int, ...]
    """The inputs that depend on the image."""
    y: Any
    """The value of one output."""
    j: int
    """Which output that is."""

    @property
    def output(self) -> str:
        """The name of that output."""
        return str(self.proto.output[self.j])

    def value(self, k: int) -> Any:
        """Input k, which must be there."""
        found = self.x[k]
        if found is None:
            raise self.error(f"lacks input {k}")
        return found

    def given(self, k: int) -> Any:
        """Input k, None where it is left out."""
        return self.x[k] if k < len(self.x) else None

    def get(self, name: str, default: Any) -> Any:
        """An attribute."""
        return self.attributes.get(name, default)

    def error(self, why: str) -> NoDerivativeError:
        """What to raise."""
        return no_derivative(self.proto, why)

    @cached_property
    def run(self) -> Callable[[Array], list[Array]]:
        """The node alone, as a function of its first input in float32."""
        if isinstance(self.x[0], Traced):
            raise self.error("has no derivative rule for images of any size")
        names = [f"x{k}" if value is not None else "" for k, value in enumerate(self.x)]
        if self.proto.op_type == "Pad":  # what it pads with is no part of the derivative
            names = names[:2] + [""] * (len(names) > 2) + names[3:]
        outputs = [f"y{k}" for k in range(max(len(self.proto.output), self.j + 1))]
        if self.proto.op_type == "MaxPool":
            outputs = ["y0", "indices"]
        node = helper.make_node(self.proto.op_type, names, outputs)
        node.attribute.extend(self.proto.attribute)
        x = helper.make_tensor_value_info("x0", onnx.TensorProto.FLOAT, self.value(0).shape)
        constants = [
            numpy_helper.from_array(np.ascontiguousarray(value), f"x{k}")
            for k, value in enumerate(self.x)
            if value is not None and k > 0 and f"x{k}" in names
        ]
        results = [helper.make_empty_tensor_value_info(name) for name in outputs]
        graph = helper.make_graph([node], "node", [x], results, constants)
        imports = self.model.opset_import
        model = helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSION)
        try:
            session = open_session(bytes(model.SerializeToString()), 1)
        except Exception:  # ONNX Runtime raises classes of its own
            raise self.error("does not run alone") from None
        return lambda t: list(session.run(None, {"x0": t.astype(np.float32)}))


def no_derivative(node: onnx.NodeProto, why: str) -> NoDerivativeError:
    """What to raise for a node."""
    return NoDerivativeError(f"node {node.op_type} {node.name!r} {why}")
