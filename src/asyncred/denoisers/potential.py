"""D = x - grad g: a denoiser with a potential g, written as ONNX from an ordinary network.

    N      an ONNX network, from an image to a clean one                     [n, 1, h, w]
    R      x - N(x), what it takes for noise; or any network of m channels   [n, m, h, w]
    g      |R(x)|^2 / 2, the potential; a pixel's share is that of its m     [n, 1, h, w]
    J_R    the Jacobian of R at x
    D      x - grad g(x) = x - J_R(x)^T R(x)                                 [n, 1, h, w]

After Cohen, Blau, Freedman and Rivlin, "It has potential: gradient-driven denoisers for convergent
solutions to inverse problems" (2021), and Hurault, Leclaire and Papadakis, "Gradient step denoiser
for convergent plug-and-play" (2022). J_D = I - (Hessian of g) is symmetric, and the operator of RED
is the gradient of f + tau g.

J_R^T is written as nodes beside those of R: convolutions with their kernels turned round, slopes of
activations. These hold for images of every size that the strides of N divide, borders included. D
sees twice as far as R, and costs two to three times as much. Where an activation of N is not
smooth, as ReLU, neither is D. A good N does not make a good D: train D as such.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
from onnx import compose, helper, version_converter

from asyncred.denoisers.derivative import DifferentiableNetwork
from asyncred.denoisers.derivative.graph import IR_VERSION, OPSET, Graph
from asyncred.denoisers.metadata import CLEAN, POTENTIAL, image_input, read_metadata
from asyncred.denoisers.onnx import Array, DenoiserModel
from asyncred.denoisers.receptive import ReceptiveField, receptive_field

OLDEST = 13
"""The opset from which on the nodes that are written here mean what they do."""

COPIED = ("license", "sigma", "sigma_range")
"""What D states of itself as N does."""


def write_potential(N: DenoiserModel, output: Path, *, name: str) -> None:
    """Write the file of D, of a network N in another file.

    D has N's range of values and noise levels; ``name`` is what it states as its own. Raises
    ValueError, naming the file and the operator, where N has one whose derivative cannot be
    written.
    """
    if N.has_potential:
        raise ValueError(f"{N.path}: has a potential already")
    try:
        D = gradient_step(residual(N))
    except (ValueError, version_converter.ConvertError) as error:
        raise ValueError(f"{N.path}: no potential can be written: {error}") from None
    stated = read_metadata(D)
    kept = {f"asyncred.{key}" for key in COPIED} & stated.keys()
    properties = {key: stated[key] for key in sorted(kept)}
    properties |= {"asyncred.name": name, "asyncred.output": "image"}
    properties["asyncred.range"] = f"{N.low:.9g},{N.high:.9g}"
    helper.set_model_props(D, properties)
    output.write_bytes(D.SerializeToString())


def residual(N: DenoiserModel) -> onnx.ModelProto:
    """The network R of a denoiser N."""
    model = N.network()
    if N.output == "noise":
        return model
    graph = model.graph
    last, x = graph.output[0].name, image_input(graph)
    maker = next(node for node in graph.node if last in node.output)
    if maker.op_type == "Sub" and maker.input[0] == x:
        graph.output[0].name = maker.input[1]  # x - (x - t) is t, but for rounding
    else:
        graph.node.append(helper.make_node("Sub", [x, last], ["residual"], "residual"))
        graph.output[0].name = "residual"
    return model


def gradient_step(R: onnx.ModelProto) -> onnx.ModelProto:
    """D, with the outputs ``clean`` and ``potential``, from R, whose one output is R(x).

    Raises ValueError where a node of R has no derivative, or none for images of every size.
    """
    if next(item.version for item in R.opset_import if item.domain in ("", "ai.onnx")) < OLDEST:
        R = version_converter.convert_version(R, OPSET)
    field = receptive_field(R)
    R = compose.add_prefix(R, "R.", rename_nodes=False, rename_inputs=False)
    network, added = DifferentiableNetwork(R, threads=1), Graph("D.")
    x, r = network.source, network.target
    step = network.write_adjoint(added, r, _example(R.graph, field))
    halves = added.add("Mul", added.add("Mul", r, np.array(0.5, np.float32)), r)
    results = {
        CLEAN: added.add("Sub", x, step),
        POTENTIAL: added.add("ReduceSum", halves, np.array([1])),
    }
    for name, result in results.items():
        added.nodes.append(helper.make_node("Identity", [result], [name], name))
    _extend(R, added, x)
    return R


def _extend(R: onnx.ModelProto, added: Graph, x: str) -> None:
    """Put nodes into a model whose outputs are then those of D, each of the shape of x."""
    graph = R.graph
    image = next(value for value in graph.input if value.name == x)
    graph.node.extend(added.nodes)
    graph.initializer.extend(added.constants)
    del graph.output[:], graph.value_info[:]
    for name in (CLEAN, POTENTIAL):
        graph.output.add().CopyFrom(image)
        graph.output[-1].name = name
    R.ir_version = max(R.ir_version, IR_VERSION)


def _example(graph: onnx.GraphProto, field: ReceptiveField) -> dict[str, Array]:
    """Inputs of some size, with no side of 1 and no two alike at any depth of the network."""
    side = field.align * math.ceil(2 + field.halo / field.align)
    stored = {item.name for item in graph.initializer}
    feeds = {}
    for value in graph.input:
        if value.name not in stored:
            sides = [dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim]
            feeds[value.name] = np.full(sides, 0.1, np.float32)
    x = image_input(graph)
    feeds[x] = np.full((*feeds[x].shape[:2], side, side + field.align), 0.1, np.float32)
    return feeds
