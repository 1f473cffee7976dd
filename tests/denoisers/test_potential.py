"""D = x - grad g: by finite differences, by the derivative at a point; in tiles; other values."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx.helper import make_node
from onnx.reference import ReferenceEvaluator

from asyncred.denoisers.appraise import gradient_error, worst_hessian
from asyncred.denoisers.derivative import DifferentiableNetwork
from asyncred.denoisers.inspection import inspect_denoiser
from asyncred.denoisers.jacobian import DenoiserJacobian
from asyncred.denoisers.onnx import DenoiserModel, OnnxDenoiser, open_session
from asyncred.denoisers.potential import gradient_step, residual, write_potential
from asyncred.denoisers.receptive import ReceptiveField, receptive_field
from asyncred.denoisers.roles import Roles
from asyncred.denoisers.shipped import find_model
from asyncred.denoisers.tiles import EXACT, tiling_error
from asyncred.denoisers.values import Parts, Ranged
from asyncred.grid import BlockGrid
from asyncred.red.continuation import FIRST, Continued
from networks import conditional, save, smoothing, u_net

SIGMA = np.float32([0.1])


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def picture(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


WEIGHTS = {
    "first": normal(4, 1, 3, 3) / 2,
    "told": normal(4, 2, 3, 3) / 2,
    "middle": normal(4, 4, 3, 3, seed=1) / 6,
    "grouped": normal(4, 2, 3, 3, seed=1) / 4,
    "one": normal(4, 4, 1, 1, seed=1) / 4,
    "down": normal(6, 4, 2, 2, seed=2) / 4,
    "up": normal(6, 4, 2, 2, seed=3) / 4,
    "wide": normal(8, 6, 3, 3, seed=4) / 8,
    "narrow": normal(4, 2, 3, 3, seed=5) / 4,
    "last": normal(1, 4, 3, 3, seed=6) / 6,
    "three": normal(3, 4, 3, 3, seed=7) / 6,
    "bias": normal(4, seed=8) / 4,
    "slope": np.abs(normal(4, 1, 1, seed=9)),
    "corner": np.array(0.4, np.float32),
    "none": np.array(0, np.float32),
    "half": np.array(0.5, np.float32),
    "frame": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
    "parts": np.array([2, 2]),
}


def conv(x, kernel, y, *, bias=True, **attributes):
    attributes = {"pads": [1] * 4, **attributes}
    return make_node("Conv", [x, kernel, "bias"] if bias else [x, kernel], [y], y, **attributes)


def activated(kind, *more, **attributes):
    """Convolution, activation, convolution, activation, convolution."""
    nodes = [conv("x", "first", "a")]
    for before, mid, after in (("a", "b", "c"), ("c", "d", "e")):
        nodes.append(make_node(kind, [before, *more], [mid], mid, **attributes))
        kernel, bias = ("middle", True) if after == "c" else ("last", False)
        nodes.append(conv(mid, kernel, after, bias=bias))
    nodes[-1].output[0] = "y"
    return nodes


def around(*nodes):
    """Nodes from c, with 4 channels, to d between convolutions."""
    return [
        conv("x", "first", "b"),
        make_node("Softplus", ["b"], ["c"]),
        *nodes,
        conv("d", "last", "y", bias=False),
    ]


PARABOLA = [
    conv("x", "first", "r"),
    make_node("Clip", ["r", "none", "corner"], ["c"]),
    make_node("Mul", ["c", "half"], ["k"]),
    make_node("Sub", ["r", "k"], ["b"]),
    make_node("Mul", ["c", "b"], ["rho"]),
    conv("rho", "three", "y", bias=False),
]
TOLD = [
    make_node("Shape", ["x"], ["shape"]),
    make_node("Expand", ["sigma", "shape"], ["map"]),
    make_node("Concat", ["x", "map"], ["both"], axis=1),
    conv("both", "told", "a"),
    make_node("Elu", ["a"], ["b"]),
    make_node("Mul", ["b", "sigma"], ["c"]),
    conv("c", "last", "y", bias=False),
]
SOFTPLUS, STRIDES = activated("Softplus"), {"strides": [2, 2], "pads": [0] * 4}
CASES = {
    "Softplus": SOFTPLUS,
    "Elu": activated("Elu"),
    "Elu of another height": activated("Elu", alpha=0.6),
    "Celu": activated("Celu", alpha=0.6),
    "Tanh": activated("Tanh"),
    "Sigmoid": activated("Sigmoid"),
    "LeakyRelu": activated("LeakyRelu", alpha=0.2),
    "PRelu": activated("PRelu", "slope"),
    "Relu": activated("Relu"),
    "corner rounded": PARABOLA,
    "level told": TOLD,
    "swish": around(
        make_node("Sigmoid", ["c"], ["s"]),
        make_node("Mul", ["c", "s"], ["d"]),
    ),
    "skipped": around(
        conv("c", "middle", "m"),
        make_node("Tanh", ["m"], ["t"]),
        make_node("Add", ["t", "c"], ["d"]),
    ),
    "dilated, lopsided": around(conv("c", "middle", "d", dilations=[2, 1], pads=[4, 0, 0, 2])),
    "grouped": around(conv("c", "grouped", "d", group=2)),
    "framed": around(
        make_node("Pad", ["c", "frame"], ["p"]), conv("p", "middle", "d", pads=[0] * 4)
    ),
    "split": around(
        make_node("Split", ["c", "parts"], ["p", "q"], axis=1),
        make_node("Mul", ["p", "q"], ["m"]),
        make_node("Concat", ["m", "p"], ["d"], axis=1),
    ),
    "strides": around(
        conv("c", "down", "m", bias=False, **STRIDES),
        make_node("Softplus", ["m"], ["t"]),
        make_node("ConvTranspose", ["t", "up"], ["d"], strides=[2, 2]),
    ),
    "shuffled": around(
        conv("c", "down", "m", bias=False, **STRIDES),
        conv("m", "wide", "t", bias=False),
        make_node("DepthToSpace", ["t"], ["s"], blocksize=2, mode="CRD"),
        conv("s", "narrow", "d"),
    ),
}
FIELDS = {
    "corner rounded": (2, 1),
    "level told": (2, 1),
    "swish": (2, 1),
    "dilated, lopsided": (6, 1),
    "split": (2, 1),
    "strides": (3, 2),
    "shuffled": (6, 2),
}
"""Halo and align of R where they are not 3 and 1."""


def network(folder, name):
    """R as a model."""
    used = {item for node in CASES[name] for item in node.input}
    stored = {item: value for item, value in WEIGHTS.items() if item in used}
    more = {"sigma": (1,)} if "sigma" in used else None
    return onnx.load(save(folder / "R.onnx", CASES[name], stored, more=more))


def runner(model):
    """The outputs for x and sigma, by ONNX Runtime."""
    session = open_session(model.SerializeToString(), 1)
    told = len(session.get_inputs()) > 1
    return lambda x: session.run(None, {"x": x, "sigma": SIGMA} if told else {"x": x})


def feeds(model, x):
    return {"x": x, "sigma": SIGMA.astype(x.dtype)} if len(model.graph.input) > 1 else {"x": x}


def in_float64(model):
    """The outputs for x and sigma, with every weight and value in float64."""
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    for item in wide.graph.initializer:
        value = numpy_helper.to_array(item)
        if value.dtype == np.float32:
            item.CopyFrom(numpy_helper.from_array(value.astype(np.float64), item.name))
    for node in wide.graph.node:
        if node.op_type == "Cast":
            node.attribute[0].i = onnx.TensorProto.DOUBLE
    evaluator = ReferenceEvaluator(wide)
    return lambda x: evaluator.run(None, feeds(model, x))


@pytest.mark.parametrize("name", CASES)
def test_step_is_the_gradient_by_finite_differences(name, tmp_path):
    D = in_float64(gradient_step(network(tmp_path, name)))
    x, h = normal(1, 1, 6, 8, seed=3).astype(np.float64), 1e-6
    clean, potential = D(x)
    assert clean.shape == potential.shape == x.shape and potential.min() >= 0
    assert np.abs(x - clean).max() > 0.01
    for seed in range(3):
        u = normal(*x.shape, seed=10 + seed).astype(np.float64)
        ahead, behind = (D(z)[1].sum() for z in (x + h * u, x - h * u))
        expected = (ahead - behind) / (2 * h)
        scale = np.linalg.norm(x - clean) * np.linalg.norm(u)
        assert np.vdot(x - clean, u) == pytest.approx(expected, abs=1e-7 * scale)


@pytest.mark.parametrize("shape", [(8, 8), (14, 22), (2, 40)])
@pytest.mark.parametrize("name", CASES)
def test_nodes_are_the_derivative_of_a_point_at_every_size(name, shape, tmp_path):
    R, x = network(tmp_path, name), normal(2, 1, *shape, seed=3)
    r = runner(R)(x)[0]
    step = DifferentiableNetwork(R, threads=1).at(feeds(R, x)).adjoint(r)
    clean, potential = runner(gradient_step(R))(x)
    np.testing.assert_allclose(clean, x - step, atol=1e-5)
    np.testing.assert_allclose(potential, (r**2).sum(axis=1, keepdims=True) / 2, rtol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_halo_is_read_from_the_graph(name, tmp_path):
    """Twice that of the network; of lopsided kernels only what one looks left and the other right.

    A change of a pixel is felt just so far, where no stride makes the bound an upper one.
    """
    R = network(tmp_path, name)
    D, field = gradient_step(R), receptive_field(R)
    assert field == ReceptiveField(*FIELDS.get(name, (3, 1)))
    onnx.checker.check_model(D, full_check=True)
    halo = 8 if name == "dilated, lopsided" else 2 * field.halo
    assert receptive_field(D) == ReceptiveField(halo, field.align)
    x = picture(1, 1, 48, 48)
    other = x.copy()
    other[0, 0, 24, 24] += 1
    changed = np.argwhere(runner(D)(other)[0][0, 0] != runner(D)(x)[0][0, 0])
    reached = np.abs(changed - 24).max()
    assert reached <= halo and (reached == halo or field.align > 1 or name == "Relu")


def kept(folder, name):
    """D of a case as a model that need not denoise."""
    D, path = gradient_step(network(folder, name)), folder / "D.onnx"
    onnx.save(D, path)
    told, field = len(D.graph.input) > 1, receptive_field(D)
    sigma = float(SIGMA[0]) if told else None
    roles = Roles("x", "clean", level="sigma", form="number" if told else "", potential=True)
    return DenoiserModel(path, roles, field=field, sigma=sigma)


@pytest.mark.parametrize("name", CASES)
def test_tiles_equal_the_whole_and_their_potentials_sum_to_its(name, tmp_path):
    model = kept(tmp_path, name)
    D = OnnxDenoiser(model, threads=1)
    assert tiling_error(D) <= EXACT
    grid = BlockGrid((26, 38), (9, 12))
    x = picture(*grid.shape)
    clean, potential = D.with_potential(x)
    np.testing.assert_array_equal(D(x), clean)
    total = 0.0
    for i in range(len(grid)):
        window = grid.window(i, D.halo, D.align)
        tile, shares = D.with_potential(np.ascontiguousarray(x[window.region]))
        np.testing.assert_allclose(tile[window.inner], clean[grid.block(i)], atol=EXACT)
        total += shares[window.inner].sum(dtype=np.float64)
    assert total == pytest.approx(potential.sum(dtype=np.float64), rel=1e-6)


def test_less_than_the_halo_is_not_enough(tmp_path):
    D = OnnxDenoiser(kept(tmp_path, "Softplus"), threads=1)
    assert D.halo == 6
    D.halo -= 1
    assert tiling_error(D) > 0


@pytest.mark.parametrize("name", CASES)
def test_jacobian_is_symmetric(name, tmp_path):
    model = kept(tmp_path, name)
    J, adjoint = DenoiserJacobian(model).products(picture(12, 14))
    u = normal(12, 14, seed=1)
    np.testing.assert_allclose(J(u), adjoint(u), atol=2e-6 * np.abs(J(u)).max() + 1e-6)
    assert DenoiserJacobian(model).hessian(picture(12, 14)).asymmetry < 1e-5


def test_hessian_of_a_quadratic_potential(tmp_path):
    """N linear and symmetric: g is |(I - S) x|^2 / 2, its Hessian (I - S)^2."""
    D = written(smoothing(tmp_path / "N.onnx"), tmp_path / "D.onnx")
    S = OnnxDenoiser(inspect_denoiser(tmp_path / "N.onnx"), threads=1)
    rows = [S(row).ravel() for row in np.eye(80, dtype=np.float32).reshape(-1, 8, 10)]
    values = np.linalg.eigvalsh(np.eye(80) - rows) ** 2
    found = DenoiserJacobian(D).hessian(picture(8, 10), steps=80)
    assert found.low == pytest.approx(values.min(), abs=1e-5)
    assert found.high == pytest.approx(values.max(), rel=1e-5)
    few = [DenoiserJacobian(D).hessian(picture(8, 10), steps=k).high for k in (1, 3, 9, 80)]
    assert few == sorted(few)


def test_ordinary_denoiser_is_no_gradient_step():
    found = worst_hessian_of("fast-s5")
    assert found.asymmetry > 0.01


def worst_hessian_of(name):
    x = picture(24, 24)
    return DenoiserJacobian(find_model(name)).hessian(x, steps=8)


def written(path, output, **options):
    """The gradient step of a denoiser in a file, as a model."""
    write_potential(inspect_denoiser(path, **options), output, name=output.stem)
    return inspect_denoiser(output)


def test_written_file_says_what_it_is(tmp_path):
    stated = {"asyncred.license": "CC0", "asyncred.lipschitz": "1", "asyncred.sigma": "0.02"}
    path = smoothing(tmp_path / "N.onnx", centre=0.5, metadata={**stated, "asyncred.name": "N"})
    D = written(path, tmp_path / "D.onnx")
    assert D.has_potential and D.output == "image" and D.field == ReceptiveField(4, 1)
    assert D.sigma == 0.02 and not inspect_denoiser(path).has_potential
    found = {item.key: item.value for item in onnx.load(D.path).metadata_props}
    assert found == {
        "asyncred.license": "CC0",
        "asyncred.name": "D",
        "asyncred.output": "image",
        "asyncred.range": "0,1",
        "asyncred.sigma": "0.02",
    }
    hessian = worst_hessian(D, steps=4)
    assert -1e-5 < hessian.low < hessian.high <= 1 and hessian.points == 9
    assert hessian.error < 1e-4 and hessian.asymmetry < 1e-5


VARIANTS = {
    "noise": ({"noise": True}, {}),
    "bytes": ({"centre": 127.5}, {"value_range": (0.0, 255.0)}),
    "noise of bytes": ({"centre": 127.5, "noise": True}, {"value_range": (0.0, 255.0)}),
    "batch": ({"shape": (2, 1, "h", "w")}, {}),
    "free channels": ({"shape": ("n", "c", "h", "w")}, {}),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_are_the_same_potential(name, tmp_path):
    traits, options = VARIANTS[name]
    usual = smoothing(tmp_path / "N.onnx", centre=0.5)
    other = smoothing(tmp_path / "other.onnx", **{"centre": 0.5, **traits})
    x, expected = picture(20, 23), OnnxDenoiser(written(usual, tmp_path / "D.onnx"), threads=1)
    found = OnnxDenoiser(written(other, tmp_path / "E.onnx", **options), threads=1)
    for one, two in zip(found.with_potential(x), expected.with_potential(x), strict=True):
        assert one.dtype == np.float32
        np.testing.assert_allclose(one, two, atol=2e-6)


def test_noise_of_a_network_that_takes_it_from_the_image_is_not_rounded(tmp_path):
    path = smoothing(tmp_path / "N.onnx", noise=True)
    inner = onnx.load(path)
    inner.graph.node.append(make_node("Sub", ["x", "y"], ["z"]))
    inner.graph.output[0].name = "z"
    onnx.save(inner, tmp_path / "M.onnx")
    assert residual(inspect_denoiser(tmp_path / "M.onnx")).graph.output[0].name == "y"


def test_strides_and_levels(tmp_path):
    for k, path in enumerate((u_net(tmp_path / "u.onnx"), conditional(tmp_path / "c.onnx"))):
        D = OnnxDenoiser(written(path, tmp_path / f"D{k}.onnx"), threads=1)
        assert gradient_error(D, picture(20, 24)) < 1e-4


def test_old_opset(tmp_path):
    nodes = [conv("x", "first", "a"), make_node("Relu", ["a"], ["b"]), conv("b", "three", "y")]
    weights = {key: WEIGHTS[key] for key in ("first", "three")} | {"bias": WEIGHTS["bias"]}
    nodes[-1].input.pop()
    R = onnx.load(save(tmp_path / "R.onnx", nodes, weights, opset=9))
    x = normal(1, 1, 9, 7)
    step = DifferentiableNetwork(R, threads=1).at({"x": x}).adjoint(runner(R)(x)[0])
    np.testing.assert_allclose(runner(gradient_step(R))(x)[0], x - step, atol=1e-5)


def refusing(path, kind, **attributes):
    """The smoothing network with one more node that leaves the image as it is."""
    N = onnx.load(smoothing(path))
    N.graph.node.append(make_node(kind, ["y"], ["z"], "late", **attributes))
    N.graph.output[0].name = "z"
    onnx.save(N, path)
    return path


@pytest.mark.parametrize(
    ("kind", "attributes", "words"),
    [
        ("MaxPool", {"kernel_shape": [1, 1]}, "has no derivative rule for images of any size"),
        ("Einsum", {"equation": "abcd->abcd"}, "has no known bound"),
        ("Mish", {}, "has no derivative rule"),
    ],
)
def test_refused_operator_is_named(kind, attributes, words, tmp_path):
    path = tmp_path / "N.onnx"
    if kind == "Mish":
        nodes = [make_node(kind, ["x"], ["y"], "late")]
        N = DenoiserModel(save(path, nodes, opset=18), Roles("x", "y"))
    else:
        N = inspect_denoiser(refusing(path, kind, **attributes), halo=3)
    with pytest.raises(ValueError) as caught:
        write_potential(N, tmp_path / "D.onnx", name="D")
    line = f"{path}: no potential can be written: node {kind} 'late' {words}"
    assert str(caught.value) == line
    assert not (tmp_path / "D.onnx").exists()


def test_8_bit_network_has_no_potential(tmp_path):
    with pytest.raises(ValueError, match=r"QuantizeLinear .* rounds: its slope is 0 almost every"):
        write_potential(find_model("fast-s5-int8"), tmp_path / "D.onnx", name="D")


def test_potential_of_a_potential_is_refused(tmp_path):
    D = written(smoothing(tmp_path / "N.onnx"), tmp_path / "D.onnx")
    with pytest.raises(ValueError, match=r"D\.onnx: has a potential already"):
        write_potential(D, tmp_path / "E.onnx", name="E")


def test_no_potential_to_ask_for(tmp_path):
    D = OnnxDenoiser(inspect_denoiser(smoothing(tmp_path / "N.onnx")), threads=1)
    with pytest.raises(ValueError, match=r"N\.onnx: has no potential"):
        D.with_potential(picture(8, 8))


def test_outputs_go_by_their_names(tmp_path):
    D = written(smoothing(tmp_path / "N.onnx"), tmp_path / "D.onnx")
    x, model = picture(20, 23), onnx.load(D.path)
    first = helper.make_tensor_value_info("none", 1, None)
    first.CopyFrom(model.graph.output[0])
    del model.graph.output[0]
    model.graph.output.append(first)
    onnx.save(model, tmp_path / "turned.onnx")
    found = OnnxDenoiser(inspect_denoiser(tmp_path / "turned.onnx"), threads=1)
    for one, two in zip(
        found.with_potential(x), OnnxDenoiser(D, threads=1).with_potential(x), strict=True
    ):
        np.testing.assert_array_equal(one, two)
    model.graph.node[-1].output[0] = model.graph.output[0].name = "energy"
    onnx.save(model, tmp_path / "other.onnx")
    other = inspect_denoiser(tmp_path / "other.onnx")
    assert not other.has_potential and other.roles.output == "clean"


@pytest.fixture
def quadratic(tmp_path):
    """D of a quadratic potential, for which central differences are exact."""
    return OnnxDenoiser(written(smoothing(tmp_path / "N.onnx"), tmp_path / "D.onnx"), threads=1)


DRESSED = {
    "ranged": lambda D: Ranged(D, -2.0, 5.0),
    "parts": Parts,
    "parts, ranged": lambda D: Parts(Ranged(D, -2.0, 5.0)),
    "continued": lambda D: Continued(D, lambda: 0.0, 10),
    "continued, later": lambda D: Continued(D, lambda: 4.0, 10),
}


@pytest.mark.parametrize("name", DRESSED)
def test_potential_of_other_values_and_of_complex_images(name, quadratic):
    D = DRESSED[name](quadratic)
    x, u = normal(16, 18), normal(16, 18, seed=1)
    if "parts" in name:
        x, u = x + 1j * normal(16, 18, seed=2), u + 1j * normal(16, 18, seed=3)
    clean, potential = D.with_potential(x)
    np.testing.assert_array_equal(clean, D(x))
    assert potential.dtype == np.float32 and potential.shape == x.shape
    ahead, behind = (D.with_potential(z)[1].sum(dtype=np.float64) for z in (x + u, x - u))
    slope = np.vdot(x - clean, u).real
    assert (ahead - behind) / 2 == pytest.approx(slope, rel=1e-4)


def test_continuation_begins_with_its_first_factor(quadratic):
    x = picture(16, 18)
    D = Continued(quadratic, lambda: 0.0, 10)
    expected = quadratic.with_potential(np.float32(FIRST) * x)[1] / FIRST**2
    np.testing.assert_allclose(D.with_potential(x)[1], expected, rtol=1e-5)
