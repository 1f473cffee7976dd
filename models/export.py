"""The network of networks.py as ONNX files, and back."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import NodeProto, TensorProto, helper, numpy_helper
from torch import Tensor, nn

from asyncred.denoisers.appraise import worst_hessian
from asyncred.denoisers.inspection import inspect_denoiser
from networks import TINY, Stack, Unrolled
from potential import CORNER, GradientStep, transposed
from recipes import Network, Recipe


class _Graph:
    """Nodes and weights; each verb adds a node and returns the name of what it computes."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []

    def node(self, kind: str, *inputs: str, name: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [name], name, **attributes))
        return name

    def constant(self, name: str, value: Any) -> str:
        self.weights.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def conv(self, r: str, module: nn.Conv2d, name: str) -> str:
        names = [
            self.constant(f"{name}.{part}", value.detach().cpu().contiguous().numpy())
            for part, value in module.named_parameters()
        ]
        pads, dilations = [int(p) for p in module.padding] * 2, list(module.dilation)
        return self.node("Conv", r, *names, name=name, pads=pads, dilations=dilations)

    def relu(self, r: str) -> str:
        return self.node("Relu", r, name=f"{r}.relu")

    def told(self, x: str) -> str:
        """x with a second channel, sigma everywhere."""
        level = self.node("Add", self.node("Sub", x, x, name="zeros"), "sigma", name="level")
        return self.node("Concat", x, level, name="told", axis=1)


def write_onnx(denoiser: Network, name: str, recipe: Recipe, path: Path) -> None:
    """Write D, opset 17, weights inside: x [n, 1, h, w] float32 to clean, same shape.

    A network that is told the noise level has a second input, sigma [1], in the unit of x; one with
    a potential has a second output, potential, pixel by pixel.
    """
    graph = _Graph()
    outputs = ["clean"]
    if isinstance(denoiser, GradientStep):
        _gradient_step(graph, denoiser)
        outputs.append("potential")
    elif isinstance(denoiser, Unrolled):
        _unrolled(graph, denoiser)
    else:
        graph.node("Sub", "x", _stack(graph, denoiser), name="clean")
    free = ["n", 1, "h", "w"]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, free)]
    if denoiser.conditional:
        inputs.append(helper.make_tensor_value_info("sigma", TensorProto.FLOAT, [1]))
    values = [helper.make_tensor_value_info(o, TensorProto.FLOAT, free) for o in outputs]
    model = helper.make_model(
        helper.make_graph(graph.nodes, name, inputs, values, graph.weights),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
        producer_name="asyncred",
    )
    properties = _properties(name, recipe)
    if isinstance(denoiser, Unrolled):
        properties["asyncred.lipschitz"] = "1"
    helper.set_model_props(model, properties)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def state_curvature(path: Path, levels: tuple[float, ...]) -> None:
    """Add to a file with a potential how large its Hessian gets, by noise level in 1/255."""
    found = []
    for level in levels:
        model = inspect_denoiser(path, sigma=level / 255)
        found.append(f"{level / 255:.9g}:{worst_hessian(model).high:.3g}")
    model = onnx.load(path)
    stated = {item.key: item.value for item in model.metadata_props}
    helper.set_model_props(model, {**stated, "asyncred.hessian": ",".join(found)})
    onnx.save(model, path)


def _stack(graph: _Graph, denoiser: Stack) -> str:
    r = graph.told("x") if denoiser.conditional else "x"
    for k, convolution in enumerate(denoiser.convolutions):
        r = graph.conv(r, convolution, f"convolutions.{k}")
        if k < len(denoiser.convolutions) - 1:
            r = graph.relu(r)
    return r


@torch.no_grad()
def _gradient_step(graph: _Graph, denoiser: GradientStep) -> None:
    """R, its potential, and J_R^T R by convolutions with the weights transposed."""
    node, constant = graph.node, graph.constant
    constant("half corner", np.float32(CORNER / 2))
    r = graph.told("x") if denoiser.conditional else "x"
    *hidden, last = denoiser.convolutions
    for k, convolution in enumerate(hidden):
        r = graph.conv(r, convolution, f"convolutions.{k}")
        slope = node("HardSigmoid", r, name=f"slope{k}", alpha=1 / CORNER, beta=0.0)
        behind = node("Sub", r, node("Mul", slope, "half corner", name=f"lag{k}"), name=f"b{k}")
        r = node("Mul", slope, behind, name=f"rho{k}")
    v = graph.conv(r, last, f"convolutions.{len(hidden)}")
    halves = constant("halves", np.full((1, last.out_channels, 1, 1), 0.5, np.float32))
    node("Conv", node("Mul", v, v, name="R.square"), halves, name="potential")
    for k in reversed(range(len(denoiser.convolutions))):
        weight = transposed(denoiser.convolutions[k].weight)[: None if k > 0 else 1]
        adjoint = constant(f"adjoint{k}", weight.cpu().contiguous().numpy())
        v = node("Conv", v, adjoint, name=f"back{k}", pads=[1] * 4)
        if k > 0:
            v = node("Mul", v, f"slope{k - 1}", name=f"let through{k}")
    node("Sub", "x", v, name="clean")


@torch.no_grad()
def _unrolled(graph: _Graph, denoiser: Unrolled) -> None:
    """The iterations of Unrolled on e_k = x_k - y, which is exactly 0 where sigma is."""
    node, constant = graph.node, graph.constant
    group, channels = denoiser.group, denoiser.filters.shape[0] // denoiser.iterations
    groups = channels // group
    constant("one", np.float32(1))
    constant("tiny", np.float32(TINY))
    constant("sum", np.ones((groups, group, 1, 1), np.float32))
    constant("spread", np.ones((channels, 1, 1, 1), np.float32))
    x, e = "x", ""
    for k, (w, factor, power, mix, mix_power) in enumerate(zip(*denoiser.steps(), strict=True)):
        constant(f"w{k}", w.contiguous().numpy())
        constant(f"adjoint{k}", -w.contiguous().numpy())
        for name, value in (("power", power), ("mix", mix), ("mix_power", mix_power)):
            constant(f"{name}{k}", value.numpy())
        constant(f"factor{k}", factor.numpy()[:, None, None])
        delta = node("Mul", f"factor{k}", _power(graph, f"power{k}"), name=f"delta{k}")
        g = node("Conv", x, f"w{k}", name=f"g{k}")
        g_square = node("Mul", g, g, name=f"g{k}.square")
        delta_square = node("Mul", delta, delta, name=f"delta{k}.square")
        square = node("Conv", g_square, "sum", name=f"square{k}", group=groups)
        largest = node("Max", square, delta_square, "tiny", name=f"largest{k}")
        shrink = node("Div", delta, node("Sqrt", largest, name=f"norm{k}"), name=f"shrink{k}")
        each = node("Conv", shrink, "spread", name=f"each{k}", group=groups)
        clipped = node("Mul", g, each, name=f"clip{k}")
        e_moved = node("ConvTranspose", clipped, f"adjoint{k}", name=f"move{k}")
        if k > 0:
            e_moved = node("Add", e, e_moved, name=f"moved{k}")
        odds = node("Mul", f"mix{k}", _power(graph, f"mix_power{k}"), name=f"odds{k}")
        e = node("Div", e_moved, node("Add", odds, "one", name=f"divisor{k}"), name=f"e{k + 1}")
        last = k + 1 == denoiser.iterations
        x = node("Add", "x", e, name="clean" if last else f"x{k + 1}")


def _power(graph: _Graph, exponent: str) -> str:
    return graph.node("Pow", "sigma", exponent, name=f"sigma_{exponent}")


def _properties(name: str, recipe: Recipe) -> dict[str, str]:
    low, high = (sigma / 255 for sigma in recipe.sigma)
    properties = {
        "asyncred.name": name,
        "asyncred.sigma": repr(5 / 255 if recipe.conditional else high),
        "asyncred.output": "image",
        "asyncred.range": "0,1",
        "asyncred.license": "BSD-3-Clause",
    }
    if recipe.conditional:
        properties["asyncred.sigma_range"] = f"{low!r},{high!r}"
    return properties


def read_weights(path: Path) -> dict[str, Tensor]:
    """The weights of a network, for `load_state_dict`, from an ONNX file or a checkpoint."""
    if path.suffix != ".onnx":
        weights: dict[str, Tensor] = torch.load(path, weights_only=True)
        return weights
    stored = onnx.load(path).graph.initializer
    return {
        w.name: torch.from_numpy(numpy_helper.to_array(w).copy())
        for w in stored
        if w.name.endswith((".weight", ".bias"))
    }


def at_level(weights: dict[str, Tensor], sigma: float) -> dict[str, Tensor]:
    """The weights of a conditional Stack for one noise level: its channel put into a bias.

    Not the same function at the border of the image, where that channel ends and the bias does
    not. Weights of a network that is not told are left alone.
    """
    first, bias = (weights[f"convolutions.0.{part}"] for part in ("weight", "bias"))
    if first.shape[1] == 1:
        return weights
    told = bias + sigma * first[:, 1].sum((1, 2))
    return {**weights, "convolutions.0.weight": first[:, :1], "convolutions.0.bias": told}


def rescaled(weights: dict[str, Tensor], k: float) -> dict[str, Tensor]:
    """The weights of the Stack that computes k D(y / k), for k times the noise: k times the biases.

    Its Jacobians are those of D, so that it is as nonexpansive.
    """
    return {name: k * w if name.endswith(".bias") else w for name, w in weights.items()}


def difference(path: Path, y: Tensor, sigma: Tensor, *expected: Tensor) -> float:
    """The largest difference between ONNX Runtime's outputs and those, all [n, 1, h, w]."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    inputs = {"x": y.cpu().numpy(), "sigma": sigma.cpu().numpy().reshape(-1)[:1]}
    wanted = {value.name: inputs[value.name] for value in session.get_inputs()}
    pairs = zip(session.run(None, wanted), expected, strict=True)
    return max(float(np.abs(found - one.cpu().numpy()).max()) for found, one in pairs)
