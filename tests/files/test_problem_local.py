"""Deblurring, superresolution and inpainting in a problem file, and simulated."""

import re

import numpy as np
import pytest

import h5py

from asyncred.commands.cli import main
from asyncred.files.problem import (
    Asked,
    read_problem,
    write_convolution,
    write_mask,
    write_superresolution,
)
from asyncred.operators.convolution import blur, gaussian_kernel
from asyncred.operators.superresolution import subsample

SHAPE, BLOCK = (26, 21), (8, 6)
KERNEL = np.random.default_rng(1).standard_normal((3, 5), dtype=np.float32)


def random(shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


MASK = random(SHAPE, 2) < 0.4


def write(path, kind):
    truth = random(SHAPE)
    if kind == "convolution":
        write_convolution(path, truth, random(SHAPE, 3), block=BLOCK, kernel=KERNEL)
    elif kind == "mask":
        gaps = np.where(MASK, random(SHAPE, 3), np.float32(np.nan))
        write_mask(path, truth, gaps, block=BLOCK, mask=MASK)
    else:
        y = random((13, 11), 3)
        write_superresolution(path, truth, y, block=BLOCK, kernel=KERNEL, factor=2)


@pytest.fixture(params=["convolution", "superresolution", "mask"])
def kind(request):
    return request.param


@pytest.fixture
def path(tmp_path, kind):
    write(tmp_path / "problem.h5", kind)
    return tmp_path / "problem.h5"


def change(path, key, value):
    with h5py.File(path, "r+") as file:
        del file[key]
        file[key] = value


def gradients(data, index=0):
    """grad g of all blocks at a random x, and x."""
    data, x = data.of(index), random(SHAPE, 5)
    A, out = data.operator(list(range(len(data.grid))), threads=1), np.empty_like(x)
    for i in range(len(data.grid)):
        out[data.grid.block(i)] = A.gradient(i, x[data.grid.window(i, A.halo).region], None)
    return x, out


def misfit(path, x):
    """1/2 ||A x - y||^2 of a file, computed from the whole of its arrays, in double precision."""
    with h5py.File(path) as file:
        operator, y = file["operator"], file["measurements/y"][:].astype(np.float64)
        if operator.attrs["kind"] == "mask":
            return 0.5 * np.sum((x - y)[operator["mask"][:].astype(bool)] ** 2)
        factor = operator.attrs.get("factor", 1)
        return 0.5 * np.sum((subsample(x, operator["kernel"][:], factor) - y) ** 2)


def test_what_is_written_is_what_the_blocks_work_on(path, kind):
    """The blocks' gradients are that of the whole file's misfit, by differences in a direction."""
    problem = read_problem(path)
    assert problem.kind == kind and problem.has_truth
    assert (problem.grid.shape, problem.grid.block_shape) == (SHAPE, BLOCK)
    problem.data.check()
    x, gradient = gradients(problem.data)
    d = random(SHAPE, 6) - 0.5
    slope = misfit(path, x + d) - misfit(path, x - d)  # exact for a quadratic
    assert 2 * np.vdot(gradient.astype(np.float64), d) == pytest.approx(slope, rel=1e-4, abs=1e-4)


def test_most_measurements_of_a_block(path, kind):
    data = read_problem(path).data
    A = data.operator(list(range(len(data.grid))), threads=1)
    assert data.groups == max(A.measurements(i) for i in range(len(data.grid)))
    if kind == "mask":
        assert data.pixels == MASK.sum() and f"{MASK.sum()} of 546 pixels" in data.words


def test_stacks(path, kind):
    with h5py.File(path) as file:
        y = file["measurements/y"][:]
    change(path, "truth", random((2, *SHAPE)))
    change(path, "measurements/y", np.stack([y, 2 * y]))
    problem = read_problem(path)
    assert problem.images == range(2)
    data = problem.data
    blocks = list(range(len(data.grid)))
    second = data.operator(blocks, threads=1).of(data.of(1).measured(blocks))
    for start in data.starts.values():
        twice = start(data.operator(blocks, threads=1), 4) * 2
        np.testing.assert_allclose(start(second, 4), twice, atol=1e-5)
    assert read_problem(path, Asked(images=(1, 2))).images == range(1, 2)


def test_other_blocks_are_not_read(path, kind):
    """What lies far from a block may be broken: rows that no window of block 0 reaches."""
    with h5py.File(path, "r+") as file:
        y, last = file["measurements/y"], len(file["measurements/y"]) - 1
        if kind == "mask":
            file["operator/mask"][last, 0] = True
        y[last, 0] = np.nan
    data = read_problem(path).data
    data.operator([0, 1, 2, 3], threads=1)
    last = len(data.grid) - 4
    message = rf"/measurements/y: block {last}.* holds 1 NaN or Inf, expected finite numbers"
    with pytest.raises(ValueError, match=message):
        data.operator([last], threads=1)
    with pytest.raises(ValueError, match=r"/measurements/y: block \d+.* holds 1 NaN"):
        data.check()


def test_memory_grows_with_blocks_not_with_the_image(path, kind):
    data = read_problem(path).data
    one, two = data.bytes_of(1), data.bytes_of(2)
    assert 4 * 48 < one < two <= 2 * one
    A = data.operator([5], threads=1)
    held = sum(part.nbytes for part in data.measured([5]).values()) + 4 * 48
    assert held <= one and A.measurements(5) * 4 <= one


def test_masks_of_numbers(tmp_path):
    path = tmp_path / "mask.h5"
    write(path, "mask")
    before = gradients(read_problem(path).data)[1]
    change(path, "operator/mask", MASK.astype(np.uint8))
    np.testing.assert_array_equal(gradients(read_problem(path).data)[1], before)


def test_chosen_blocks_are_multiples_of_the_factor(tmp_path):
    path = tmp_path / "sr.h5"
    y = np.zeros((67, 50), np.float32)
    kernel = np.ones((1, 1), np.float32)
    write_superresolution(path, random((200, 150)), y, block=(200, 150), kernel=kernel, factor=3)
    with h5py.File(path, "r+") as file:
        del file["image"].attrs["block"]
    for ranks in (1, 7, 30):
        grid = read_problem(path, Asked(ranks=ranks)).grid
        assert grid.block_shape[0] % 3 == grid.block_shape[1] % 3 == 0 and len(grid) >= 2 * ranks
    with pytest.raises(ValueError, match=r"--block is \[50, 50\], expected multiples of the"):
        read_problem(path, Asked(block=50))


def put(key, value):
    def edit(file):
        del file[key]
        if value is not None:
            file[key] = value

    return edit


def attribute(name, value):
    return lambda file: file["operator"].attrs.update({name: value})


ENDLESS = np.where(np.arange(15).reshape(3, 5) == 4, np.inf, KERNEL)
BLURS, SR = ("convolution", "superresolution"), ("superresolution",)
WRONG = [
    (BLURS, put("operator/kernel", None), "/operator/kernel is missing, expected a dataset"),
    (BLURS, put("operator/kernel", KERNEL[:2]), "/operator/kernel is float32 [2, 5], expected odd"),
    (BLURS, put("operator/kernel", KERNEL[0]), "/operator/kernel is float32 [5], expected numbers"),
    (BLURS, put("operator/kernel", ENDLESS), "/operator/kernel is float32 [3, 5], expected num"),
    (
        ("convolution", "mask"),
        put("measurements/y", random((26, 22))),
        "/measurements/y is float32 [26, 22], expected float32 [26, 21] (the image's shape)",
    ),
    (SR, put("measurements/y", random((13, 10))), "/measurements/y is float32 [13, 10], expected"),
    (BLURS, put("measurements/y", np.zeros(SHAPE, int)), "/measurements/y is int64 [26, 21], exp"),
    (SR, attribute("factor", 0), "/operator factor is 0, expected an integer >= 1"),
    (SR, lambda f: f["operator"].attrs.pop("factor"), "/operator factor is missing, expected an"),
    (SR, attribute("factor", 4), "/image block is [8, 6], expected multiples of the factor 4"),
    (("mask",), put("operator/mask", None), "/operator/mask is missing, expected a dataset"),
    (("mask",), put("operator/mask", MASK[1:]), "/operator/mask is bool [25, 21], expected bool"),
    (("mask",), put("operator/mask", MASK * 1.0), "/operator/mask is float64 [26, 21], expected"),
    (("mask",), put("operator/mask", MASK & False), "/operator/mask is 0 everywhere, expected mea"),
    (
        ("mask",),
        put("operator/mask", 255 * MASK.astype(np.uint8)),
        "/operator/mask: block 0 holds 255, expected 0 and 1",
    ),
]


@pytest.mark.parametrize(
    ("kind", "edit", "message"),
    [(kind, edit, message) for kinds, edit, message in WRONG for kind in kinds],
)
def test_what_is_wrong(tmp_path, kind, edit, message):
    path = tmp_path / "problem.h5"
    write(path, kind)
    with h5py.File(path, "r+") as file:
        edit(file)
    with pytest.raises(ValueError, match=re.escape(f"{path}: {message}")):
        read_problem(path)


def simulate(capsys, *arguments):
    """Exit code and what was said by ``asyncred simulate`` on a small image."""
    with pytest.raises(SystemExit) as exit:
        main(["simulate", *map(str, arguments), "--size", "48", "--block", "24"])
    return exit.value.code, "".join(capsys.readouterr())


@pytest.mark.parametrize("level", [0, 8])
def test_simulated_measurements(tmp_path, capsys, level):
    """y is A x, and noise of the level that was asked for."""
    kernel = np.load(saved(tmp_path / "k.npy", KERNEL))
    x = None
    for name, expected in (
        (("blur", "--kernel", tmp_path / "k.npy"), lambda x: blur(x, kernel)),
        (("blur", "--sigma", 0.8), lambda x: blur(x, gaussian_kernel(0.8, 3))),
        (("sr", "--factor", 3, "--sigma", 1), lambda x: subsample(x, gaussian_kernel(1, 3), 3)),
        (("inpaint", "--share", 0.5), lambda x: x),
    ):
        path = tmp_path / "p.h5"
        code, said = simulate(capsys, name[0], path, *name[1:], "--noise", level, "--overwrite")
        assert code == 0 and said.startswith(f"wrote {path}: 48x48 image, blocks of 24x24, ")
        assert f"noise of {level}/255\n" in said and said.count("\n") == 1
        with h5py.File(path) as file:
            x, y = file["truth"][:], file["measurements/y"][:]
            seen = file["operator/mask"][:] if name[0] == "inpaint" else np.ones(y.shape, bool)
        error = (y - expected(x))[seen]
        assert seen.mean() == (1 if name[0] != "inpaint" else pytest.approx(0.5, abs=0.04))
        assert error.std() == pytest.approx(level / 255, rel=0.15, abs=1e-6)
        read_problem(path).data.check()


def saved(path, array):
    np.save(path, array)
    return path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sr", "p.h5", "--factor", 5), "--block is 24, expected a multiple of the factor 5"),
        (("sr", "p.h5", "--factor", 0), "--factor: is '0', expected an integer >= 1"),
        (("blur", "p.h5", "--sigma", 0), "--sigma: is '0', expected a number > 0"),
        (("blur", "p.h5", "--noise", -1), "--noise: is '-1', expected a number >= 0"),
        (("blur", "p.h5", "--kernel", "no.npy"), "no.npy: cannot be read"),
        (("blur", "p.h5", "--kernel", "even.npy"), "even.npy: float32 [2, 5], expected finite"),
        (("inpaint", "p.h5", "--share", 1.5), "is '1.5', expected a number > 0, at most 1"),
        (("inpaint", "p.h5", "--share", 1e-9), "--share is 1e-09: no pixel of 2304 was drawn"),
    ],
)
def test_what_is_not_simulated(tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    saved(tmp_path / "even.npy", KERNEL[:2])
    code, said = simulate(capsys, *arguments)
    assert code == 2 and message in said and said.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["even.npy"]
