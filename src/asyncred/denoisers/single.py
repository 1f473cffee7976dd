"""Networks in types that ONNX Runtime has no kernels for, in float32: float64 and bfloat16."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

REPLACED = frozenset([TensorProto.DOUBLE, TensorProto.BFLOAT16])


def to_single(model: onnx.ModelProto) -> None:
    """Change a network with such tensors in place; weights of float64 are rounded."""
    for graph in _graphs(model.graph):
        for value in (*graph.input, *graph.output, *graph.value_info):
            if value.type.tensor_type.elem_type in REPLACED:
                value.type.tensor_type.elem_type = TensorProto.FLOAT
        for item in graph.initializer:
            _rounded(item)
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.type == onnx.AttributeProto.TENSOR:
                    _rounded(attribute.t)
                elif attribute.name in ("to", "dtype") and attribute.i in REPLACED:
                    attribute.i = TensorProto.FLOAT


def _rounded(item: TensorProto) -> None:
    if item.data_type in REPLACED:
        value = numpy_helper.to_array(item).astype(np.float32)
        item.CopyFrom(numpy_helper.from_array(value, item.name))


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and those inside its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from _graphs(inner)
