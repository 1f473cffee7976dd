"""The tensors inside an ONNX network, for one input."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from asyncred.denoisers.onnx import open_session

Array = NDArray[Any]


class Tape:
    """A network in a session that returns the tensors of some names, constants among them."""

    def __init__(self, model: onnx.ModelProto, names: Iterable[str], *, threads: int) -> None:
        graph = model.graph
        self._stored = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
        inputs = {value.name for value in graph.input}
        self._names = sorted({*names} - {*self._stored} - inputs - {""})
        extended = onnx.ModelProto()
        extended.CopyFrom(model)
        del extended.graph.output[:]
        extended.graph.output.extend(map(helper.make_empty_tensor_value_info, self._names))
        self._session = open_session(bytes(extended.SerializeToString()), threads)

    def __call__(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """The tensors, by name; the inputs among them."""
        found = self._session.run(self._names, dict(feeds))
        return {**self._stored, **feeds, **dict(zip(self._names, found, strict=True))}
