"""Weights in a problem file, or from counts: what is read of them, and what is refused."""

import re

import numpy as np
import pytest

import h5py

from asyncred.files.problem import Asked, read_problem
from asyncred.files.problem.tomography import everywhere
from commands import ASYNCRED, simulate
from launch import mpirun
from scans import scan, write_data_exchange

KINDS = {
    "ct": ("--views", "20"),
    "fan": ("--views", "30"),
    "mri": ("--coils", "3"),
    "blur": (),
    "sr": (),
    "inpaint": (),
    "cs": (),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kinds")
    flags = ("--size", "32", "--block", "16")
    return {
        kind: simulate(kind, folder / f"{kind}.h5", *flags, *more) for kind, more in KINDS.items()
    }


def with_weights(path, folder, w, **more):
    """A copy with weights, and other datasets of /measurements, of an unknown truth."""
    copy = folder / "weighted.h5"
    copy.write_bytes(path.read_bytes())
    with h5py.File(copy, "r+") as file:
        del file["truth"]
        for name, values in {"weights": w, **more}.items():
            if name in file["measurements"]:
                del file["measurements"][name]
            file["measurements"][name] = values
    return copy


def y_of(path):
    with h5py.File(path) as file:
        return file["measurements/y"][()]


def data_of(path, **asked):
    return read_problem(path, Asked(**asked)).data


def test_an_axis_of_one_stands_for_all(files, tmp_path):
    views = np.arange(1.0, 21.0)[:, None]
    data = data_of(with_weights(files["ct"], tmp_path, views))
    found = data.weights_of(range(3, 7))
    np.testing.assert_array_equal(found, np.broadcast_to(views[3:7], (4, data.bins)))
    bins = np.arange(data.bins)
    data = data_of(with_weights(files["ct"], tmp_path, bins))
    np.testing.assert_array_equal(data.weights_of(range(19, 20)), bins[None])


@pytest.mark.parametrize("kind", ["blur", "sr", "inpaint", "cs"])
def test_the_mean_of_what_was_measured_is_one(files, tmp_path, kind):
    y, rng = y_of(files[kind]), np.random.default_rng(0)
    w = 1e4 * rng.exponential(1, y.shape) * (rng.random(y.shape) < 0.7)
    data = data_of(with_weights(files[kind], tmp_path, w))
    parts = [data.weights_on(data.part(i)) for i in range(len(data.grid))]
    if kind == "inpaint":
        parts = [part[data.mask(i)] for i, part in enumerate(parts)]
    found = np.concatenate([part.ravel() for part in parts])
    assert found[found > 0].mean() == pytest.approx(1, rel=1e-5)
    assert data.weighting == "file" and data.one_W


def test_what_has_no_weight_may_be_anything(files, tmp_path):
    """NaN in y where the weight is 0: never seen; elsewhere refused as ever."""
    for kind, path in files.items():
        y = y_of(path)
        w = np.float32(np.random.default_rng(4).random(y.shape) < 0.97)
        copy = with_weights(path, tmp_path, w, y=np.where(w > 0, y, np.nan).astype(y.dtype))
        data_of(copy).check()
        problem = read_problem(copy)
        assert not problem.doubts(problem.shades), kind
        noise = read_problem(path).noise()
        assert noise is None or problem.noise() == pytest.approx(noise, rel=0.5, abs=2e-3), kind
        if kind != "inpaint":
            with pytest.raises(ValueError, match="NaN or Inf"):
                data_of(copy, weights="none").check()


def test_points_of_k_space_without_weight_are_not_sampled(files, tmp_path):
    with h5py.File(files["mri"]) as file:
        mask = file["operator/mask"][()] != 0
    w = np.random.default_rng(1).random(mask.shape) < 0.6
    data = data_of(with_weights(files["mri"], tmp_path, 3.0 * w))
    np.testing.assert_array_equal(data.mask, mask & w)
    assert (data.weights_of(range(3)) == 3).all()


def test_weights_by_coil(files, tmp_path):
    y, rng = y_of(files["mri"]), np.random.default_rng(2)
    w = rng.exponential(1, y.shape)
    data = data_of(with_weights(files["mri"], tmp_path, w))
    np.testing.assert_array_equal(
        data.weights_of(range(1, 3))[:, ::2], np.float32(w[1:3, data.mask])
    )
    Psi = np.eye(3, dtype=np.complex64) + 0.1
    copy = with_weights(files["mri"], tmp_path, w, noise_covariance=Psi)
    with pytest.raises(ValueError, match=r"differ by coil, but whitened coils are mixtures"):
        data_of(copy)


def test_images_of_a_stack_may_have_their_own(files, tmp_path):
    y = y_of(files["blur"])
    w = np.stack([np.ones_like(y), np.arange(y.size).reshape(y.shape)])
    stacked = with_weights(files["blur"], tmp_path, w, y=np.stack([y, y]))
    data = data_of(stacked)
    assert not data.one_W
    found = data.of(1).weights_on(data.part(3))
    np.testing.assert_allclose(found, w[1][data.part(3)] / w[1][w[1] > 0].mean(), rtol=1e-6)
    np.testing.assert_allclose(data.weights_on(data.part(3)), 1)


@pytest.mark.parametrize("kind", ["ct", "fan"])
def test_views_without_weight_have_no_part_in_the_start(files, tmp_path, kind):
    """Filtered as if the file had no such views."""
    rng = np.random.default_rng(3)
    views = data_of(files[kind]).groups
    seen = rng.random(views) < 0.7
    y = np.where(seen[:, None], y_of(files[kind]), np.nan)
    data = data_of(with_weights(files[kind], tmp_path, 1.0 * seen[:, None], y=y))
    part = (tmp_path / "part.h5", y[seen], data.angles[seen])
    part[0].write_bytes(files[kind].read_bytes())
    with h5py.File(part[0], "r+") as file:
        del file["measurements/y"], file["operator/angles"]
        file["measurements/y"], file["operator/angles"] = part[1:]
        file["operator/angles"].attrs["units"] = "rad"
    expected = np.zeros((views, data.bins), np.float32)
    kept = data_of(part[0])
    expected[seen] = kept.filtered(range(kept.groups))
    halves = range(0, views // 2), range(views // 2, views)
    found = np.concatenate([data.filtered(half) for half in halves])
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_bins_without_weight_are_bridged():
    y = np.add.outer(np.zeros(4), np.arange(6.0)).astype(np.float32)
    w = np.ones_like(y)
    w[1, 2:4], w[2] = 0, 0
    np.testing.assert_array_equal(everywhere(np.where(w > 0, y, 0), w), y)
    assert everywhere(y, np.ones_like(y)) is y


def test_counts_of_line_integrals(files):
    data = data_of(files["ct"], weights="counts")
    y = data.y(range(5))
    np.testing.assert_allclose(data.weights_of(range(5)), np.exp(-np.maximum(y, 0)), rtol=1e-6)
    assert data.weighting == "counts" and not data.one_W
    assert data.described.endswith("bins, weighted by counts")


def test_counts_of_a_detector(tmp_path):
    """Corrected counts; nothing where a column is dead."""
    made = scan(gain=900.0)
    made.data[:, 1, 10] = 7
    data = data_of(write_data_exchange(tmp_path / "s.h5", made), images=(1, 2), weights="counts")
    found = data.weights_of(range(data.groups))
    white, dark = (part[:, 1].mean(axis=0) for part in (made.white, made.dark))
    beam = white - dark
    expected = np.clip(made.data[:, 1] - dark, 1, beam)
    expected[:, 10] = 0
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_the_noise_is_that_of_the_weighted_measurements(files, tmp_path):
    """Of a photon count sigma^2 = e^y / N: W^(1/2) y has the same noise everywhere, N^(-1/2)."""
    path = tmp_path / "p.h5"
    simulate("ct", path, "--size", "96", "--block", "32", "--photons", "1e3", "--views", "60")
    data, y = data_of(path, weights="counts"), y_of(path)
    w = np.exp(-np.maximum(y, 0))
    expected = 1e3**-0.5 / np.sqrt(np.mean(w * y**2)) * np.sqrt(96**2 / y.size)
    assert data.noise() == pytest.approx(expected, rel=0.15)
    copy = with_weights(path, tmp_path, 77 * w)
    assert data_of(copy).noise() == pytest.approx(data.noise(), rel=1e-3)


REFUSED = [
    ("ct", np.ones((20, 5)), r"/measurements/weights is float64 [20, 5], expected real numbers"),
    ("ct", np.ones((20, 1), np.complex64), "is complex64 [20, 1], expected real numbers [20, "),
    ("ct", np.ones((1, 1, 20, 1)), "is float64 [1, 1, 20, 1], expected real numbers [20, "),
    ("blur", -np.ones((32, 32)), "holds 1024 NaN, Inf or negative numbers, expected finite"),
    ("blur", np.full((32, 1), np.nan), "holds 1024 NaN, Inf or negative numbers"),
    ("fan", np.zeros((30, 1)), "is 0 everywhere, expected numbers > 0 for what was measured"),
]


@pytest.mark.parametrize(("kind", "w", "words"), REFUSED)
def test_weights_that_do_not_fit(files, tmp_path, kind, w, words):
    path = with_weights(files[kind], tmp_path, w)
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        data_of(path)
    assert str(error.value).startswith(f"{path}: /measurements/weights")
    data_of(path, weights="none")


def test_weights_where_nothing_was_measured(files, tmp_path):
    for kind in ("inpaint", "mri"):
        with h5py.File(files[kind]) as file:
            mask = file["operator/mask"][()] != 0
        with pytest.raises(ValueError, match=r"weights is 0 (wherever|at all sampled)"):
            data_of(with_weights(files[kind], tmp_path, 1.0 * ~mask))


def test_images_that_share_a_dense_A_share_weights(files, tmp_path):
    y = y_of(files["cs"])
    stacked = with_weights(
        files["cs"], tmp_path, np.random.default_rng(0).random((2, *y.shape)), y=np.stack([y, y])
    )
    with pytest.raises(ValueError, match="has an axis of images, expected the same"):
        data_of(stacked)


@pytest.mark.ranks
def test_what_is_asked_for_and_cannot_be(files, tmp_path):
    """One line, exit code 2."""
    exchange = write_data_exchange(tmp_path / "s.h5", scan())
    for path, asked, words in (
        (files["mri"], "counts", "--weights counts is for tomography, found cartesian_mri"),
        (files["ct"], "file", "/measurements/weights is missing, expected a dataset"),
        (exchange, "file", "--weights file is for problem files, found data_exchange"),
        (files["ct"], "photons", "expected counts or file or none"),
    ):
        command = ["run", path, "-o", tmp_path / "r.h5", "--weights", asked]
        done = mpirun(2, *ASYNCRED, *command, timeout=60)
        assert done.returncode == 2 and words in done.stderr, done.stderr
        assert done.stderr.count("asyncred: ") == 1 and "Traceback" not in done.stderr
