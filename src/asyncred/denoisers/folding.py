"""An ONNX graph with all that follows from the size of its input computed.

Exporters write paddings, slices, sizes and branches as nodes that compute them from the shape of
the image. With that shape fixed, ONNX Runtime's basic optimisations turn them into constants.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import helper, inliner, numpy_helper, shape_inference

STANDARD = ("", "ai.onnx")
"""The domain of ONNX's own operators."""


MIXING = "MatMulAddFusion"
"""An optimisation that makes one axis of all pixels, which hides where they lie."""


@dataclass(frozen=True)
class Folded:
    """A network for inputs of one size: no node computes what is known beforehand."""

    model: onnx.ModelProto

    @property
    def graph(self) -> onnx.GraphProto:
        """Its nodes, each after those that it depends on."""
        return self.model.graph

    @property
    def opset(self) -> int:
        """The version of ONNX's own operators."""
        return next((one.version for one in self.model.opset_import if one.domain in STANDARD), 1)

    @cached_property
    def _stored(self) -> dict[str, onnx.TensorProto]:
        found = {item.name: item for item in self.graph.initializer}
        for node in self.graph.node:
            if node.op_type == "Constant":
                for value in (a for a in node.attribute if a.name == "value"):
                    found[node.output[0]] = value.t
            elif node.op_type == "DequantizeLinear" and node.input[0] in found:
                found[node.output[0]] = found[node.input[0]]  # of a kernel the shape counts
        return found

    def constant(self, name: str) -> NDArray[Any] | None:
        """A tensor that depends on no input, None where it does."""
        found = self._stored.get(name)
        return None if found is None else numpy_helper.to_array(found)

    def sides(self, name: str) -> tuple[int, ...] | None:
        """The shape of a tensor, None where it is unknown."""
        if name in self._stored:
            return tuple(self._stored[name].dims)
        return self._shapes.get(name)

    @cached_property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        bare = onnx.ModelProto()
        bare.CopyFrom(self.model)
        for item in bare.graph.initializer:
            if np.prod(item.dims, dtype=np.int64) > 64:  # only the shape of weights counts
                sides = list(item.dims)
                value = helper.make_tensor_value_info(item.name, item.data_type, sides)
                bare.graph.input.append(value)
        kept = {value.name for value in bare.graph.input}
        small = [item for item in bare.graph.initializer if item.name not in kept]
        del bare.graph.initializer[:]
        bare.graph.initializer.extend(small)
        inferred = shape_inference.infer_shapes(bare).graph
        values = (*inferred.input, *inferred.value_info, *inferred.output)
        found = {}
        for value in values:
            dims = value.type.tensor_type.shape.dim
            if value.type.tensor_type.HasField("shape") and all(
                d.HasField("dim_value") for d in dims
            ):
                found[value.name] = tuple(d.dim_value for d in dims)
        return found


def fold(model: onnx.ModelProto, shapes: Mapping[str, Sequence[int]]) -> Folded:
    """The network for inputs of these shapes. Raises ValueError where ONNX Runtime takes none."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(inliner.inline_local_functions(model) if model.functions else model)
    for value in fixed.graph.input:
        if value.name in shapes:
            set_sides(value, shapes[value.name])
    for value in fixed.graph.output:
        value.type.tensor_type.ClearField("shape")
    del fixed.graph.value_info[:]
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 4
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "folded.onnx"
        options.optimized_model_filepath = str(path)
        try:
            ort.InferenceSession(
                fixed.SerializeToString(),
                options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=[MIXING],
            )
        except Exception as error:  # ONNX Runtime raises classes of its own
            raise ValueError(first_line(error)) from None
        folded = Folded(onnx.load(path))
    return fold(folded.model, shapes) if _take_branches(folded) else folded


def _take_branches(folded: Folded) -> bool:
    """Put the nodes of a branch in the place of an If whose condition is known; whether any was."""
    nodes, taken = [], False
    for node in folded.graph.node:
        told = folded.constant(node.input[0]) if node.op_type == "If" else None
        if told is None:
            nodes.append(node)
            continue
        name = "then_branch" if told.all() else "else_branch"
        branch = next(a.g for a in node.attribute if a.name == name)
        nodes += branch.node
        folded.graph.initializer.extend(branch.initializer)
        for value, output in zip(branch.output, node.output, strict=True):
            nodes.append(helper.make_node("Identity", [value.name], [output], f"{output}.taken"))
        taken = True
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    if taken:
        del folded.graph.node[:]
        folded.graph.node.extend(kept)
    return taken


def set_sides(value: onnx.ValueInfoProto, sides: Sequence[int | str]) -> None:
    """Give an input another shape; words are sides that are free."""
    shape = value.type.tensor_type.shape
    del shape.dim[:]
    for side in sides:
        dim = shape.dim.add()
        if isinstance(side, int):
            dim.dim_value = side
        else:
            dim.dim_param = side


def sides_of(value: onnx.ValueInfoProto) -> list[int | str]:
    """The shape of an input as its file says it; words, maybe empty, are sides that are free."""
    dims = value.type.tensor_type.shape.dim
    return [
        d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else d.dim_param for d in dims
    ]


def inputs_of(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """The inputs that are no weights; old files list those too."""
    stored = {item.name for item in graph.initializer}
    return [value for value in graph.input if value.name not in stored]


def first_line(error: Exception) -> str:
    """What a library says, in one short line."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return " ".join(lines[0].split())[:200]
