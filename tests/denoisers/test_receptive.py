"""The halo and alignment of a graph, read from its nodes and proved by cutting an image."""

import math

import numpy as np
import onnx
import pytest
from onnx.helper import make_node

from asyncred.denoisers.onnx import DenoiserModel, OnnxDenoiser
from asyncred.denoisers.receptive import (
    ReceptiveField,
    UnboundedReceptiveFieldError,
    receptive_field,
)
from asyncred.denoisers.roles import Roles
from asyncred.denoisers.tiles import EXACT, proved, tile_error, tiling_error
from networks import save


def kernel(*shape):
    """Positive: no dependence cancels."""
    return np.random.default_rng(0).random(shape, dtype=np.float32) / math.prod(shape[1:])


WEIGHTS = {
    "k1": kernel(1, 1, 1, 1),
    "k2": kernel(1, 1, 2, 2),
    "k3": kernel(1, 1, 3, 3),
    "k5": kernel(1, 1, 5, 5),
    "k13": kernel(1, 1, 1, 3),
    "join": kernel(1, 2, 1, 1),
    "four": kernel(4, 4, 3, 3),
    "pad1": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
    "half": np.array([1, 1, 0.5, 0.5], np.float32),
    "quarter": np.array([1, 1, 0.25, 0.25], np.float32),
    "twice": np.array([1, 1, 2, 2], np.float32),
    "thrice": np.array([1, 1, 3, 3], np.float32),
    "fourfold": np.array([1, 1, 4, 4], np.float32),
    "sizes": np.array([1, 1, 80, 80]),
    "matrix": kernel(80, 80),
    "two": np.ones(2, np.float32),
    "spread": kernel(2, 1, 3, 3),
    "cells": kernel(3, 1, 2, 2),
    "back": kernel(3, 1, 2, 2),
    "bytes": np.full((1, 1, 3, 3), 100, np.int8),
    "step": np.array(1e-3, np.float32),
    "channels": np.array([1]),
    "rows": np.array([2]),
    "first": np.array([0]),
    "second": np.array([1]),
    "ones": np.array([1, 1]),
    "ends": np.array([-1, -1]),
    "sides": np.array([2, 3]),
}


def chain(*steps):
    """Nodes one after another: operator, further inputs, attributes."""
    names = ["x", *(f"t{k}" for k in range(len(steps) - 1)), "y"]
    return [
        make_node(kind, [names[k], *inputs], [names[k + 1]], f"node{k}", **attributes)
        for k, (kind, inputs, attributes) in enumerate(steps)
    ]


def conv(name="k3", **attributes):
    if "auto_pad" not in attributes:
        attributes.setdefault("pads", [1] * 4)
    return "Conv", [name], attributes


def resize(scales, mode="nearest", **attributes):
    return "Resize", ["", scales], {"mode": mode, **attributes}


DOWN = conv(strides=[2, 2])
DOWN4 = conv("k5", strides=[4, 4], pads=[2] * 4)
VALID = conv(pads=[0] * 4)
CUBIC = {"mode": "cubic", "coordinate_transformation_mode": "asymmetric"}

BOUNDED = {
    "one by one": (chain(conv("k1", pads=[0] * 4)), 0, 1),
    "seven layers": (chain(*[conv()] * 7), 7, 1),
    "two sizes": (chain(conv(), ("Relu", [], {}), conv("k5", pads=[2] * 4)), 3, 1),
    "one direction": (chain(conv("k13", pads=[0, 1, 0, 1])), 1, 1),
    "dilated": (chain(*[conv(pads=[d] * 4, dilations=[d, d]) for d in (1, 2, 3)]), 6, 1),
    "lopsided": (chain(conv(pads=[0, 0, 2, 2])), 2, 1),
    "zeros padded": (chain(("Pad", ["pad1"], {}), VALID), 1, 1),
    "reflected": (chain(*[("Pad", ["pad1"], {"mode": "reflect"}), VALID] * 2), 2, 1),
    "edge repeated": (chain(*[("Pad", ["pad1"], {"mode": "edge"}), VALID] * 2), 2, 1),
    "same upper": (chain(conv("k2", auto_pad="SAME_UPPER")), 1, 1),
    "same lower": (chain(conv("k2", auto_pad="SAME_LOWER")), 1, 1),
    "pooled": (chain(("MaxPool", [], {"kernel_shape": [3, 3], "pads": [1] * 4})), 1, 1),
    "averaged": (chain(("AveragePool", [], {"kernel_shape": [5, 5], "pads": [2] * 4})), 2, 1),
    "transposed": (chain(DOWN, ("ConvTranspose", ["k2"], {"strides": [2, 2]})), 2, 2),
    "transposed, wide": (
        chain(
            DOWN,
            ("ConvTranspose", ["k3"], {"strides": [2, 2], "pads": [1, 1, 0, 0]}),
        ),
        2,
        2,
    ),
    "nearest": (chain(DOWN, resize("twice")), 2, 2),
    "nearest, floor": (chain(DOWN4, resize("fourfold", nearest_mode="floor")), 7, 4),
    "linear": (chain(DOWN, resize("twice", "linear")), 3, 2),
    "linear, four": (chain(DOWN4, resize("fourfold", "linear")), 7, 4),
    "cubic, asymmetric": (chain(DOWN, resize("twice", **CUBIC)), 4, 2),
    "halved": (chain(resize("half", "linear"), conv(), resize("twice", "linear")), 4, 2),
    "quartered": (chain(resize("quarter", "linear"), resize("fourfold")), 2, 4),
    "thrice and back": (chain(resize("thrice"), conv("k3", strides=[3, 3], pads=[1] * 4)), 1, 1),
    "two levels": (chain(DOWN, DOWN, conv(), resize("twice"), resize("twice")), 10, 4),
    "shuffled": (
        chain(
            ("SpaceToDepth", [], {"blocksize": 2}),
            ("Conv", ["four"], {"pads": [1] * 4}),
            ("DepthToSpace", [], {"blocksize": 2}),
        ),
        3,
        2,
    ),
    "channels summed": (chain(conv("spread"), ("ReduceSum", ["channels"], {})), 1, 1),
    "norm of channels": (chain(conv("spread"), ("ReduceL2", [], {"axes": [-3]})), 1, 1),
    "one channel": (chain(conv("spread"), ("Slice", ["first", "second", "channels"], {})), 1, 1),
    "borders cut": (
        chain(("Pad", ["pad1"], {}), ("Slice", ["ones", "ends", "sides"], {}), conv()),
        1,
        1,
    ),
    "channels in another order": (chain(conv("spread"), ("Gather", ["first"], {"axis": 1})), 1, 1),
    "cells and back": (chain(("Conv", ["cells"], {}), ("ConvTranspose", ["back"], {})), 1, 1),
}
BOUNDED["residual"] = (
    [
        *chain(conv(), conv())[:1],
        make_node("Conv", ["t0", "k3"], ["t1"], pads=[1] * 4),
        make_node("Sub", ["x", "t1"], ["y"]),
    ],
    2,
    1,
)
BOUNDED["int8 weights"] = (
    [
        make_node("DequantizeLinear", ["bytes", "step"], ["weights"]),
        make_node("QuantizeLinear", ["x", "step"], ["q"]),
        make_node("DequantizeLinear", ["q", "step"], ["d"]),
        make_node("Conv", ["d", "weights"], ["y"], pads=[1] * 4),
    ],
    1,
    1,
)
BOUNDED["branches"] = (
    [
        make_node("Conv", ["x", "k3"], ["a"], pads=[4] * 4, dilations=[4, 4]),
        make_node("Concat", ["a", "x"], ["b"], axis=1),
        make_node("Conv", ["b", "join"], ["y"]),
    ],
    4,
    1,
)


def denoiser(path, field):
    return OnnxDenoiser(DenoiserModel(path, Roles("x", "y"), field=field), threads=1)


def is_read_right(path, nodes, halo, align, weights):
    """By its graph, and tiles by that equal the whole."""
    field = receptive_field(onnx.load(save(path, nodes, weights)))
    assert field == ReceptiveField(halo, align)
    assert tiling_error(denoiser(path, field)) <= EXACT


@pytest.mark.parametrize("name", BOUNDED)
def test_bounded(name, tmp_path):
    is_read_right(tmp_path / "network.onnx", *BOUNDED[name], WEIGHTS)


@pytest.mark.parametrize(
    "name",
    ["seven layers", "two sizes", "dilated", "reflected", "branches", "same upper", "pooled"],
)
def test_less_than_the_halo_is_not_enough(name, tmp_path):
    nodes, halo, align = BOUNDED[name]
    path = save(tmp_path / "network.onnx", nodes, WEIGHTS)
    assert tiling_error(denoiser(path, ReceptiveField(halo - 1, align))) > EXACT


def test_strides_need_aligned_windows(tmp_path):
    nodes, halo, align = BOUNDED["shuffled"]
    path = save(tmp_path / "network.onnx", nodes, WEIGHTS)
    assert halo % align == 1
    D = denoiser(path, ReceptiveField(halo + align, 1))
    assert D(np.zeros((32, 32), np.float32)).shape == (32, 32)
    with pytest.raises(Exception, match=r"divisible|blocksize|block size|multiple"):
        tiling_error(D)


UNBOUNDED = {
    "pooling": chain(conv(), ("GlobalAveragePool", [], {}), conv()),
    "instance norm": chain(conv(), ("InstanceNormalization", ["two", "two"], {})),
    "attention": chain(conv(), ("MatMul", ["matrix"], {})),
    "softmax": chain(conv(), ("Softmax", [], {"axis": -1})),
    "transpose": chain(conv(), ("Transpose", [], {"perm": [0, 1, 3, 2]})),
    "image axis": chain(conv(), ("ReduceMean", [], {"axes": [2]})),
    "sizes": chain(DOWN, ("Resize", ["", "", "sizes"], {})),
    "corners": chain(
        DOWN, resize("twice", "linear", coordinate_transformation_mode="align_corners")
    ),
    "same with strides": chain(conv(), conv(strides=[2, 2], auto_pad="SAME_UPPER")),
    "rows summed": chain(conv(), ("ReduceSum", ["rows"], {})),
    "all summed": chain(conv(), ("ReduceMean", [], {})),
    "rows cut": chain(conv(), ("Slice", ["first", "second", "rows"], {})),
    "wrap": chain(conv(), ("Pad", ["pad1"], {"mode": "wrap"}), VALID),
    "resolutions": [
        *chain(conv(), DOWN)[:1],
        make_node("Conv", ["t0", "k3"], ["low"], "down", strides=[2, 2], pads=[1] * 4),
        make_node("Add", ["t0", "low"], ["y"], "node1"),
    ],
}


@pytest.mark.parametrize("name", UNBOUNDED)
def test_unbounded_names_the_node(name, tmp_path):
    nodes = UNBOUNDED[name]
    path = save(tmp_path / "network.onnx", nodes, WEIGHTS)
    with pytest.raises(UnboundedReceptiveFieldError, match=r"node [A-Z].* 'node1' |Node \(node1\)"):
        receptive_field(onnx.load(path))


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        (chain(DOWN), "not the resolution of the input"),
        (chain(("ReduceMax", [], {"axes": [1], "keepdims": 0})), r"not lie as \[n, c, h, w\]"),
        ([make_node("Identity", ["k3"], ["y"])], "does not depend on the input"),
    ],
)
def test_unbounded_as_a_whole(nodes, reason, tmp_path):
    path = save(tmp_path / "network.onnx", nodes, WEIGHTS)
    with pytest.raises(UnboundedReceptiveFieldError, match=reason):
        receptive_field(onnx.load(path))


SHAPE = [
    make_node("Shape", ["x"], ["shape"]),
    make_node("Gather", ["shape", "third"], ["h"], axis=0),
    make_node("Gather", ["shape", "fourth"], ["w"], axis=0),
]
COMPUTED = {
    **WEIGHTS,
    "third": np.array([2]),
    "fourth": np.array([3]),
    "one": np.array([1]),
    "pair": np.array([2]),
    "n_c": np.array([1, 1]),
    "cells4": np.array([1, 4]),
    "left": np.array([0, 0, 1, 1]),
    "scale3": kernel(3),
    "spread3": kernel(3, 1, 3, 3),
    "join3": kernel(1, 3, 1, 1),
    "eight": np.array([8]),
    "zeros4": np.array([0, 0, 0, 0]),
}
UNSHUFFLE = [
    *SHAPE,
    make_node("Div", ["h", "pair"], ["h2"]),
    make_node("Div", ["w", "pair"], ["w2"]),
    make_node("Concat", ["n_c", "h2", "pair", "w2", "pair"], ["six"], axis=0),
    make_node("Concat", ["cells4", "h2", "w2"], ["four_"], axis=0),
    make_node("Reshape", ["x", "six"], ["parts"]),
    make_node("Transpose", ["parts"], ["turned"], perm=[0, 1, 3, 5, 2, 4]),
    make_node("Reshape", ["turned", "four_"], ["few"]),
    make_node("Conv", ["few", "four"], ["mixed"], pads=[1] * 4),
    make_node("DepthToSpace", ["mixed"], ["y"], blocksize=2),
]
TO_EIGHT = [
    *SHAPE,
    make_node("Mod", ["h", "eight"], ["over_h"]),
    make_node("Sub", ["eight", "over_h"], ["less_h"]),
    make_node("Mod", ["less_h", "eight"], ["more_h"]),
    make_node("Concat", ["zeros4", "first", "first", "more_h", "first"], ["pads"], axis=0),
    make_node("Pad", ["x", "pads"], ["padded"], mode="edge"),
    make_node("Conv", ["padded", "k3"], ["wide"], pads=[1] * 4),
    make_node("Slice", ["wide", "first", "h", "third"], ["y"]),
]
SKIP = [
    make_node("Conv", ["x", "k3"], ["d"], strides=[2, 2], pads=[1] * 4),
    make_node("Shape", ["x"], ["shape"]),
    make_node("Resize", ["d", "", "", "shape"], ["u"], mode="linear"),
    make_node("Add", ["x", "u"], ["y"]),
]
NORMED = [
    make_node("Conv", ["x", "spread3"], ["c"], pads=[1] * 4),
    make_node("Transpose", ["c"], ["last"], perm=[0, 2, 3, 1]),
    make_node("LayerNormalization", ["last", "scale3"], ["n"], axis=-1),
    make_node("Transpose", ["n"], ["back_"], perm=[0, 3, 1, 2]),
    make_node("Conv", ["back_", "join3"], ["y"]),
]
READ = {
    "unshuffled by Reshape": (UNSHUFFLE, 3, 2),
    "resized to a skip": (SKIP, 3, 2),
    "normed over channels": (NORMED, 1, 1),
}


@pytest.mark.parametrize("name", READ)
def test_what_is_computed_from_the_size_is_read(name, tmp_path):
    is_read_right(tmp_path / "network.onnx", *READ[name], COMPUTED)


def test_filled_up_to_a_multiple_by_the_network_itself(tmp_path):
    """Nothing in the graph has a stride; windows that are no multiples see another border."""
    path = save(tmp_path / "network.onnx", TO_EIGHT, COMPUTED)
    field = receptive_field(onnx.load(path))
    model = DenoiserModel(path, Roles("x", "y"), field=field)
    assert field == ReceptiveField(1, 1) and tile_error(model) > EXACT
    model, error = proved(model)
    assert model.field == ReceptiveField(1, 8) and error <= EXACT


def test_volumes(tmp_path):
    """Two convolutions, one of them with a stride that a transposed one takes back."""
    nodes = chain(
        ("Conv", ["cube"], {"pads": [1] * 6}),
        ("Conv", ["cube"], {"pads": [1] * 6, "strides": [1, 2, 2]}),
        ("ConvTranspose", ["cells3"], {"strides": [1, 2, 2]}),
    )
    weights = {"cube": kernel(1, 1, 3, 3, 3), "cells3": kernel(1, 1, 1, 2, 2)}
    path = save(tmp_path / "network.onnx", nodes, weights, shape=("n", 1, "d", "h", "w"))
    assert receptive_field(onnx.load(path)) == ReceptiveField(3, 2)


def branch(name, *nodes):
    y = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
    return onnx.helper.make_graph(nodes, name, [], [y])


@pytest.mark.parametrize("told", ["by the image", "by its size"])
def test_branches_that_capture_the_image(told, tmp_path):
    """One looks 4 pixels far and one 1: the condition decides, where it is no constant."""
    far = make_node("Conv", ["x", "k3"], ["far"], pads=[4] * 4, dilations=[4, 4])
    near = make_node("Conv", ["x", "k3"], ["near"], pads=[1] * 4)
    then = {"then_branch": branch("far", far), "else_branch": branch("near", near)}
    if told == "by the image":
        first = [make_node("ReduceMax", ["x"], ["most"], "all", keepdims=0)]
        first += [make_node("Greater", ["most", "step"], ["told"])]
    else:
        first = [make_node("Shape", ["x"], ["sides_"], start=2, end=3)]
        first += [make_node("Greater", ["sides_", "hundred"], ["told"])]
    nodes = [*first, make_node("If", ["told"], ["y"], "branches", **then)]
    weights = {**WEIGHTS, "hundred": np.array([100])}
    path = save(tmp_path / "network.onnx", nodes, weights)
    if told == "by its size":
        assert receptive_field(onnx.load(path)) == ReceptiveField(4, 1)
        return
    with pytest.raises(UnboundedReceptiveFieldError, match="'all' works along an image axis"):
        receptive_field(onnx.load(path))


def test_a_branch_that_captures_the_image(tmp_path):
    """The condition is an input that is told; the image is no input of the node."""
    far = make_node("Conv", ["x", "k3"], ["far"], pads=[4] * 4, dilations=[4, 4])
    near = make_node("Conv", ["x", "k3"], ["near"], pads=[1] * 4)
    then = {"then_branch": branch("far", far), "else_branch": branch("near", near)}
    nodes = [
        make_node("ReduceMax", ["sigma"], ["most"], keepdims=0),
        make_node("Greater", ["most", "step"], ["told"]),
        make_node("If", ["told"], ["y"], "branches", **then),
    ]
    path = save(tmp_path / "network.onnx", nodes, WEIGHTS, more={"sigma": [1]})
    with pytest.raises(UnboundedReceptiveFieldError, match="'branches' has branches or loops"):
        receptive_field(onnx.load(path))


def test_operators_of_other_domains_are_what_they_are(tmp_path):
    """``my::Relu`` looks 4 pixels far; as a function of the file it is read, else refused."""
    path = save(tmp_path / "network.onnx", chain(conv(), ("Relu", [], {})), WEIGHTS)
    model = onnx.load(path)
    model.graph.node[1].domain = "my"
    model.opset_import.append(onnx.helper.make_opsetid("my", 1))
    with pytest.raises(UnboundedReceptiveFieldError, match="my"):
        receptive_field(model)
    body = [make_node("MaxPool", ["a"], ["b"], kernel_shape=[9, 9], pads=[4] * 4)]
    imports = [onnx.helper.make_opsetid("", 17)]
    function = onnx.helper.make_function("my", "Relu", ["a"], ["b"], body, imports)
    model.functions.append(function)
    model.ir_version = 8
    assert receptive_field(model) == ReceptiveField(5, 1)
