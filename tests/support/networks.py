"""Small ONNX networks for tests: denoisers that are linear, and graphs that are none."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.helper import make_node

BINOMIAL = np.outer([1, 2, 1], [1, 2, 1]).astype(np.float32)[None, None] / 16
"""Symmetric, nonnegative, of sum 1 and with a transform in [0, 1]: nonexpansive as a matrix."""

FREE = ("n", 1, "h", "w")


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    weights: Mapping[str, NDArray[Any]] | None = None,
    *,
    shape: Sequence[int | str] = FREE,
    more: Mapping[str, Sequence[int | str]] | None = None,
    opset: int = 17,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Write a graph from the input x to the output y; ``more`` has the shapes of more inputs."""
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, sides)
        for name, sides in {"x": shape, **(more or {})}.items()
    ]
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n_", "c_", "h_", "w_"])
    stored = [numpy_helper.from_array(value, name) for name, value in (weights or {}).items()]
    graph = helper.make_graph(nodes, "network", inputs, [y], stored)
    imports = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=8)
    helper.set_model_props(model, dict(metadata or {}))
    onnx.save(model, path)
    return path


def smoothing(
    path: Path,
    *,
    layers: int = 2,
    dilation: int = 1,
    centre: float = 0.0,
    noise: bool = False,
    pooling: bool = False,
    shape: Sequence[int | str] = FREE,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """A denoiser S of binomial 3x3 convolutions: linear, symmetric and nonexpansive.

    It returns ``centre + S(x - centre)``, or what this leaves of x with ``noise``. ``pooling`` adds
    and takes away the mean of the image, so that the graph bounds nothing.
    """
    channels = shape[1] if isinstance(shape[1], int) else 1
    nodes, last = [make_node("Sub", ["x", "centre"], ["t0"])], "t0"
    attributes = {"pads": [dilation] * 4, "dilations": [dilation] * 2, "group": channels}
    for k in range(layers):
        nodes.append(make_node("Conv", [last, "kernel"], [f"t{k + 1}"], f"conv{k}", **attributes))
        last = f"t{k + 1}"
    if pooling:
        nodes.append(make_node("GlobalAveragePool", [last], ["mean"], "pooling"))
        nodes.append(make_node("Add", [last, "mean"], ["more"]))
        nodes.append(make_node("Sub", ["more", "mean"], ["less"]))
        last = "less"
    nodes.append(make_node("Add", [last, "centre"], ["clean"]))
    end = (
        make_node("Sub", ["x", "clean"], ["y"])
        if noise
        else make_node("Identity", ["clean"], ["y"])
    )
    weights = {"centre": np.float32(centre), "kernel": np.repeat(BINOMIAL, channels, axis=0)}
    weights = {name: np.asarray(value) for name, value in weights.items()}
    return save(path, [*nodes, end], weights, shape=shape, metadata=metadata)


def conditional(
    path: Path,
    *,
    sides: Sequence[int | str] = (1, 1, 1, 1),
    scale: float = 1.0,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """A denoiser that is told the noise level: x - w (x - S x), w = min(10 sigma / scale, 1).

    ``sides`` is the shape of the input sigma; ``scale`` the network's value for white.
    """
    nodes = [
        make_node("Conv", ["x", "kernel"], ["smooth"], pads=[1] * 4),
        make_node("Sub", ["x", "smooth"], ["rest"]),
        make_node("Mul", ["sigma", "gain"], ["grown"]),
        make_node("Clip", ["grown", "", "one"], ["w"]),
        make_node("Mul", ["rest", "w"], ["noise"]),
        make_node("Sub", ["x", "noise"], ["y"]),
    ]
    weights = {"kernel": BINOMIAL, "gain": np.array(10 / scale), "one": np.array(1)}
    weights = {name: value.astype(np.float32) for name, value in weights.items()}
    return save(path, nodes, weights, more={"sigma": sides}, metadata=metadata)


def u_net(path: Path, *, levels: int = 1, resize: bool = False) -> Path:
    """The mean of the image and of its coarse version: strides down, ConvTranspose or Resize up."""
    nodes, last = [], "x"
    for k in range(levels):
        attributes = {"strides": [2, 2], "pads": [1] * 4}
        nodes.append(make_node("Conv", [last, "down"], [f"d{k}"], f"down{k}", **attributes))
        last = f"d{k}"
    for k in range(levels):
        if resize:
            up = make_node("Resize", [last, "", "twice"], [f"u{k}"], f"up{k}", mode="linear")
        else:
            up = make_node("ConvTranspose", [last, "up"], [f"u{k}"], f"up{k}", strides=[2, 2])
        nodes.append(up)
        last = f"u{k}"
    nodes.append(make_node("Mean", ["x", last], ["y"]))
    weights = {"down": BINOMIAL, "up": np.ones((1, 1, 2, 2), np.float32)}
    weights |= {"twice": np.array([1, 1, 2, 2], np.float32)}
    return save(path, nodes, weights)


def conditional_u_net(path: Path) -> Path:
    """x - w (x - C x), C coarse: a stride down, ConvTranspose up; w = min(10 sigma, 1) / 2."""
    nodes = [
        make_node("Conv", ["x", "down"], ["d"], strides=[2, 2], pads=[1] * 4),
        make_node("ConvTranspose", ["d", "up"], ["u"], strides=[2, 2]),
        make_node("Sub", ["x", "u"], ["rest"]),
        make_node("Mul", ["sigma", "gain"], ["grown"]),
        make_node("Clip", ["grown", "", "half"], ["w"]),
        make_node("Mul", ["rest", "w"], ["noise"]),
        make_node("Sub", ["x", "noise"], ["y"]),
    ]
    weights = {"down": BINOMIAL, "up": np.ones((1, 1, 2, 2), np.float32)}
    weights |= {"gain": np.array(5, np.float32), "half": np.array(0.5, np.float32)}
    return save(path, nodes, weights, more={"sigma": (1,)})


def gated(path: Path, *, stride: int = 1) -> Path:
    """Half the smoothing of a coarse image, weighted by its mean: global, as squeeze-excite is."""
    ones = np.ones((1, 1, stride, stride), np.float32)
    nodes = [
        make_node("Conv", ["x", "down"], ["d"], strides=[stride] * 2),
        make_node("GlobalAveragePool", ["d"], ["mean"], "pooling"),
        make_node("Sigmoid", ["mean"], ["gate"]),
        make_node("ConvTranspose", ["d", "up"], ["u"], strides=[stride] * 2),
        make_node("Conv", ["u", "kernel"], ["s"], pads=[1] * 4),
        make_node("Sub", ["x", "s"], ["r"]),
        make_node("Mul", ["r", "gate"], ["noise"]),
        make_node("Sub", ["x", "noise"], ["y"]),
    ]
    return save(path, nodes, {"down": ones / stride**2, "up": ones, "kernel": BINOMIAL})


def random_weights(path: Path, *, seed: int = 0) -> Path:
    """Two convolutional layers of unit-variance random weights: no denoiser."""
    rng = np.random.default_rng(seed)
    weights = {
        "first": rng.standard_normal((8, 1, 3, 3), dtype=np.float32),
        "second": rng.standard_normal((1, 8, 3, 3), dtype=np.float32),
    }
    nodes = [
        make_node("Conv", ["x", "first"], ["a"], pads=[1] * 4),
        make_node("Relu", ["a"], ["b"]),
        make_node("Conv", ["b", "second"], ["y"], pads=[1] * 4),
    ]
    return save(path, nodes, weights)


def constant(path: Path, value: float) -> Path:
    """The same value everywhere, whatever the image: no denoiser."""
    nodes = [make_node("Mul", ["x", "zero"], ["a"]), make_node("Add", ["a", "value"], ["y"])]
    weights = {"zero": np.array(0, np.float32), "value": np.array(value, np.float32)}
    return save(path, nodes, weights)
