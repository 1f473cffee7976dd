"""J u and J^T v of ONNX graphs, rule by rule, against finite differences in float64."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx.helper import make_node
from onnx.reference import ReferenceEvaluator

from asyncred.denoisers.derivative import DifferentiableNetwork, NoDerivativeError
from asyncred.denoisers.derivative.graph import Graph
from asyncred.denoisers.derivative.rules import RULES
from asyncred.denoisers.onnx import open_session
from networks import save

SHAPE = (1, 4, 6, 8)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def apart(*shape):
    """Numbers of -2 to 2, no two of them closer than a finite difference reaches."""
    n = np.prod(shape)
    order = np.random.default_rng(0).permutation(n).reshape(shape)
    return ((4 * order + 2) / n - 2).astype(np.float32)


def int64(*values):
    return np.array(values, np.int64)


WEIGHTS = {
    "k33": normal(4, 4, 3, 3),
    "k23": normal(6, 4, 2, 3),
    "k11": normal(3, 4, 1, 1),
    "grouped": normal(6, 2, 3, 3),
    "one": normal(1, 1, 3, 3),
    "up22": normal(4, 3, 2, 2),
    "up33": normal(4, 2, 3, 3),
    "bias": normal(4),
    "positive": np.abs(normal(4)) + 0.5,
    "slope": normal(4, 1, 1),
    "row": normal(8),
    "pixels": normal(1, 4, 6, 8, seed=1),
    "some": normal(1, 1, 1, 8, seed=2),
    "half": np.array(0.5, np.float32),
    "minus": np.array(-0.7, np.float32),
    "two": np.array(2, np.float32),
    "three": np.array(3, np.float32),
    "first": normal(1, 4, 6, 8) > 0,
    "frame": int64(0, 0, 1, 2, 0, 0, 2, 1),
    "cut": int64(0, 0, -1, 0, 0, 0, 0, -2),
    "twice": np.array([1, 1, 2, 2], np.float32),
    "less": np.array([1, 1, 0.5, 0.75], np.float32),
    "size": int64(1, 4, 9, 5),
    "parts": int64(1, 3),
    "from": int64(1, 0),
    "to": int64(6, 4),
    "along": int64(2, 1),
    "by": int64(2, 1),
    "axis1": int64(1),
    "axes": int64(2, 3),
    "flat": int64(1, 8, -1),
    "tiles": int64(1, 2, 1, 1),
    "wider": int64(2, 4, 6, 8),
    "picked": int64(2, 0, 2),
}


def one(kind, *inputs, **attributes):
    """A graph of one node whose first input is x."""
    return [make_node(kind, ["x", *inputs], ["y"], "node", **attributes)]


POSITIVE = make_node("Exp", ["x"], ["e"])
OTHER = make_node("Tanh", ["x"], ["t"])
THIRD = make_node("Slice", ["x", "from1", "to1", "axis1"], ["s"])
WEIGHTS |= {"from1": int64(2), "to1": int64(3)}


def two(kind, *inputs, nodes=(POSITIVE, OTHER), **attributes):
    """A graph whose node has inputs that all vary."""
    return [*nodes, make_node(kind, list(inputs), ["y"], "node", **attributes)]


CASES = {
    "Conv": one("Conv", "k33", "bias", pads=[1] * 4),
    "Conv, no pads": one("Conv", "k23"),
    "Conv, lopsided": one("Conv", "k23", pads=[0, 2, 1, 0]),
    "Conv, wide pads": one("Conv", "k33", pads=[3] * 4),
    "Conv, strides": one("Conv", "k33", pads=[1] * 4, strides=[2, 3]),
    "Conv, strides past the end": one("Conv", "k11", strides=[2, 3]),
    "Conv, dilations": one("Conv", "k33", pads=[2, 1, 2, 1], dilations=[2, 1]),
    "Conv, groups": one("Conv", "grouped", pads=[1] * 4, group=2),
    "Conv, groups, strides": one("Conv", "grouped", group=2, strides=[2, 2]),
    "Conv, upper": one("Conv", "k23", auto_pad="SAME_UPPER", strides=[2, 2]),
    "Conv, lower": one("Conv", "k23", auto_pad="SAME_LOWER"),
    "Conv, valid": one("Conv", "k33", auto_pad="VALID"),
    "ConvTranspose": one("ConvTranspose", "up22", strides=[2, 2]),
    "ConvTranspose, dense": one("ConvTranspose", "up33", pads=[1] * 4),
    "ConvTranspose, all": one(
        "ConvTranspose", "up33", strides=[2, 3], pads=[1, 0, 1, 2], output_padding=[1, 2], group=2
    ),
    "BatchNormalization": one("BatchNormalization", "bias", "bias", "bias", "positive"),
    "Relu": one("Relu"),
    "LeakyRelu": one("LeakyRelu", alpha=0.2),
    "PRelu": one("PRelu", "slope"),
    "Clip": one("Clip", "minus", "half"),
    "Clip, one side": one("Clip", "", "half"),
    "Sigmoid": one("Sigmoid"),
    "HardSigmoid": one("HardSigmoid", alpha=0.6),
    "HardSwish": two("HardSwish", "m", nodes=[make_node("Mul", ["x", "three"], ["m"])]),
    "Tanh": one("Tanh"),
    "Softplus": one("Softplus"),
    "Softsign": one("Softsign"),
    "Elu": one("Elu", alpha=0.7),
    "Celu": one("Celu", alpha=0.7),
    "Selu": one("Selu"),
    "ThresholdedRelu": one("ThresholdedRelu", alpha=0.3),
    "Erf": one("Erf"),
    "Identity": one("Identity"),
    "Dropout": one("Dropout"),
    "Cast": one("Cast", to=1),
    "Abs": one("Abs"),
    "Neg": one("Neg"),
    "Exp": one("Exp"),
    "Sqrt": two("Sqrt", "e"),
    "Log": two("Log", "e"),
    "Reciprocal": two("Reciprocal", "e"),
    "Pow": one("Pow", "three"),
    "Pow of some": two("Pow", "e", "slope"),
    "Add": two("Add", "t", "e"),
    "Add, constant first": two("Add", "slope", "e"),
    "Add, twice the same": two("Add", "t", "t"),
    "Add, repeated": two("Add", "s", "e", nodes=(POSITIVE, THIRD)),
    "Add, repeated by a constant": two("Add", "s", "pixels", nodes=(THIRD,)),
    "Sub": two("Sub", "t", "e"),
    "Sub, constant first": two("Sub", "row", "t"),
    "Mul": two("Mul", "t", "e"),
    "Mul, constants": one("Mul", "slope"),
    "Mul, repeated": two("Mul", "e", "s", nodes=(POSITIVE, THIRD)),
    "Div": two("Div", "t", "e"),
    "Div, repeated": two("Div", "s", "e", nodes=(POSITIVE, THIRD)),
    "Max": two("Max", "t", "pixels", "some", "e"),
    "Min": two("Min", "e", "x"),
    "Sum": two("Sum", "e", "t", "x", "pixels"),
    "Mean": two("Mean", "e", "t", "slope"),
    "Where": two("Where", "first", "e", "s", nodes=(POSITIVE, THIRD)),
    "Where, by itself": [
        make_node("Greater", ["x", "half"], ["above"]),
        POSITIVE,
        make_node("Where", ["above", "e", "slope"], ["y"]),
    ],
    "Concat": two("Concat", "e", "pixels", "t", "x", axis=1),
    "Concat, last axis": two("Concat", "e", "t", axis=-1),
    "Split": [
        make_node("Split", ["x", "parts"], ["a", "b"], axis=1),
        make_node("Mul", ["a", "b"], ["y"]),
    ],
    "Slice": one("Slice", "from", "to", "along", "by"),
    "Pad": one("Pad", "frame", "half"),
    "Pad, edge": one("Pad", "frame", mode="edge"),
    "Pad, reflect": one("Pad", "frame", mode="reflect"),
    "Pad, cut": one("Pad", "cut"),
    "DepthToSpace": one("DepthToSpace", blocksize=2),
    "DepthToSpace, CRD": one("DepthToSpace", blocksize=2, mode="CRD"),
    "SpaceToDepth": one("SpaceToDepth", blocksize=2),
    "Reshape": one("Reshape", "flat"),
    "Transpose": one("Transpose", perm=[0, 2, 3, 1]),
    "Flatten": one("Flatten"),
    "Unsqueeze": one("Unsqueeze", "axis1"),
    "Squeeze": [THIRD, make_node("Squeeze", ["s", "axis1"], ["y"])],
    "Tile": one("Tile", "tiles"),
    "Expand": one("Expand", "wider"),
    "Gather": one("Gather", "picked", axis=1),
    "AveragePool": one("AveragePool", kernel_shape=[2, 3], strides=[2, 3]),
    "AveragePool, padded": one("AveragePool", kernel_shape=[3, 3], pads=[1] * 4),
    "AveragePool, all": one(
        "AveragePool", kernel_shape=[3, 3], pads=[1] * 4, count_include_pad=1, strides=[2, 1]
    ),
    "MaxPool": one("MaxPool", kernel_shape=[2, 2], strides=[2, 2]),
    "MaxPool, overlapping": one("MaxPool", kernel_shape=[3, 3], pads=[1, 0, 1, 2]),
    "Resize, nearest": one("Resize", "", "twice"),
    "Resize, linear": one("Resize", "", "twice", mode="linear"),
    "Resize, linear, less": one("Resize", "", "less", mode="linear"),
    "Resize, sizes": one("Resize", "", "", "size", mode="cubic"),
    "ReduceSum": one("ReduceSum", "axis1"),
    "ReduceSum, of all": one("ReduceSum", keepdims=0),
    "ReduceSumSquare": one("ReduceSumSquare", axes=[1]),
    "ReduceMean": one("ReduceMean", axes=[1]),
    "ReduceMean, no axes kept": one("ReduceMean", axes=[-1, 1], keepdims=0),
    "GlobalAveragePool": one("GlobalAveragePool"),
    "residual": [
        make_node("Conv", ["x", "k33"], ["a"], pads=[1] * 4),
        make_node("Relu", ["a"], ["b"]),
        make_node("Conv", ["b", "k33"], ["c"], pads=[1] * 4),
        make_node("Add", ["c", "b"], ["d"]),
        make_node("Sub", ["x", "d"], ["y"]),
    ],
    "sizes from the image": [
        make_node("Shape", ["x"], ["shape"]),
        make_node("Expand", ["slope", "shape"], ["map"]),
        make_node("Exp", ["x"], ["unused"]),
        make_node("Mul", ["x", "map"], ["y"]),
    ],
}
OLD = {
    "Clip": (6, one("Clip", min=-0.7, max=0.5)),
    "Pad": (2, one("Pad", pads=[0, 0, 1, 2, 0, 0, 2, 1], value=3.0)),
    "Slice": (9, one("Slice", starts=[1, 0], ends=[6, 4], axes=[2, 1])),
    "Split": (
        11,
        [
            make_node("Split", ["x"], ["a", "b"], axis=1, split=[1, 3]),
            make_node("Mul", ["a", "b"], ["y"]),
        ],
    ),
    "Upsample": (9, one("Upsample", "twice")),
    "Upsample, linear": (9, one("Upsample", "twice", mode="linear")),
    "Resize": (10, one("Resize", "twice", mode="linear")),
    "ReduceSum": (11, one("ReduceSum", axes=[1, 3])),
    "Unsqueeze": (11, one("Unsqueeze", axes=[1])),
    "Dropout": (7, one("Dropout")),
    "BatchNormalization": (8, one("BatchNormalization", "bias", "bias", "bias", "positive")),
}
NEW = {
    "Gelu": (20, one("Gelu")),
    "ReduceMean": (18, one("ReduceMean", "axes")),
    "Split": (
        18,
        [
            make_node("Split", ["x"], ["a", "b"], axis=1, num_outputs=2),
            make_node("Sub", ["a", "b"], ["y"]),
        ],
    ),
}
ALL = {name: (17, nodes) for name, nodes in CASES.items()}
ALL |= {f"{name}, old": case for name, case in OLD.items()}
ALL |= {f"{name}, new": case for name, case in NEW.items()}

# fmt: off
REFERENCE_FAILS = frozenset([
    "BatchNormalization, old", "ConvTranspose, all", "Erf", "Gelu, new", "MaxPool, overlapping",
    "Pad, cut", "Resize, old", "Upsample, linear, old",
])
# fmt: on
"""Cases that the evaluator of onnx gets wrong, or computes in float32 anyway."""


def model(folder, nodes, opset=17, weights=WEIGHTS):
    used = {name for node in nodes for name in node.input}
    stored = {name: value for name, value in weights.items() if name in used}
    return onnx.load(save(folder / "network.onnx", nodes, stored, shape=SHAPE, opset=opset))


def derivative(graph, x):
    return DifferentiableNetwork(graph, threads=1).at({"x": x})


def in_float64(graph):
    """The network as a function, evaluated in float64 wherever it is in float32."""
    wide = onnx.ModelProto()
    wide.CopyFrom(graph)
    for item in wide.graph.initializer:
        value = numpy_helper.to_array(item)
        if value.dtype == np.float32 and item.name not in ("twice", "less"):
            item.CopyFrom(numpy_helper.from_array(value.astype(np.float64), item.name))
    for node in wide.graph.node:
        if node.op_type == "Cast":
            node.CopyFrom(helper.make_node("Identity", node.input, node.output))
    evaluator = ReferenceEvaluator(wide)
    return lambda x: evaluator.run(None, {"x": x})[0]


def in_float32(graph):
    session = open_session(graph.SerializeToString(), 1)
    return lambda x: session.run(None, {"x": x.astype(np.float32)})[0].astype(np.float64)


@pytest.mark.parametrize("name", ALL)
def test_products(name, tmp_path):
    opset, nodes = ALL[name]
    graph = model(tmp_path, nodes, opset)
    x, u = apart(*SHAPE), normal(*SHAPE, seed=4)
    J = derivative(graph, x)
    f, h, tolerance = in_float64(graph), 1e-6, 2e-5
    if name in REFERENCE_FAILS:
        f, h, tolerance = in_float32(graph), 1e-3, 2e-3
    expected = (f(x + h * u.astype(np.float64)) - f(x - h * u.astype(np.float64))) / (2 * h)
    found = J.apply(u)
    assert found.shape == expected.shape and np.abs(found).max() > 0.1
    np.testing.assert_allclose(found, expected, atol=tolerance * np.abs(expected).max())
    v = normal(*found.shape, seed=5)
    back = J.adjoint(v)
    assert back.shape == x.shape
    difference = abs(np.vdot(found, v) - np.vdot(u, back))
    assert difference <= 2e-6 * np.linalg.norm(found) * np.linalg.norm(v)


ONE_SIZE = "for images of any size"
# fmt: off
REFUSED = frozenset([
    "AveragePool", "Flatten", "Gather", "GlobalAveragePool", "MaxPool", "Reshape", "Resize",
    "Slice", "Squeeze", "Tile", "Transpose", "Unsqueeze",
])
# fmt: on
"""Operators whose adjoint is written for one size of the image only."""


@pytest.mark.parametrize("name", [name for name, (opset, _) in ALL.items() if opset >= 13])
def test_adjoint_as_nodes_of_the_network(name, tmp_path):
    """The same nodes give at any point what the derivative at that point gives."""
    opset, nodes = ALL[name]
    graph = model(tmp_path, nodes, opset)
    network, added = DifferentiableNetwork(graph, threads=1), Graph("D.")
    try:
        adjoint = network.write_adjoint(added, "v", {"x": apart(*SHAPE)})
    except NoDerivativeError as error:
        assert ONE_SIZE in str(error)
        assert REFUSED & {node.op_type for node in nodes} or "edge" in name or "reflect" in name
        return
    graph.graph.node.extend(added.nodes)
    graph.graph.initializer.extend(added.constants)
    graph.graph.input.append(helper.make_tensor_value_info("v", 1, None))
    graph.graph.output[0].name = adjoint
    session = open_session(graph.SerializeToString(), 1)
    for seed in (5, 6):
        x = np.random.default_rng(seed).permuted(apart(*SHAPE), axis=3)
        J = derivative(model(tmp_path, nodes, opset), x)
        v = normal(*J.apply(x).shape, seed=seed)
        expected = J.adjoint(v)
        (found,) = session.run(None, {"x": x, "v": v})
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_every_rule_has_a_case():
    tried = {node.op_type for _, nodes in ALL.values() for node in nodes}
    assert set(RULES) - tried == {"QuantizeLinear", "DequantizeLinear"}


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
@pytest.mark.parametrize("axis", [None, 1])
def test_quantization_counts_as_the_identity_inside_its_range(kind, axis, tmp_path):
    scale = np.array([0.01, 0.02, 0.005, 0.01], np.float32)
    zero = np.array([10, 0, -5, 3] if kind == np.int8 else [128, 100, 130, 90], kind)
    scale, zero = (scale[0], zero[0]) if axis is None else (scale, zero)
    attributes = {} if axis is None else {"axis": axis}
    nodes = [
        make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], **attributes),
        make_node("Transpose", ["q"], ["t"], perm=[0, 1, 3, 2]),
        make_node("DequantizeLinear", ["t", "scale", "zero"], ["d"], **attributes),
        make_node("Transpose", ["d"], ["y"], perm=[0, 1, 3, 2]),
    ]
    graph = model(tmp_path, nodes, weights={"scale": scale, "zero": zero})
    x, u = normal(*SHAPE, seed=3), normal(*SHAPE, seed=4)
    y = in_float32(graph)(x)
    step = scale if axis is None else scale[:, None, None]
    kept = np.abs(y - x) <= step / 2 * (1 + 1e-4)
    assert 0.1 < kept.mean() < 0.9
    J = derivative(graph, x)
    np.testing.assert_allclose(J.apply(u), u * kept, atol=1e-6)
    np.testing.assert_allclose(J.adjoint(u), u * kept, atol=1e-6)


def test_quantized_weights_and_half_precision(tmp_path):
    weights = {"q": (10 * WEIGHTS["k33"]).astype(np.int8), "scale": np.float32([0.1])}
    nodes = [
        make_node("DequantizeLinear", ["q", "scale"], ["k"], axis=0),
        make_node("Cast", ["x"], ["half"], to=onnx.TensorProto.FLOAT16),
        make_node("Relu", ["half"], ["relu"]),
        make_node("Cast", ["relu"], ["back"], to=onnx.TensorProto.FLOAT),
        make_node("Conv", ["back", "k"], ["y"], pads=[1] * 4),
    ]
    graph = model(tmp_path, nodes, weights={**weights, "scale": np.float32(0.1)})
    x, u = normal(*SHAPE, seed=3), normal(*SHAPE, seed=4)
    f = in_float32(graph)
    found = derivative(graph, x).apply(u)
    np.testing.assert_allclose(found, f(np.where(x > 0, u, 0)) - f(-u * (x > 0)), atol=2e-2)


def test_noise_level_is_no_variable(tmp_path):
    nodes = [make_node("Mul", ["x", "sigma"], ["y"])]
    graph = onnx.load(save(tmp_path / "n.onnx", nodes, shape=SHAPE, more={"sigma": [1]}))
    network = DifferentiableNetwork(graph, threads=1)
    x, u = normal(*SHAPE), normal(*SHAPE, seed=4)
    J = network.at({"x": x, "sigma": np.float32([0.25])})
    np.testing.assert_allclose(J.apply(u), u / 4)
    np.testing.assert_allclose(J.adjoint(u), u / 4)


WITHOUT = {
    "no rule": (one("Einsum", equation="abcd->abcd"), "node Einsum 'node' has no derivative rule"),
    "kernel": ([OTHER, make_node("Conv", ["x", "t"], ["y"])], "Conv '' has a kernel that varies"),
    "slope": ([OTHER, make_node("PRelu", ["x", "t"], ["y"])], "PRelu '' has a parameter that var"),
    "exponent": ([POSITIVE, make_node("Pow", ["e", "x"], ["y"])], "an exponent that varies"),
    "infinite": ([make_node("Relu", ["x"], ["r"]), make_node("Sqrt", ["r"], ["y"])], "no finite"),
    "size": (
        one("ConvTranspose", "up22", strides=[2, 2], output_shape=[12, 16]),
        "with this padding",
    ),
    "constant": (one("Sign"), "the output does not depend on the input"),
}


@pytest.mark.parametrize("name", WITHOUT)
def test_without_derivative(name, tmp_path):
    nodes, words = WITHOUT[name]
    graph = model(tmp_path, nodes)
    with pytest.raises(NoDerivativeError, match=words):
        derivative(graph, np.abs(normal(*SHAPE)) - 0.5)


def test_subgraphs_have_no_derivative(tmp_path):
    branch = helper.make_graph(
        [make_node("Neg", ["x"], ["z"])], "b", [], [helper.make_empty_tensor_value_info("z")]
    )
    nodes = [make_node("If", ["yes"], ["y"], "if", then_branch=branch, else_branch=branch)]
    graph = model(tmp_path, nodes, weights={"yes": np.array(True)})
    with pytest.raises(NoDerivativeError, match="node If 'if' has a subgraph"):
        derivative(graph, normal(*SHAPE))
