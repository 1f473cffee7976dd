"""The problem file: what is written is read; what is wrong is named; a rank reads its own part."""

import dataclasses

import numpy as np
import pytest

import h5py

from asyncred.files.problem import Asked, read_problem, write_block_random
from asyncred.grid import BlockGrid, region_shape

GRID = BlockGrid((13, 17), (6, 6))  # 9 blocks, ragged at both borders
M = 25


def truth():
    return np.random.default_rng(0).random(GRID.shape, dtype=np.float32)


def write(path, **options):
    arguments = {"block": (6, 6), "m": M, "noise_snr": 30.0, "seed": 4, "store_matrix": False}
    write_block_random(path, truth(), **{**arguments, **options})
    return path


@pytest.fixture(params=[False, True], ids=["drawn", "stored"])
def stored(request):
    return request.param


@pytest.fixture
def problem(tmp_path, stored):
    return read_problem(write(tmp_path / "problem.h5", store_matrix=stored))


def test_head(problem, stored):
    assert (problem.grid, problem.kind, problem.data.m) == (GRID, "block_random", M)
    assert problem.data.seed == (None if stored else 4)
    assert problem.images == range(1) and problem.has_truth


def test_measurements_are_A_times_truth_with_noise(tmp_path, stored):
    exact, error = 0.0, 0.0
    problem = read_problem(write(tmp_path / "p.h5", store_matrix=stored, noise_snr=20.0))
    for i in range(len(GRID)):
        a, y = problem.data.matrix(i), problem.data.y(i)
        h, w = region_shape(GRID.block(i))
        assert a.shape == (problem.data.rows(i), h * w) and y.shape == (problem.data.rows(i),)
        assert a.dtype == y.dtype == np.float32 and a.flags.c_contiguous
        Ax = a.astype(np.float64) @ truth()[GRID.block(i)].ravel()
        exact, error = exact + np.sum(Ax**2), error + np.sum((y - Ax) ** 2)
    assert 10 * np.log10(exact / error) == pytest.approx(20, abs=1e-3)


def test_border_blocks_have_their_share_of_measurements(problem):
    assert [problem.data.rows(i) for i in range(9)] == [25, 25, 21, 25, 25, 21, 4, 4, 3]


def test_truth_by_region(problem):
    np.testing.assert_array_equal(problem.truth(np.s_[0:13, 0:17], 0), truth())
    np.testing.assert_array_equal(problem.truth(GRID.block(5), 0), truth()[6:12, 12:17])


def test_operator_of_some_blocks(problem):
    A = problem.data.operator([2, 8], threads=1)
    for i in (2, 8):
        expected = problem.data.matrix(i).T @ problem.data.y(i)
        np.testing.assert_allclose(A.adjoint(i).ravel(), expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(KeyError):
        A.measurements(3)


def test_stored_and_drawn_are_the_same(tmp_path):
    drawn = read_problem(write(tmp_path / "drawn.h5"))
    stored = read_problem(write(tmp_path / "stored.h5", store_matrix=True))
    for i in range(len(GRID)):
        np.testing.assert_array_equal(drawn.data.matrix(i), stored.data.matrix(i))
        np.testing.assert_array_equal(drawn.data.y(i), stored.data.y(i))
    other = read_problem(write(tmp_path / "other.h5", seed=5))
    assert not np.array_equal(other.data.matrix(0), drawn.data.matrix(0))


def replace(file, key, value):
    if key in file:
        del file[key]
    if value is not None:
        file[key] = value


def change(path, function):
    with h5py.File(path, "r+") as file:
        function(file)
    return path


def test_several_images(tmp_path):
    path = write(tmp_path / "problem.h5")
    with h5py.File(path) as file:
        y, x = file["measurements/y"][:], file["truth"][:]

    def stack(file):
        replace(file, "measurements/y", np.stack([y, 2 * y, 3 * y]))
        replace(file, "truth", np.stack([x, x + 1, x + 2]))

    change(path, stack)
    assert read_problem(path).images == range(3)
    problem = read_problem(path, Asked(images=(1, 3)))
    assert problem.images == range(1, 3)
    np.testing.assert_array_equal(problem.data.y(4), 2 * y[4, :25])
    np.testing.assert_array_equal(problem.data.of(2).y(4), 3 * y[4, :25])
    np.testing.assert_array_equal(problem.truth(GRID.block(4), 1), x[GRID.block(4)] + 1)
    with pytest.raises(ValueError, match="--images is 2:4, expected a part of 0:3"):
        read_problem(path, Asked(images=(2, 4)))


def test_one_image_with_a_leading_axis(tmp_path):
    path = write(tmp_path / "problem.h5")
    y = read_problem(path).data.y(0)
    change(path, lambda f: replace(f, "measurements/y", f["measurements/y"][:][None]))
    change(path, lambda f: replace(f, "truth", f["truth"][:][None]))
    problem = read_problem(path)
    np.testing.assert_array_equal(problem.data.y(0), y)
    np.testing.assert_array_equal(problem.truth(GRID.block(0), 0), truth()[:6, :6])


def test_other_blocks_are_not_read(tmp_path):
    """The stored matrices of all blocks but one are damaged: HDF5 would refuse to read them."""
    path, i = write(tmp_path / "problem.h5", store_matrix=True), 4
    with h5py.File(path, "r+") as file:
        a = file["operator/A"][:]
        del file["operator/A"]
        guarded = file.create_dataset(
            "operator/A", data=a, chunks=(1, *a.shape[1:]), fletcher32=True
        )
        chunks = [guarded.id.get_chunk_info(k) for k in range(len(a))]
    with path.open("r+b") as raw:
        for chunk in chunks:
            if chunk.chunk_offset[0] != i:
                raw.seek(chunk.byte_offset)
                raw.write(b"damaged!")
    problem = read_problem(path)
    np.testing.assert_array_equal(problem.data.matrix(i), a[i])
    problem.data.operator([i], threads=1)
    with pytest.raises(ValueError, match=r"problem.h5: /operator/A: .* file is damaged"):
        problem.data.matrix(3)


@pytest.mark.parametrize(("key", "block"), [("measurements/y", 3), ("operator/A", 3)])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite(key, block, value, tmp_path):
    path = write(tmp_path / "problem.h5", store_matrix=True)

    def spoil(file):
        file[key][(block, *(1,) * (file[key].ndim - 1))] = value

    problem = read_problem(change(path, spoil))
    problem.data.operator([0, 1], threads=1)
    with pytest.raises(ValueError, match=rf"problem\.h5: /{key}: block 3 holds.*NaN or Inf"):
        problem.data.operator([2, 3], threads=1)


def attribute(place, **values):
    return lambda file: file[place].attrs.update(values)


def remove(key):
    return lambda file: file.__delitem__(key)


def put(key, value):
    return lambda file: replace(file, key, value)


def no_seed(file):
    del file["operator"].attrs["seed"]


WRONG = {
    "format": (attribute("/", format="other"), "format.*'other'.*expected 'asyncred-problem'"),
    "no format": (lambda file: file.attrs.clear(), "format.*None.*expected 'asyncred-problem'"),
    "version": (attribute("/", version=2), "version.* 2, expected .*, 1"),
    "no image": (remove("image"), "/image is missing, expected a group"),
    "image is data": (put("image", np.zeros(2)), "/image is a dataset, expected a group"),
    "shape": (attribute("image", shape=[13.0, 17.0]), r"/image shape is \[13.0, 17.0\], expected"),
    "shape of three": (attribute("image", shape=[1, 13, 17]), r"shape is \[1, 13, 17\], expected"),
    "block": (attribute("image", block=[6, -6]), r"/image block is \[6, -6\], expected two posi"),
    "large block": (attribute("image", block=[6, 18]), r"block is \[6, 18\], expected 1 to \[13"),
    "no block": (lambda f: f["image"].attrs.clear(), r"/image shape is \[\], expected two"),
    "kind": (attribute("operator", kind="radon"), "kind is 'radon', expected block_random"),
    "no operator": (remove("operator"), "/operator is missing, expected a group"),
    "no A": (no_seed, "/operator has neither a dataset A nor attributes seed and m"),
    "m": (attribute("operator", m=0), "/operator m is 0, expected an integer >= 1"),
    "other m": (
        attribute("operator", m=24),
        r"/measurements/y is .*\[9, 25\], expected .*\[9, 24\]",
    ),
    "seed": (attribute("operator", seed=-1), "/operator seed is -1, expected an integer >= 0"),
    "other seed": (attribute("operator", seed=5), "/operator/check: this NumPy .* draws other"),
    "no check": (remove("operator/check"), "/operator/check is missing, expected a dataset"),
    "A": (put("operator/A", np.zeros((9, 25, 35), np.float32)), r"A is float32 \[9, 25, 35\], exp"),
    "A of blocks": (
        put("operator/A", np.zeros((8, 25, 36), "f4")),
        r"expected float32 \[9, m, 36\]",
    ),
    "A double": (put("operator/A", np.zeros((9, 25, 36))), "A is float64 .*, expected float32"),
    "A flat": (put("operator/A", np.zeros((25, 36), "f4")), r"A is float32 \[25, 36\], expected"),
    "no y": (remove("measurements/y"), "/measurements/y is missing, expected a dataset"),
    "no group": (remove("measurements"), "/measurements/y is missing, expected a dataset"),
    "y": (put("measurements/y", np.zeros((9, 24), "f4")), r"/measurements/y is .*\[9, 24\], expec"),
    "y of integers": (
        put("measurements/y", np.zeros((9, 25), int)),
        "y is int64 .*expected float32",
    ),
    "y complex": (
        put("measurements/y", np.zeros((9, 25), "c8")),
        "is complex64 .*expected float32",
    ),
    "y of four axes": (put("measurements/y", np.zeros((1, 1, 9, 25), "f4")), r"\[1, 1, 9, 25\]"),
    "truth": (put("truth", np.zeros((17, 13), "f4")), r"/truth is \[17, 13\], expected \[13, 17\]"),
    "two truths": (put("truth", np.zeros((2, 13, 17))), r"/truth is \[2, 13, 17\], expected \[13"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_file(name, tmp_path):
    function, words = WRONG[name]
    path = change(write(tmp_path / "problem.h5"), function)
    with pytest.raises(ValueError, match=words) as error:
        read_problem(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_no_truth_is_fine(tmp_path):
    path = change(write(tmp_path / "problem.h5"), remove("truth"))
    assert not read_problem(path).has_truth


def test_reading_changes_nothing(tmp_path):
    path = write(tmp_path / "problem.h5")
    path.chmod(0o444)
    before = path.read_bytes()
    read_problem(path).data.operator([0], threads=1)
    assert path.read_bytes() == before


def test_numbers_too_large_for_half_precision(tmp_path):
    path = write(tmp_path / "problem.h5", store_matrix=True)
    with h5py.File(path, "r+") as file:
        file["operator/A"][2, 1, 1] = 7e4
    data = dataclasses.replace(read_problem(path).data, half=True)
    assert data.operator([1], threads=1).bytes_to_share == 2 * M * 36
    with pytest.raises(ValueError, match=r"problem.h5: /operator/A: block 2 .* 65520, .*--matrix"):
        data.operator([1, 2], threads=1)
