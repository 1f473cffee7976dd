"""Networks as people have them: the roles, types, layouts, sizes and ranges of their tensors."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.helper import make_node

from asyncred.commands.models import describe_model
from asyncred.denoisers.inspection import inspect_denoiser
from asyncred.denoisers.onnx import OnnxDenoiser
from asyncred.denoisers.shipped import model_path
from asyncred.denoisers.tiles import EXACT, tile_error
from networks import BINOMIAL, conditional, save, smoothing

FREE = ("n", 1, "h", "w")
X = np.random.default_rng(0).random((40, 52), dtype=np.float32)


def network(path, nodes, inputs, *, outputs=("y",), weights=None, kind=TensorProto.FLOAT):
    """A graph with inputs of these shapes, in this order, all of one type."""
    info = helper.make_tensor_value_info
    made = [info(name, kind, sides) for name, sides in inputs.items()]
    stored = [numpy_helper.from_array(value, name) for name, value in (weights or {}).items()]
    graph = helper.make_graph(
        nodes, "network", made, [info(name, kind, None) for name in outputs], stored
    )
    imports = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), path)
    return path


def told(level="s", rest="r"):
    """Nodes of y = x - min(10 s, 1) (x - S x); of s only what ``level`` names is used."""
    return [
        make_node("Conv", ["x", "kernel"], ["smooth"], pads=[1] * 4),
        make_node("Sub", ["x", "smooth"], [rest]),
        make_node("Mul", [level, "ten"], ["grown"]),
        make_node("Min", ["grown", "one"], ["w"]),
        make_node("Mul", [rest, "w"], ["noise"]),
        make_node("Sub", ["x", "noise"], ["y"]),
    ]


NUMBERS = {"ten": np.array(10, np.float32), "one": np.array(1, np.float32)}
TOLD = {**NUMBERS, "kernel": BINOMIAL}
SPLIT = make_node("Split", ["xs", "sizes"], ["x", "s"], axis=1)


def split(*sizes):
    """A network of an image with the level as one more channel."""
    return {**TOLD, "sizes": np.array(sizes)}


def full_map(path):
    """The level is a map of the size of the image, which a Concat needs whole."""
    nodes = [make_node("Concat", ["x", "noise_map"], ["xs"], axis=1)]
    nodes += [make_node("Split", ["xs", "sizes"], ["x2", "s"], axis=1), *told()]
    sides = {"x": FREE, "noise_map": FREE}
    return network(path, nodes, sides, weights=split(1, 1))


def level_first(path):
    return network(path, told(), {"s": [1], "x": FREE}, weights=TOLD)


def channel(path):
    return network(path, [SPLIT, *told()], {"xs": ("n", 2, "h", "w")}, weights=split(1, 1))


def channel_first(path):
    nodes = [make_node("Split", ["xs", "sizes"], ["s", "x"], axis=1), *told()]
    return network(path, nodes, {"xs": ("n", 2, "h", "w")}, weights=split(1, 1))


def colour(path):
    weights = {**split(3, 1), "kernel": np.repeat(BINOMIAL, 3, axis=0)}
    nodes = [SPLIT, *told()]
    nodes[1] = make_node("Conv", ["x", "kernel"], ["smooth"], pads=[1] * 4, group=3)
    return network(path, nodes, {"xs": ("n", 4, "h", "w")}, weights=weights)


def several_outputs(path):
    nodes = [*told(), make_node("Mul", ["x", "ten"], ["features"])]
    sides = {"x": FREE, "s": ["n"]}
    return network(path, nodes, sides, outputs=("features", "y"), weights=TOLD)


def channels_last(path):
    nodes = [
        make_node("Transpose", ["image"], ["x"], perm=[0, 3, 1, 2]),
        *told(),
        make_node("Transpose", ["y"], ["out"], perm=[0, 2, 3, 1]),
    ]
    sides = {"image": ("n", "h", "w", 1), "s": []}
    return network(path, nodes, sides, outputs=("out",), weights=TOLD)


def plane(path):
    """An image [h, w]."""
    nodes = [
        make_node("Unsqueeze", ["image", "both"], ["x"]),
        *told(),
        make_node("Squeeze", ["y", "both"], ["out"]),
    ]
    weights = {**TOLD, "both": np.array([0, 1])}
    return network(path, nodes, {"image": ("h", "w"), "s": [1]}, outputs=("out",), weights=weights)


TYPES = {"half": (np.float16, TensorProto.FLOAT16), "double": (np.float64, TensorProto.DOUBLE)}


def typed(name):
    def make(path):
        dtype, kind = TYPES[name]
        weights = {key: value.astype(dtype) for key, value in TOLD.items()}
        return network(path, told(), {"x": FREE, "s": [1]}, weights=weights, kind=kind)

    return make


ROLES = {
    "full map": full_map,
    "level first": level_first,
    "channel": channel,
    "channel first": channel_first,
    "colour": colour,
    "several outputs": several_outputs,
    "channels last": channels_last,
    "plane": plane,
    "half": typed("half"),
    "double": typed("double"),
}


@pytest.mark.parametrize("name", ROLES)
def test_same_denoiser_whatever_its_tensors_are(name, tmp_path):
    model = inspect_denoiser(ROLES[name](tmp_path / "network.onnx"), sigma=0.04)
    assert model.conditional and (model.field.halo, model.field.align) == (1, 1)
    expected = inspect_denoiser(conditional(tmp_path / "usual.onnx"), sigma=0.04)
    D, usual = (OnnxDenoiser(one, threads=1) for one in (model, expected))
    np.testing.assert_allclose(D(X), usual(X), atol=2e-3 if name == "half" else 1e-6)
    assert tile_error(model) <= (2e-3 if name == "half" else EXACT)


def test_a_word_where_the_graph_does_not_tell(tmp_path):
    """The level and the image, both maps: y = x - s decides nothing."""
    nodes = [*told()[:2], make_node("Mul", ["r", "s"], ["n"]), make_node("Sub", ["x", "n"], ["y"])]
    sides = {"s": FREE, "x": FREE}
    path = network(tmp_path / "network.onnx", nodes, sides, weights=TOLD)
    model = inspect_denoiser(path, inputs="image=x,sigma=s", sigma=0.5)
    assert model.roles.image == "x" and model.roles.level == "s"
    with pytest.raises(ValueError, match=r"network\.onnx: has no image 'z'; expected s, x"):
        inspect_denoiser(path, inputs="image=z")
    with pytest.raises(ValueError, match=r"--denoiser-inputs is 'imag=x', expected image=NAME"):
        inspect_denoiser(path, inputs="imag=x")


def test_two_channels_are_the_parts_of_complex_values(tmp_path):
    model = inspect_denoiser(smoothing(tmp_path / "network.onnx", shape=("n", 2, "h", "w")))
    assert model.roles.planes == 2 and model.field.halo == 2
    one = inspect_denoiser(smoothing(tmp_path / "one.onnx"))
    both = OnnxDenoiser(model, threads=1)(np.stack([X, X[::-1]]))
    D = OnnxDenoiser(one, threads=1)
    np.testing.assert_allclose(both, np.stack([D(X), D(X[::-1])]), atol=1e-6)


@pytest.mark.parametrize("shape", [("n", 1, 64, "w"), (1, 1, 64, 64), (2, 1, 32, 32)])
def test_fixed_sides_are_freed(shape, tmp_path):
    model = inspect_denoiser(smoothing(tmp_path / "fixed.onnx", shape=shape))
    free = inspect_denoiser(smoothing(tmp_path / "free.onnx"))
    assert model.field == free.field
    D, expected = (OnnxDenoiser(one, threads=1) for one in (model, free))
    np.testing.assert_allclose(D(X), expected(X), atol=1e-6)


def test_fixed_sides_that_are_inside_too(tmp_path):
    """Exporters write the size of a skip connection, and of a pixel unshuffle, as numbers."""
    rng = np.random.default_rng(0)
    weights = {
        "down": BINOMIAL,
        "sides": np.array([1, 1, 32, 32]),
        "cut": np.array([1, 1, 16, 2, 16, 2]),
        "cells": np.array([1, 4, 16, 16]),
        "mix": np.eye(4, dtype=np.float32)[:, :, None, None] + rng.normal(0, 0.01, (4, 4, 1, 1)),
    }
    weights["mix"] = weights["mix"].astype(np.float32)
    nodes = [
        make_node("Reshape", ["x", "cut"], ["six"]),
        make_node("Transpose", ["six"], ["turned"], perm=[0, 1, 3, 5, 2, 4]),
        make_node("Reshape", ["turned", "cells"], ["few"]),
        make_node("Conv", ["few", "mix"], ["mixed"]),
        make_node("DepthToSpace", ["mixed"], ["back"], blocksize=2, mode="CRD"),
        make_node("Conv", ["back", "down"], ["d"], strides=[2, 2], pads=[1] * 4),
        make_node("Resize", ["d", "", "", "sides"], ["u"], mode="linear"),
        make_node("Mean", ["back", "u"], ["y"]),
    ]
    path = save(tmp_path / "network.onnx", nodes, weights, shape=(1, 1, 32, 32))
    model = inspect_denoiser(path)
    assert model.field.align == 2 and model.halo_known
    assert tile_error(model) <= EXACT
    session = onnx.load(path)
    found = OnnxDenoiser(model, threads=1)(X[:32, :32])
    from onnx.reference import ReferenceEvaluator

    expected = ReferenceEvaluator(session).run(None, {"x": X[None, None, :32, :32]})[0][0, 0]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_fixed_sides_that_cannot_be_freed(tmp_path):
    weights = {"kernel": BINOMIAL, "mask": np.ones((1, 1, 64, 64), np.float32)}
    nodes = [make_node("Conv", ["x", "kernel"], ["s"], pads=[1] * 4)]
    nodes += [make_node("Mul", ["s", "mask"], ["y"])]
    path = save(tmp_path / "network.onnx", nodes, weights, shape=(1, 1, 64, 64))
    with pytest.raises(ValueError, match=r"network\.onnx: .*exported for x of .*dynamic_axes"):
        inspect_denoiser(path)


def scaled(path, low, high):
    """The shipped network for pictures from 0 to 1, rewritten for values from low to high."""
    model = onnx.load(model_path("fast-s5"))
    graph = model.graph
    x, y = graph.input[0].name, graph.output[0].name
    for node in graph.node:
        node.input[:] = ["inner" if name == x else name for name in node.input]
        node.output[:] = ["result" if name == y else name for name in node.output]
        node.input[:] = ["result" if name == y else name for name in node.input]
    s, o = (np.array(value, np.float32) for value in (high - low, low))
    graph.initializer.extend(
        [numpy_helper.from_array(s, "scale_"), numpy_helper.from_array(o, "low_")]
    )
    graph.node.insert(0, make_node("Div", ["moved_", "scale_"], ["inner"]))
    graph.node.insert(0, make_node("Sub", [x, "low_"], ["moved_"]))
    graph.node.append(make_node("Mul", ["result", "scale_"], ["wide_"]))
    graph.node.append(make_node("Add", ["wide_", "low_"], [y]))
    del model.metadata_props[:]
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-1, 1), (0, 255)])
def test_range_of_a_trained_network_is_found(low, high, tmp_path):
    model = inspect_denoiser(scaled(tmp_path / "network.onnx", low, high))
    assert (model.low, model.high) == (low, high)
    assert bool(model.notes) == ((low, high) != (0, 1))
    D = OnnxDenoiser(inspect_denoiser(model_path("fast-s5")), threads=1)
    np.testing.assert_allclose(OnnxDenoiser(model, threads=1)(X), D(X), atol=1e-5)


def test_level_in_units_of_1_255(tmp_path):
    model = inspect_denoiser(conditional(tmp_path / "network.onnx", scale=255), sigma=0.04)
    usual = inspect_denoiser(conditional(tmp_path / "usual.onnx"), sigma=0.04)
    D, expected = (OnnxDenoiser(one, threads=1) for one in (model, usual))
    np.testing.assert_allclose(D(X), expected(X), atol=1e-5)


def test_denoiser_for_weak_noise(tmp_path):
    """Thresholds at 1/255: of strong noise it leaves almost all, and is a denoiser all the same."""
    weights = {"kernel": BINOMIAL, "t": np.array(1.5 / 255, np.float32)}
    weights["negative"] = -weights["t"]
    nodes = [
        make_node("Conv", ["x", "kernel"], ["smooth"], pads=[1] * 4),
        make_node("Sub", ["x", "smooth"], ["r"]),
        make_node("Clip", ["r", "negative", "t"], ["noise"]),
        make_node("Sub", ["x", "noise"], ["y"]),
    ]
    assert inspect_denoiser(save(tmp_path / "network.onnx", nodes, weights)).output == "image"


def test_models_says_how_a_network_is_used(tmp_path):
    said = describe_model(inspect_denoiser(colour(tmp_path / "network.onnx"), sigma=0.1))
    assert "image xs as NCHW, output y: three colours, " in said
    assert "noise level as the last channel" in said and "tiles equal the whole" in said


def test_models_warns_of_a_picture_that_is_worse(tmp_path):
    """Of weak noise a denoiser for strong noise takes the picture away, too."""
    path = smoothing(tmp_path / "network.onnx", layers=12)
    said = describe_model(inspect_denoiser(path, value_range=(0, 1)))
    assert "WORSE than the noisy one" in said and "--denoiser-range LOW:HIGH" in said
