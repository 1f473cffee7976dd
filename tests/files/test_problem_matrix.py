"""Sparse matrices in a problem file: what is written is read, what is wrong is named."""

import re
import tracemalloc

import numpy as np
import pytest
import scipy.sparse

import h5py

from asyncred.files.problem import Asked, matrix, read_problem, write_matrix

SHAPE, ROWS, ENTRIES = (12, 10), 700, 8400


@pytest.fixture
def path(tmp_path):
    rng = np.random.default_rng(0)
    A = scipy.sparse.random(ROWS, 120, 0.1, "csr", np.float32, rng, rng.standard_normal)
    truth = rng.random(SHAPE, np.float32)
    path = tmp_path / "matrix.h5"
    A = A.astype(np.float32)
    write_matrix(path, truth, A @ truth.ravel(), block=(6, 4), matrix=A)
    return path


def stored(path):
    with h5py.File(path) as file:
        parts = [file["operator"][name][:] for name in ("data", "indices", "indptr")]
    return scipy.sparse.csr_matrix(tuple(parts), shape=(ROWS, 120)).toarray()


def test_what_was_written(path):
    problem = read_problem(path)
    data = problem.data
    assert (problem.kind, data.rows, data.entries) == ("matrix", ROWS, ENTRIES)
    assert (data.run, data.groups) == (2, 350)
    data.check()
    A = data.model([1, 5], threads=1)
    pixels = np.arange(120).reshape(SHAPE)
    x = np.random.default_rng(1).random((6, 2), np.float32)
    columns = stored(path)[:, pixels[6:12, 8:10].ravel()]
    np.testing.assert_allclose(A.forward(5, x, None).ravel(), columns @ x.ravel(), atol=1e-5)


@pytest.mark.parametrize("entries", [1, 40, 8400])
def test_pieces_of_any_size_give_the_same(path, entries, monkeypatch):
    x = np.random.default_rng(1).random((6, 4), np.float32)
    data = read_problem(path).data
    whole = data.model([3], threads=1).forward(3, x, None)
    monkeypatch.setattr(matrix, "ENTRIES", entries)
    monkeypatch.setattr(matrix, "ROWS", 9)
    np.testing.assert_array_equal(data.model([3], threads=1).forward(3, x, None), whole)


def test_truth_explains_y(path):
    problem = read_problem(path)
    A = problem.data.model(list(range(6)), threads=1)
    y = sum(A.forward(i, problem.truth(problem.grid.block(i), 0), None) for i in range(6))
    np.testing.assert_allclose(y, problem.data.y(range(350)), atol=1e-5)


def test_y_of_groups_is_filled_up(path):
    with h5py.File(path, "r+") as file:
        y = file["measurements/y"][:]
        del file["measurements/y"], file["truth"]
        file["measurements/y"] = np.stack([y, 2 * y])
    data = read_problem(path, Asked(images=(1, 2), ranks=400)).data
    assert (data.run, data.groups) == (1, ROWS)
    data = read_problem(path, Asked(images=(1, 2))).data
    np.testing.assert_array_equal(data.y(range(3, 5)).ravel(), 2 * y[6:10])
    assert data.y(range(4, 4)).shape == (0, 2)


def test_rows_that_are_no_multiple_of_the_run(path):
    odd = ROWS - 1
    with h5py.File(path, "r+") as file:
        operator, y = file["operator"], file["measurements/y"][:odd]
        operator.attrs["shape"] = (odd, 120)
        ends = operator["indptr"][:-1]
        parts = {"data": operator["data"][: ends[-1]], "indices": operator["indices"][: ends[-1]]}
        for name, values in {**parts, "indptr": ends}.items():
            del operator[name]
            operator[name] = values
        del file["measurements/y"]
        file["measurements/y"] = y
    data = read_problem(path).data
    assert (data.run, data.groups) == (2, 350)
    last = data.y(range(349, 350))
    np.testing.assert_array_equal(last, [[y[-1], 0]])
    x = np.ones((6, 4), np.float32)
    assert data.model([0], threads=1).forward(0, x, None)[-1, 1] == 0


def test_fewer_rows_than_groups(tmp_path):
    A = scipy.sparse.identity(120, np.float32, "csr")[:5]
    path = tmp_path / "few.h5"
    truth = np.zeros(SHAPE, np.float32)
    write_matrix(path, truth, np.zeros(5, np.float32), block=(6, 5), matrix=A)
    assert read_problem(path).data.groups == 5


def test_memory_is_a_share_and_a_piece(path, monkeypatch):
    """Of a matrix of 10 MB, a block of 30 needs its thirtieth and the rows in hand."""
    rng, rows, entries = np.random.default_rng(2), 12500, 1_250_000
    with h5py.File(path, "r+") as file:
        operator = file["operator"]
        for name in ("data", "indices", "indptr"):
            del operator[name]
        operator["data"] = np.ones(entries, np.float32)
        operator["indices"] = rng.integers(0, 120, entries).astype(np.int32)
        operator["indptr"] = np.arange(rows + 1) * 100
        operator.attrs["shape"] = (rows, 120)
        del file["measurements/y"]
        file["measurements/y"] = np.zeros(rows, np.float32)
        file["image"].attrs["block"] = (2, 2)
    monkeypatch.setattr(matrix, "ENTRIES", 20_000)
    data = read_problem(path).data
    for blocks in ([4], [0, 7, 29]):
        tracemalloc.start()
        model = data.model(blocks, threads=1)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert model.forward(blocks[0], np.ones((2, 2), np.float32), None).any()
        kept = 8 * entries * len(blocks) / 30
        assert kept < peak < data.bytes_of(len(blocks)) < kept + 1.5e6, (peak, kept)


def replace(name, values):
    def change(file):
        del file[name]
        file[name] = values

    return change


def set_at(name, k, value):
    def change(file):
        file[name][k] = value

    return change


def ends_of(*values):
    return replace("operator/indptr", np.pad(values, (0, ROWS + 1 - len(values)), mode="edge"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda file: file["operator"].attrs.update({"shape": (ROWS, 119)}),
            "/operator shape is [700, 119], expected [rows, 120] (the pixels of [12, 10])",
        ),
        (
            lambda file: file["operator"].attrs.update({"shape": ROWS}),
            "/operator shape is [700], expected two positive integers",
        ),
        (lambda file: file["operator"].pop("indptr"), "/operator/indptr is missing"),
        (
            replace("operator/data", np.zeros(ENTRIES, np.int64)),
            "/operator/data is int64 [8400], expected float32 [entries]",
        ),
        (
            replace("operator/indices", np.zeros(ENTRIES - 1, np.int32)),
            "/operator/indices is int32 [8399], expected integers [8400] (as many as data)",
        ),
        (
            replace("operator/indptr", np.zeros(ROWS, np.int32)),
            "/operator/indptr is int32 [700], expected integers [701] (rows + 1)",
        ),
        (
            set_at("operator/indptr", -1, ENTRIES + 1),
            "/operator/indptr goes from 0 to 8401, expected from 0 to 8400 (the entries of data)",
        ),
        (
            replace("measurements/y", np.zeros(ROWS + 1, np.float32)),
            "/measurements/y is float32 [701], expected float32 [700] (the rows of A)",
        ),
    ],
)
def test_sizes_that_are_wrong(path, change, message):
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(ValueError, match=re.escape(f"{path}: {message}")):
        read_problem(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            set_at("operator/data", 3, np.inf),
            "/operator/data: rows 0 to 699 holds 1 NaN or Inf, expected finite numbers",
        ),
        (
            set_at("operator/indices", 5, 120),
            "/operator/indices: rows 0 to 699 hold 1 outside of the 120 pixels, expected 0 to 119",
        ),
        (
            set_at("operator/indices", 5, -1),
            "/operator/indices: rows 0 to 699 hold 1 outside of the 120 pixels, expected 0 to 119",
        ),
        (
            ends_of(0, 100, 90, ENTRIES),
            "/operator/indptr: row 1 has the entries from 100 to 90, expected a rising part of 0",
        ),
        (
            ends_of(0, ENTRIES + 1, ENTRIES),
            "/operator/indptr: row 0 has the entries from 0 to 8401, expected a rising part of 0",
        ),
        (
            set_at("measurements/y", 699, np.nan),
            "/measurements/y: rows 0 to 699 holds 1 NaN or Inf, expected finite numbers",
        ),
    ],
)
def test_contents_that_are_wrong(path, change, message):
    with h5py.File(path, "r+") as file:
        change(file)
    data = read_problem(path).data
    with pytest.raises(ValueError, match=re.escape(f"{path}: {message}")):
        data.check()
