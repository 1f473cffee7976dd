"""ONNX denoisers: windows with the halo give what the whole image gives; the rest is refused."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx.helper import make_node

from asyncred.denoisers.inspection import inspect_denoiser
from asyncred.denoisers.onnx import OnnxDenoiser
from asyncred.denoisers.shipped import model_names, model_path
from asyncred.denoisers.tiles import EXACT, tiling_error
from asyncred.grid import BlockGrid
from networks import conditional, constant, random_weights, save, smoothing, u_net

GRID = BlockGrid((75, 98), (24, 20))


def picture(shape=GRID.shape, seed=0):
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def denoiser(path, **options):
    return OnnxDenoiser(inspect_denoiser(path, **options), threads=1)


def tiled(D, x, grid):
    """D(x), put together from windows."""
    out = np.full_like(x, np.nan)
    for i in range(len(grid)):
        window = grid.window(i, D.halo, D.align)
        out[grid.block(i)] = D(x[window.region])[window.inner]
    return out


@pytest.mark.parametrize("name", model_names())
def test_shipped_network_is_exact_with_its_halo_and_no_smaller_one(name):
    model, x = inspect_denoiser(model_path(name)), picture()
    D = OnnxDenoiser(model, threads=1)
    whole = D(x)
    assert np.abs(tiled(D, x, GRID) - whole).max() <= EXACT
    assert tiling_error(D) <= EXACT
    if not name.startswith("fast"):  # others feel their outermost pixels less than EXACT
        return
    D.halo -= 1
    assert np.abs(tiled(D, x, GRID) - whole).max() > EXACT
    assert tiling_error(D) > EXACT


def test_shipped_default():
    model = inspect_denoiser(model_path("fast-s5"))
    assert (model.field.halo, model.field.align, model.output) == (7, 1, "image")
    assert model.sigma == pytest.approx(5 / 255, rel=1e-3) and model.halo_known


@pytest.mark.parametrize(
    ("make", "halo", "align"),
    [
        (smoothing, 2, 1),
        (lambda path: smoothing(path, dilation=2, centre=0.5), 4, 1),
        (u_net, 2, 2),
        (lambda path: u_net(path, resize=True), 3, 2),
        (lambda path: u_net(path, levels=2), 6, 4),
    ],
)
def test_tiled_equals_whole(make, halo, align, tmp_path):
    D = denoiser(make(tmp_path / "network.onnx"))
    assert (D.halo, D.align) == (halo, align)
    x = picture((56, 76))
    assert np.abs(tiled(D, x, BlockGrid(x.shape, (17, 22))) - D(x)).max() <= EXACT


@pytest.mark.parametrize("block", [(17, 22), (61, 75), (8, 16), (13, 4)])
@pytest.mark.parametrize(
    "make",
    [
        u_net,
        lambda path: u_net(path, resize=True),
        lambda path: u_net(path, levels=2),
    ],
)
def test_tiled_equals_whole_where_no_stride_divides_the_image(make, block, tmp_path):
    D = denoiser(make(tmp_path / "network.onnx"))
    x = picture((61, 75))
    whole = D(x)
    assert whole.shape == x.shape and all(side % D.align for side in x.shape)
    assert np.abs(tiled(D, x, BlockGrid(x.shape, block)) - whole).max() <= EXACT


def test_image_is_filled_up_to_the_stride(tmp_path):
    D = denoiser(u_net(tmp_path / "network.onnx", levels=2))
    x = picture((61, 75))
    np.testing.assert_array_equal(D(x), D(np.pad(x, ((0, 3), (0, 1)), mode="edge"))[:61, :75])
    assert D(x[:1, :1]).shape == (1, 1)


VARIANTS = {
    "noise": ({"noise": True}, {}),
    "noise, told": ({"noise": True, "metadata": {"asyncred.output": "noise"}}, {}),
    "bytes": ({"centre": 127.5}, {"value_range": (0.0, 255.0)}),
    "bytes, told": ({"centre": 127.5, "metadata": {"asyncred.range": "0,255"}}, {}),
    "signed": ({"centre": 0.0}, {"value_range": (-1.0, 1.0)}),
    "noise of bytes": ({"centre": 127.5, "noise": True}, {"value_range": (0.0, 255.0)}),
    "batch": ({"shape": (2, 1, "h", "w")}, {}),
    "free channels": ({"shape": ("n", "c", "h", "w")}, {}),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_are_the_same_denoiser(name, tmp_path):
    network, options = VARIANTS[name]
    D = denoiser(smoothing(tmp_path / "image.onnx", centre=0.5))
    other = denoiser(smoothing(tmp_path / "other.onnx", **{"centre": 0.5, **network}), **options)
    x = picture()
    found = other(x)
    assert found.dtype == np.float32 and found.shape == x.shape
    np.testing.assert_allclose(found, D(x), atol=2e-6)


def test_does_what_its_kernel_says(tmp_path):
    x = np.zeros((9, 9), np.float32)
    x[4, 4] = 1
    out = denoiser(smoothing(tmp_path / "network.onnx", layers=1))(x)
    np.testing.assert_allclose(out[3:6, 3:6] * 16, np.outer([1, 2, 1], [1, 2, 1]), atol=1e-6)
    assert out.sum() == pytest.approx(1) and np.count_nonzero(out) == 9


def test_does_not_change_its_argument(tmp_path):
    x = picture()
    x.flags.writeable = False
    before = x.copy()
    path = smoothing(tmp_path / "network.onnx", noise=True, centre=127.5)
    denoiser(path, value_range=(0.0, 255.0))(x)
    np.testing.assert_array_equal(x, before)


def test_halo_of_the_user(tmp_path):
    path = smoothing(tmp_path / "network.onnx")
    model = inspect_denoiser(path, halo=1)
    assert model.field.halo == 1 and tiling_error(OnnxDenoiser(model, threads=1)) > EXACT
    pooled = smoothing(tmp_path / "pooled.onnx", pooling=True)
    with pytest.raises(ValueError, match=r"pooled\.onnx.*GlobalAveragePool 'pooling'.*--halo"):
        inspect_denoiser(pooled)
    model = inspect_denoiser(pooled, halo=5)
    assert model.field.halo == 5 and not model.halo_known


@pytest.mark.parametrize("name", ["no denoiser", "0..1"])
def test_output_that_the_user_got_wrong(name, tmp_path):
    path = smoothing(tmp_path / "network.onnx", centre=0.5)
    with pytest.raises(ValueError, match=name):
        inspect_denoiser(path, output="noise")


def broken(path):
    path.write_bytes(b"no network")
    return path


def two_inputs(path):
    save(path, [make_node("Add", ["x", "z"], ["y"])])
    model = onnx.load(path)
    model.graph.input.append(
        onnx.helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, ["n", 1, "h", "w"])
    )
    onnx.save(model, path)
    return path


def shrinking(path):
    weights = {"k": np.full((1, 1, 3, 3), 1 / 9, np.float32)}
    return save(path, [make_node("Conv", ["x", "k"], ["y"], "shrink")], weights)


REFUSED = {
    "missing": (lambda path: path, "expected an ONNX model"),
    "broken": (broken, "expected an ONNX model"),
    "channels": (lambda path: smoothing(path, shape=("n", 5, "h", "w")), r"5.*1, 2 or 3 channels"),
    "inputs": (two_inputs, "no denoiser"),
    "zero": (lambda path: constant(path, 0.0), "no denoiser"),
    "gray": (lambda path: constant(path, 0.5), "no denoiser"),
    "NaN": (lambda path: constant(path, float("nan")), "no denoiser"),
    "random": (random_weights, "no denoiser"),
    "identity": (lambda path: save(path, [make_node("Identity", ["x"], ["y"])]), "no denoiser"),
    "shape": (shrinking, r"expected an output of the input's shape"),
    "output": (
        lambda path: smoothing(path, metadata={"asyncred.output": "clean"}),
        r"asyncred\.output is 'clean', expected image or noise",
    ),
    "range": (
        lambda path: smoothing(path, metadata={"asyncred.range": "255"}),
        "expected LOW,HIGH",
    ),
    "sigma": (lambda path: smoothing(path, metadata={"asyncred.sigma": "low"}), "a number"),
    "sides of sigma": (lambda path: conditional(path, sides=(1, 2)), r"sigma float \[1, 2\]; exp"),
    "levels": (
        lambda path: conditional(path, metadata={"asyncred.sigma_range": "0.2,0.1"}),
        "sigma_range is '0.2,0.1', expected LOW,HIGH",
    ),
    "level": (
        lambda path: conditional(path, metadata={"asyncred.sigma_range": "0.1,0.2"}),
        "the default sigma is 5, expected 25.5 to 51, in units of 1/255",
    ),
    "no level": (
        lambda path: conditional(path, metadata={"asyncred.sigma": "0"}),
        "the default sigma is 0, expected a number > 0",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_words_that_name_the_file(name, tmp_path):
    make, words = REFUSED[name]
    path = make(tmp_path / "network.onnx")
    with pytest.raises(ValueError, match=words) as error:
        inspect_denoiser(path)
    assert str(error.value).startswith(f"{path}: ")


def test_sigma_of_the_file(tmp_path):
    path = smoothing(tmp_path / "network.onnx", layers=4, metadata={"asyncred.sigma": "0.1"})
    assert inspect_denoiser(path).sigma == 0.1
    assert replace(inspect_denoiser(path), sigma=None).parameters == 10


@pytest.mark.parametrize("sides", [(), (1,), ("n",), (1, 1, 1, 1), ("n", 1, "h_", "w_")])
def test_conditional(sides, tmp_path):
    """w = min(10 sigma, 1): D is the identity where sigma is 0 and the smoothing from 1/10 on."""
    path = conditional(tmp_path / "network.onnx", sides=sides)
    model, x = inspect_denoiser(path), picture()
    assert model.conditional and model.sigma == 5 / 255 and model.level == 5
    assert (model.field.halo, model.sigma_range) == (1, None)
    smooth = denoiser(smoothing(tmp_path / "smoothing.onnx", layers=1))(x)
    for sigma in (0.01, 0.03, 0.1, 0.3):
        w = min(10 * sigma, 1)
        found = denoiser(path, sigma=sigma)(x)
        np.testing.assert_allclose(found, x - w * (x - smooth), atol=1e-6)


def test_level_of_a_network_of_bytes(tmp_path):
    D = denoiser(conditional(tmp_path / "unit.onnx"), sigma=0.04)
    path = conditional(tmp_path / "bytes.onnx", scale=255, metadata={"asyncred.range": "0,255"})
    np.testing.assert_allclose(denoiser(path, sigma=0.04)(picture()), D(picture()), atol=1e-6)


def test_levels_of_the_file(tmp_path):
    stated = {"asyncred.sigma": "0.04", "asyncred.sigma_range": "0.0039215,0.1960784"}
    path = conditional(tmp_path / "network.onnx", metadata=stated)
    model = inspect_denoiser(path)
    assert model.sigma == 0.04 and model.sigma_range == (0.0039215, 0.1960784)
    for level in (1, 50):  # stated with fewer digits
        assert inspect_denoiser(path, sigma=level / 255).level == level
    for level in (0.5, 50.5):
        words = f"--sigma is {level}, expected 1 to 50, in units of 1/255"
        with pytest.raises(ValueError, match=words) as error:
            inspect_denoiser(path, sigma=level / 255)
        assert str(error.value).startswith(f"{path}: ")


def test_level_for_a_network_that_takes_none(tmp_path):
    path = smoothing(tmp_path / "network.onnx")
    with pytest.raises(ValueError, match=r"network\.onnx: --sigma is 7, expected none: .*no input"):
        inspect_denoiser(path, sigma=7 / 255)
    assert inspect_denoiser(path).level is None
