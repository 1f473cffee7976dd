"""The int8 twin of a network of convolutions and ReLU: `python models/quantize.py MODEL.onnx`.

All convolutions but the first compute with uint8 activations, one range a tensor, and int8
weights, one range an output channel, in ONNX's QDQ format. The image and the first convolution
stay in float32, for noise of 5/255 has to be resolved far finer than 1/255; so does y - R(y).
The ranges are the extremes over crops of the training photographs with the model's noise:
clipping rare large values as well was worse, by up to 0.15 dB.

Before that the channels of each hidden layer are evened out (Nagel et al., "Data-free quantization
through weight equalization and bias correction", 2019): ReLU(s r) = s ReLU(r) for s > 0, so s in
one layer and 1/s in the next leave the network as it is. It halves the loss.

The twin is meant for processors that multiply int8 without saturation (x86 with VNNI, ARM).
"""

import argparse
import copy
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from photographs import Crops, fetch, listed, load
from train import CACHE

CROPS, SIDE = 48, 96
SMALLEST = 0.01
"""A channel is evened out as if its maximum were at least this share of the layer's."""

Array = NDArray[np.float32]
Feeds = dict[str, Array]


def calibration(model: ModelProto, data: Path) -> list[Feeds]:
    """Inputs [1, 1, SIDE, SIDE], and levels from end to end of its range if it is told one."""
    stated = {item.key: item.value for item in model.metadata_props}
    told = len(model.graph.input) > 1
    ends = stated["asyncred.sigma_range"].split(",") if told else [stated["asyncred.sigma"]] * 2
    levels = np.linspace(float(ends[0]), float(ends[1]), CROPS, dtype=np.float32)
    for package in {p.package for p in listed()}:
        fetch(package, data)
    rng = np.random.default_rng(0)
    crops = Crops([load(p, data) for p in listed()], SIDE, rng).batch(CROPS).numpy()
    feeds = []
    for x, sigma in zip(crops[:, None], levels, strict=True):
        y = x + sigma * rng.standard_normal(x.shape, np.float32)
        feeds.append({"x": y, "sigma": sigma[None]} if told else {"x": y})
    return feeds


def quantize(model: ModelProto, feeds: list[Feeds]) -> ModelProto:
    """The twin; its metadata are the model's, less the certificate, and its name ends in -int8."""
    model = copy.deepcopy(model)
    properties = {item.key: item.value for item in model.metadata_props}
    properties["asyncred.name"] = f"{properties.get('asyncred.name', model.graph.name)}-int8"
    properties.pop("asyncred.lipschitz", None)
    for node in model.graph.node:
        node.name = node.output[0]
    even_out(model, feeds)
    twin = _quantized(model, feeds)
    twin.graph.name, twin.ir_version = model.graph.name, model.ir_version
    twin.producer_name, twin.producer_version = model.producer_name, model.producer_version
    del twin.graph.value_info[:], twin.metadata_props[:]
    helper.set_model_props(twin, properties)
    onnx.checker.check_model(twin, full_check=True)
    return twin


def even_out(model: ModelProto, feeds: list[Feeds]) -> None:
    """Bring the maxima of a hidden layer's channels closer together, in place.

    Each becomes the geometric mean of itself and the layer's.
    """
    weights = {item.name: item for item in model.graph.initializer}
    hidden = list(_hidden_layers(model))
    maxima = _maxima(model, [before.output[0] for before, _ in hidden], feeds)
    for (before, after), channels in zip(hidden, maxima, strict=True):
        top = channels.max()
        scale = np.sqrt(top / np.maximum(channels, SMALLEST * top))
        for name in before.input[1:]:
            _multiply(weights[name], scale, axis=0)
        _multiply(weights[after.input[1]], 1 / scale, axis=1)


def _hidden_layers(model: ModelProto) -> Iterator[tuple[NodeProto, NodeProto]]:
    """The pairs of convolutions with a ReLU, and nothing else, between them."""
    readers: dict[str, list[NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)

    def only(node: NodeProto, kind: str) -> NodeProto | None:
        """The one node that reads what a node computes, if it is of that kind."""
        found = readers.get(node.output[0], [])
        return found[0] if [n.op_type for n in found] == [kind] else None

    for node in model.graph.node:
        if (
            node.op_type == "Conv"
            and (relu := only(node, "Relu"))
            and (after := only(relu, "Conv"))
        ):
            yield node, after


def _maxima(model: ModelProto, names: list[str], feeds: list[Feeds]) -> list[Array]:
    """The largest value of each channel of the tensors with these names."""
    model = copy.deepcopy(model)
    for name in names:
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    runs = [[r.max((0, 2, 3)) for r in session.run(names, feed)] for feed in feeds]
    return [np.max(channels, axis=0) for channels in zip(*runs, strict=True)]


def _multiply(weight: TensorProto, scale: Array, axis: int) -> None:
    value = numpy_helper.to_array(weight)
    shape = [-1 if k == axis else 1 for k in range(value.ndim)]
    product = np.asarray(value * scale.reshape(shape), np.float32)
    weight.CopyFrom(numpy_helper.from_array(product, weight.name))


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """The calibration inputs as ONNX Runtime asks for them."""

    def __init__(self, feeds: list[Feeds]) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> Feeds | None:
        return next(self._feeds, None)


def _quantized(model: ModelProto, feeds: list[Feeds]) -> ModelProto:
    first = next(node.name for node in model.graph.node if node.op_type == "Conv")
    # What ONNX Runtime asks for, once it has found that nothing is left to prepare.
    helper.set_model_props(model, {"onnx.quant.pre_process": "onnxruntime.quant"})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "twin.onnx"
        quantize_static(
            model,
            path,
            _Reader(feeds),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Relu"],
            nodes_to_exclude=[first],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        return onnx.load(path)


def difference(twin: ModelProto, model: ModelProto, feeds: list[Feeds]) -> float:
    """Root mean square over the inputs of what the twin's answers differ by."""
    one, other = (
        onnxruntime.InferenceSession(m.SerializeToString(), providers=["CPUExecutionProvider"])
        for m in (twin, model)
    )
    squares = [np.mean((one.run(None, f)[0] - other.run(None, f)[0]) ** 2) for f in feeds]
    return float(np.sqrt(np.mean(squares)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Write the int8 twin of a denoiser.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("model", type=Path, help="ONNX file, convolutions and ReLU in float32")
    parser.add_argument("-o", "--output", type=Path, help="MODEL-int8.onnx where not given")
    parser.add_argument(
        "--data", type=Path, default=CACHE / "photographs", help="folder of the photographs"
    )
    options = parser.parse_args()
    model = onnx.load(options.model)
    feeds = calibration(model, options.data)
    twin = quantize(model, feeds)
    path = options.output or options.model.with_name(f"{options.model.stem}-int8.onnx")
    onnx.save(twin, path)
    rms = 255 * difference(twin, model, feeds)
    print(f"wrote {path}; its answers differ by {rms:.3f}/255 (root mean square)")


if __name__ == "__main__":
    main()
