"""Weights of the measurements in runs: every update ends where a serial solver of the box does.

min over low <= x <= high of  c/2 ||A x - y||_W^2 + tau/2 <x, x - S x>,   D = S linear, symmetric
"""

import numpy as np
import pytest

import h5py

import asyncred
from asyncred.denoisers.inspection import inspect_denoiser
from asyncred.denoisers.onnx import OnnxDenoiser
from asyncred.files.problem import Asked, read_problem
from asyncred.files.result import read_result
from asyncred.metrics import snr
from asyncred.operators import LocalResidual
from asyncred.operators.convolution import blur
from asyncred.operators.spectrum import SAFETY
from commands import reconstruct, reconstruct_all, several, simulate
from forward import Dense
from networks import smoothing
from scans import scan, write_data_exchange

SIDE, TAU = 24, 0.2
KINDS = {
    "ct": ("--views", "40", "--photons", "300"),
    "blur": ("--sigma", "1.0", "--noise", "40"),
    "inpaint": ("--share", "0.7", "--noise", "60"),
    "cs": ("--noise-snr", "5"),
}


@pytest.fixture(scope="module")
def D(tmp_path_factory):
    return smoothing(tmp_path_factory.mktemp("network") / "smoothing.onnx")


@pytest.fixture(scope="module", params=KINDS)
def problem(request, tmp_path_factory):
    """With weights in the file, of which a sixth is 0 where y is NaN."""
    path = tmp_path_factory.mktemp(request.param) / "problem.h5"
    flags = ("--size", SIDE, "--block", "12", *KINDS[request.param])
    simulate(request.param, path, *map(str, flags))
    rng = np.random.default_rng(7)
    with h5py.File(path, "r+") as file:
        y = file["measurements/y"]
        w = 5e3 * rng.exponential(1, y.shape)
        w[rng.random(y.shape) < 1 / 6] = 0
        y[...] = np.where(w > 0, y[()], np.nan)
        file["measurements/weights"] = w
    return path


def images():
    """All images of one pixel."""
    return np.eye(SIDE * SIDE, dtype=np.float32).reshape(-1, SIDE, SIDE)


def written_out(path):
    """A [measurements, pixels], y, w of mean 1 and c, from the file as it is."""
    data = read_problem(path, Asked(weights="none")).data
    with h5py.File(path) as file:
        y, w = (np.nan_to_num(file[f"measurements/{name}"][()]) for name in ("y", "weights"))
        kind = file["operator"].attrs["kind"]
        if kind == "convolution":
            rows = [blur(x, file["operator/kernel"][()]) for x in images()]
        elif kind == "mask":
            rows, w = images(), w * file["operator/mask"][()]
        elif kind == "block_random":
            rows = np.zeros((SIDE * SIDE, *y.shape))
            places = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
            for i in range(len(data.grid)):
                rows[places[data.grid.block(i)].ravel(), i] = data.matrix(i).T
        else:
            model, rows = data.model(list(range(len(data.grid))), threads=1), []
            for x in images():
                r = LocalResidual(model, np.zeros(y.shape, np.float32))
                for i in range(len(data.grid)):
                    r.add(i, model.forward(i, x[data.grid.block(i)].copy(), None))
                rows.append(r.array)
    A = np.array(rows, np.float64).reshape(SIDE * SIDE, -1).T
    w = w.ravel() / w[w > 0].mean()
    norm = np.linalg.norm(np.sqrt(w)[:, None] * A, 2) ** 2
    return A, y.ravel(), w, 1 / (SAFETY * norm) if kind == "parallel_beam" else 1.0


def solution(terms, D, low, high):
    """By projected gradients with momentum that is dropped where it leads uphill."""
    A, y, w, c = terms
    S = OnnxDenoiser(inspect_denoiser(D), threads=1)
    smooth = np.array([S(x).ravel() for x in images()], np.float64)
    H = c * (A.T * w) @ A + TAU * (np.eye(SIDE * SIDE) - (smooth + smooth.T) / 2)
    b, L = c * A.T @ (w * y), np.linalg.norm(H, 2)
    x = z = np.zeros(SIDE * SIDE)
    t = 1.0
    for _ in range(20000):
        new = np.clip(z - (H @ z - b) / L, low, high)
        if np.vdot(z - new, new - x) > 0:
            t = 1.0
        after = (1 + np.sqrt(1 + 4 * t * t)) / 2
        x, z, t = new, new + (t - 1) / after * (new - x), after
        if np.abs(x - np.clip(x - (H @ x - b) / L, low, high)).max() < 1e-9:
            break
    return x.reshape(SIDE, SIDE).astype(np.float32)


@pytest.mark.ranks
def test_every_update_ends_where_the_serial_solver_does(problem, D, tmp_path):
    terms = written_out(problem)
    star = {
        "none": solution(terms, D, -np.inf, np.inf),
        "0.2:0.7": solution(terms, D, 0.2, 0.7),
        "0.2:": solution(terms, D, 0.2, np.inf),
    }
    assert 12 < np.isin(star["0.2:0.7"], np.float32([0.2, 0.7])).sum() < 500
    cases = [(u, bounds) for u in ("gradient", "proximal") for bounds in star]
    for ranks in (1, 2):
        outputs = {(*case, ranks): tmp_path / f"{ranks}-{k}.h5" for k, case in enumerate(cases)}
        common = ("--denoiser", D, "--tau", TAU, "--start", "zero", "--tol", "1e-6")
        common = (*common, "--epochs", "2500", "--threads", "1")
        commands = [
            ["run", problem, "-o", output, "--update", update, "--bounds", bounds, *common]
            for (update, bounds, _), output in outputs.items()
        ]
        done = several(ranks, *commands)
        assert [code for code, _ in done] == [0] * len(cases), done
        for (update, bounds, _), output in outputs.items():
            found = read_result(output)
            error = np.linalg.norm(found.image - star[bounds]) / np.linalg.norm(star[bounds])
            assert error < 2e-3, (ranks, update, bounds, error)
            assert found.provenance["parameters"]["weights"] == "file"


FLAGS = ("--denoiser", "tv", "--sigma", "5", "--threads", "1")


def weighing(path, w, **more):
    """Puts weights, and other datasets of /measurements, into a problem."""
    with h5py.File(path, "r+") as file:
        for name, values in {"weights": w, **more}.items():
            if name in file["measurements"]:
                del file["measurements"][name]
            file["measurements"][name] = values


def ct(path, seed=0):
    flags = ("--size", "48", "--block", "24", "--views", "40", "--photons", "300")
    return simulate("ct", path, *flags, "--seed", str(seed))


def copied(path, name, w):
    """Another file of the problem, with these weights."""
    copy = path.with_name(name)
    copy.write_bytes(path.read_bytes())
    weighing(copy, w)
    return copy


def result_of(problem):
    return problem.with_suffix(".result.h5")


def each(problems, flags):
    """The results of several problems, one after another by the same two ranks."""
    commands = [
        ("run", problem, "-o", result_of(problem), "--ranks-per-image", "2", *flags)
        for problem in problems
    ]
    ends = several(2, *commands)
    assert [code for code, _ in ends] == [0] * len(commands), ends
    return [read_result(result_of(problem)) for problem in problems]


@pytest.mark.ranks
@pytest.mark.parametrize("kind", ["ct", "inpaint"])
def test_images_of_a_stack_have_their_own(kind, tmp_path):
    """Each as it is alone; the second after the first, on the same ranks."""
    path = tmp_path / "p.h5"
    if kind == "ct":
        ct(path)
    else:
        simulate(kind, path, "--size", "48", "--block", "24", "--noise", "40")
    with h5py.File(path, "r+") as file:
        y, shape = file["measurements/y"][()], file["measurements/y"].shape
        del file["truth"]
    w = np.random.default_rng(3).exponential(1, (2, *shape))
    w[1, :, ::4] = 0
    flags = (*FLAGS, "--tau", "0.2", "--method", "sync", "--epochs", "30")
    singles = [copied(path, f"{image}.h5", w[image]) for image in (0, 1)]
    weighing(path, w, y=np.stack([y, y]))
    alone = [one.image for one in each((*singles, path), flags)[:2]]
    for image in (0, 1):
        found = read_result(result_of(path), image).image
        np.testing.assert_allclose(found, alone[image], atol=2e-5)
    assert np.abs(alone[1] - alone[0]).max() > 0.02


@pytest.mark.ranks
def test_the_scale_of_weights_has_no_say(tmp_path):
    path = ct(tmp_path / "p.h5")
    w = np.random.default_rng(4).exponential(1, (40, 1))
    scaled = [copied(path, f"{scale}.h5", scale * w) for scale in (1, 100_000)]
    found = each(scaled, (*FLAGS, "--method", "sync", "--epochs", "30"))
    np.testing.assert_allclose(found[0].image, found[1].image, atol=1e-5)
    taus = [one.provenance["parameters"]["tau"] for one in found]
    assert taus[0] == pytest.approx(taus[1], rel=1e-2)


@pytest.mark.ranks
def test_points_of_weight_zero_are_as_never_sampled(tmp_path):
    """MRI, of points that no mask has, and with weights by sample."""
    path = tmp_path / "p.h5"
    simulate("mri", path, "--size", "48", "--block", "24", "--coils", "3", "--acceleration", "2")
    flags = (*FLAGS, "--tau", "0.2", "--method", "sync", "--epochs", "30")
    with h5py.File(path) as file:
        mask = file["operator/mask"][()]
    seen = np.random.default_rng(5).random(mask.shape) < 0.7
    seen[20:28, 20:28] = True
    never = copied(path, "never.h5", np.ones(mask.shape))
    with h5py.File(never, "r+") as file:
        file["operator/mask"][...] = mask & seen
        del file["measurements/weights"]
    weightless = copied(path, "weightless.h5", 2.0 * seen)
    w = np.random.default_rng(6).exponential(1, (3, *mask.shape))
    by_sample = copied(path, "by_sample.h5", w)
    expected, found = each((never, weightless), flags)
    np.testing.assert_allclose(found.start, expected.start, atol=1e-5)
    np.testing.assert_allclose(found.image, expected.image, atol=2e-5)
    one, two = (reconstruct(by_sample, n, *flags, "--epochs", "150") for n in (1, 2))
    assert snr(one.image, two.image) > 45 and np.abs(one.image - found.image).max() > 1e-3


@pytest.mark.ranks
def test_factors_are_those_of_the_weighted_A(tmp_path):
    """They end where inner steps do, and those of other weights are refused."""
    path = simulate("cs", tmp_path / "p.h5", "--size", "32", "--block", "16", "--noise-snr", "10")
    with h5py.File(path) as file:
        w = np.random.default_rng(8).exponential(1, file["measurements/y"].shape)
    weighing(path, w)
    other = copied(path, "other.h5", w[:, ::-1])
    flags = (*FLAGS, "--update", "proximal", "--epochs", "200")
    factors = ("--factors", tmp_path / "f.h5")
    first, second, third = (tmp_path / f"{k}.h5" for k in range(3))
    *done, (code, said) = several(
        2,
        ("run", path, "-o", first, *flags),
        ("run", path, "-o", second, *flags, *factors),
        ("run", other, "-o", third, *flags, *factors),
    )
    assert [code for code, _ in done] == [0, 0], done
    assert snr(read_result(first).image, read_result(second).image) > 50
    assert code == 2 and "f.h5" in said


@pytest.mark.ranks
def test_counts_of_a_scan(tmp_path):
    """In a weak beam the counts as weights gain more than any tau does without them."""
    made = scan(gain=400.0, angles=np.arange(90) * 2.0)
    path = write_data_exchange(tmp_path / "scan.h5", made)
    best = {}
    for weights in ("none", "counts"):
        flags = (*FLAGS, "--epochs", "60", "--weights", weights)
        found = reconstruct_all(path, 2, *((*flags, "--tau", tau) for tau in ("0.1", "0.3")))
        assert {one.provenance["parameters"]["weights"] for one in found} == {weights}
        best[weights] = max(snr(made.truth[0], one.image) for one in found)
    assert best["counts"] > best["none"] + 1, best


def test_weights_of_an_array_and_of_an_own_model():
    """A plain A of W^(1/2) A is the same as weights of A."""
    rng = np.random.default_rng(9)
    root = rng.exponential(1, (7, 23)).astype(np.float32)
    root /= np.sqrt(np.mean(root**2))
    plain = asyncred.forward_model(lambda grid, blocks: Dense(grid, seed=1), shape=(24, 24))

    def multiplied(grid, blocks):
        model = Dense(grid, seed=1)
        for i, A in enumerate(model.A):
            for g, first in enumerate(model.footprint(i).first):
                A[g] *= root[g, first : first + 15, None]
        return model

    y = rng.standard_normal((7, 23)).astype(np.float32)
    settings = {"block": 12, "tau": 0.3, "epochs": 60, "sigma": 5.0}
    weighted = asyncred.solve(y, plain, "tv", weights=root**2, **settings)
    expected = asyncred.solve(
        root * y, asyncred.forward_model(multiplied, shape=(24, 24)), "tv", **settings
    )
    np.testing.assert_allclose(weighted.image, expected.image, atol=1e-4)
    assert weighted.parameters["weights"] == "file"
    with pytest.raises(ValueError, match="--weights counts is for tomography, found own"):
        asyncred.solve(y, plain, "tv", weights="counts", **settings)
