"""An ONNX graph that is being written, and tensors in it that numpy's functions can be told of.

A rule such as ``1 - np.exp(-y)`` gives numbers where y is an array. Where y is a ``Traced`` tensor
the same rule writes the nodes that will compute these numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import DTypeLike, NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]
Shape = tuple[int, ...]

OPSET = 17
IR_VERSION = 8


class Graph:
    """ONNX nodes, written one after another, float32 throughout; constants stand inside.

    The names of its tensors begin with ``prefix``.
    """

    def __init__(self, prefix: str = "") -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._prefix = prefix

    def add(self, kind: str, *inputs: str | Array | Traced, **attributes: Any) -> str:
        """Write a node; the name of its output."""
        names = [self._name(item) for item in inputs]
        output = f"{self._prefix}t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, names, [output], output, **attributes))
        return output

    def reshape(self, t: str, shape: Sequence[int]) -> str:
        """Write a Reshape."""
        return self.add("Reshape", t, np.array(shape, np.int64))

    def total(self, terms: Sequence[str]) -> str:
        """Write the sum of some tensors of one shape."""
        return terms[0] if len(terms) == 1 else self.add("Sum", *terms)

    def model(self, source: str, before: Shape, output: str) -> bytes:
        """The graph from ``source`` to ``output``, serialized."""
        output = self.add("Identity", output)
        inputs = [helper.make_tensor_value_info(source, TensorProto.FLOAT, before)]
        outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)]
        graph = helper.make_graph(self.nodes, "linear", inputs, outputs, self.constants)
        imports = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSION)
        return bytes(model.SerializeToString())

    def _name(self, item: str | Array | Traced) -> str:
        if isinstance(item, str):
            return item
        return item.name if isinstance(item, Traced) else self._constant(item)

    def _constant(self, value: Array) -> str:
        name = f"{self._prefix}c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name


_NODES: dict[str, str] = {
    "absolute": "Abs",
    "add": "Add",
    "bitwise_and": "And",
    "bitwise_or": "Or",
    "divide": "Div",
    "equal": "Equal",
    "exp": "Exp",
    "greater": "Greater",
    "greater_equal": "GreaterOrEqual",
    "invert": "Not",
    "less": "Less",
    "less_equal": "LessOrEqual",
    "minimum": "Min",
    "multiply": "Mul",
    "negative": "Neg",
    "power": "Pow",
    "sign": "Sign",
    "subtract": "Sub",
    "erf": "Erf",
    "expit": "Sigmoid",
}
"""By the names of numpy's and scipy's ufuncs."""
_COMPARING = frozenset(["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"])
_LOGICAL = frozenset(["And", "Not", "Or"])


class Traced(np.lib.mixins.NDArrayOperatorsMixin):
    """The tensor ``name`` of a graph; what numpy makes of it becomes nodes of that graph.

    ``shape`` is the one it has for one size of the image: the image axes may change.
    """

    def __init__(self, graph: Graph, name: str, shape: Shape, dtype: DTypeLike) -> None:
        self.name, self.shape, self.dtype = name, shape, np.dtype(dtype)
        self._graph = graph

    @property
    def ndim(self) -> int:
        """How many axes it has."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """How many elements it has."""
        return int(np.prod(self.shape))

    def astype(self, dtype: DTypeLike) -> Traced:
        """The same as another type."""
        if self.dtype == dtype:
            return self
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        name = self._graph.add("Cast", self, to=kind)
        return Traced(self._graph, name, self.shape, dtype)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if ufunc.__name__ not in _NODES or method != "__call__" or options:
            return NotImplemented
        if ufunc is np.power and np.array_equal(inputs[1], 2):
            ufunc, inputs = np.multiply, (inputs[0], inputs[0])
        return self._written(_NODES[ufunc.__name__], inputs)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        if function is not np.where or options:
            return NotImplemented
        return self._written("Where", args)

    def _written(self, kind: str, inputs: Sequence[Any]) -> Traced:
        """A node. Truth values count as 0 and 1 but where truth is what the node is about."""
        given = []
        for k, item in enumerate(inputs):
            tensor = item if isinstance(item, Traced) else np.asarray(item)
            truth = kind in _LOGICAL or (kind == "Where" and k == 0)
            given.append(tensor.astype(bool if truth else np.float32))
        shape = np.broadcast_shapes(*(tensor.shape for tensor in given))
        dtype = bool if kind in _COMPARING | _LOGICAL else np.float32
        return Traced(self._graph, self._graph.add(kind, *given), shape, dtype)
