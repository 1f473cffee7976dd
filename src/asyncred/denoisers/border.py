"""Any network of an image, written as one of float32 [n, c, h, w] and a number for the level.

What the network has otherwise is done by nodes at its border: casts to its type and back, axes in
its order, a gray image as three equal colours and their mean at the end, the level as it wants it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from asyncred.denoisers.fixed import freed
from asyncred.denoisers.folding import STANDARD, inputs_of, sides_of
from asyncred.denoisers.metadata import CLEAN, POTENTIAL
from asyncred.denoisers.roles import Roles
from asyncred.denoisers.single import to_single

PREFIX = "border."
IMAGE, LEVEL, RESULT = f"{PREFIX}x", f"{PREFIX}sigma", f"{PREFIX}y"
ORDER = {
    "NCHW": (0, 1, 2, 3),
    "NHWC": (0, 2, 3, 1),
    "CHW": (1, 2, 3),
    "HWC": (2, 3, 1),
    "HW": (2, 3),
}
"""Which axes of [n, c, h, w] a layout has, in its order."""

AXES_AS_INPUT = 13
"""The opset from which on Squeeze and Unsqueeze are told their axes by an input."""


def bordered(model: onnx.ModelProto, roles: Roles) -> onnx.ModelProto:
    """The network with nodes at its border; itself where none are needed."""
    if roles.plain:
        return model
    result = _copy(model)
    to_single(result)
    result = freed(result) if roles.fixed else result
    border = _Border(result, roles)
    border.write()
    return result


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    found = onnx.ModelProto()
    found.CopyFrom(model)
    return found


class _Border:
    """Writes the nodes of one network."""

    def __init__(self, model: onnx.ModelProto, roles: Roles) -> None:
        self._graph, self._roles = model.graph, roles
        self._opset = next(one.version for one in model.opset_import if one.domain in STANDARD)
        self._inputs = {value.name: value for value in inputs_of(model.graph)}
        self._order = ORDER[roles.layout]
        self._nodes: list[onnx.NodeProto] = []
        self._stored: list[onnx.TensorProto] = []

    def write(self) -> None:
        """Write them."""
        roles, graph = self._roles, self._graph
        self._image()
        if roles.form in ("number", "map"):
            self._level()
        before, self._nodes = self._nodes, [*graph.node]
        names = [CLEAN, POTENTIAL] if roles.potential else [roles.output]
        results = [self._result(name) for name in names]
        weights = [value for value in graph.input if value.name not in self._inputs]
        sides: list[str | int] = ["n", roles.planes, "h", "w"]
        x = helper.make_tensor_value_info(IMAGE, TensorProto.FLOAT, sides)
        sigma = helper.make_tensor_value_info(LEVEL, TensorProto.FLOAT, [1])
        del graph.input[:], graph.output[:], graph.value_info[:], graph.node[:]
        graph.input.extend([x, *([sigma] if roles.form else []), *weights])
        graph.node.extend([*before, *self._nodes])
        graph.initializer.extend(self._stored)
        graph.output.extend(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, sides) for name in results
        )

    def _image(self) -> None:
        roles, name = self._roles, IMAGE
        if roles.channels == 3:
            name = self._add("Concat", [name] * 3, axis=1)
        if roles.form == "last":
            name = self._add("Concat", [name, self._map()], axis=1)
        elif roles.form == "first":
            name = self._add("Concat", [self._map(), name], axis=1)
        self._enter(self._laid(name, self._order), roles.image)

    def _map(self) -> str:
        """The level as an image [n, 1, h, w]."""
        first, planes = IMAGE, self._roles.planes
        if planes > 1:
            kernel = np.eye(1, planes, dtype=np.float32)[:, :, None, None]
            first = self._add("Conv", [IMAGE, self._constant(kernel)])
        number = self._add("Reshape", [LEVEL, self._constant(np.ones(4, np.int64))])
        return self._add("Expand", [number, self._add("Shape", [first])])

    def _level(self) -> None:
        name = self._roles.level
        rank = len(sides_of(self._inputs[name]))
        if self._roles.form == "map":
            fits = rank == len(self._order)
            order = self._order if fits else tuple(range(4))[4 - rank :]
            self._enter(self._laid(self._map(), order), name)
        else:
            shape = self._constant(np.ones(rank, np.int64))
            self._enter(self._add("Reshape", [LEVEL, shape]), name)

    def _laid(self, name: str, order: Sequence[int]) -> str:
        """[n, c, h, w] with these axes, in this order; the others have one element."""
        gone = [axis for axis in range(4) if axis not in order]
        kept = sorted(order)
        if gone:
            name = self._axes("Squeeze", name, gone)
        if list(order) != kept:
            name = self._add("Transpose", [name], perm=[kept.index(axis) for axis in order])
        return name

    def _enter(self, name: str, target: str) -> None:
        """As an input of the network, in its type."""
        kind = self._inputs[target].type.tensor_type.elem_type
        self._nodes.append(helper.make_node("Cast", [name], [target], f"{PREFIX}{target}", to=kind))

    def _result(self, output: str) -> str:
        """From what the network returns to [n, c, h, w]; its name."""
        name, kept = output, sorted(self._order)
        gone = [axis for axis in range(4) if axis not in kept]
        if self._roles.converted:
            name = self._add("Cast", [name], to=TensorProto.FLOAT)
        if list(self._order) != kept:
            name = self._add("Transpose", [name], perm=[self._order.index(a) for a in kept])
        if gone:
            name = self._axes("Unsqueeze", name, gone)
        if self._roles.channels == 3:
            mean = self._constant(np.full((1, 3, 1, 1), 1 / 3, np.float32))
            name = self._add("Conv", [name, mean])
        if output in (CLEAN, POTENTIAL) and name == output:
            return output
        self._nodes.append(helper.make_node("Identity", [name], [RESULT], RESULT))
        return RESULT

    def _axes(self, kind: str, name: str, axes: Sequence[int]) -> str:
        if self._opset < AXES_AS_INPUT:
            return self._add(kind, [name], axes=list(axes))
        return self._add(kind, [name, self._constant(np.array(axes, np.int64))])

    def _add(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        name = f"{PREFIX}{kind}{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], name, **attributes))
        return name

    def _constant(self, value: NDArray[Any]) -> str:
        name = f"{PREFIX}c{len(self._stored)}"
        self._stored.append(numpy_helper.from_array(value, name))
        return name
