"""The native kernels against the same formula in float64 numpy."""

import ctypes
import os
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest

from asyncred.operators.kernels import (
    dense_gradient,
    dense_gradient_numpy,
    dense_gradient_rows,
    dense_gradient_rows_numpy,
    halved,
)

SHAPES = [(1, 1), (1, 7), (3, 5), (4, 16), (5, 16), (8, 64), (37, 129), (121, 100), (640, 1023)]


def problem(m, n, seed=0):
    """A (m, n), x (n,), y (m,) and a result that must be overwritten, all float32."""
    rng = np.random.default_rng([seed, m, n])
    A = rng.standard_normal((m, n), dtype=np.float32)
    x = rng.standard_normal(n, dtype=np.float32)
    y = rng.standard_normal(m, dtype=np.float32)
    return A, x, y, np.full(n, np.nan, np.float32)


def float64(*arrays):
    return (array.astype(np.float64) for array in arrays)


def close(actual, expected):
    return np.linalg.norm(actual - expected) <= 1e-5 * np.linalg.norm(expected)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize(("m", "n"), SHAPES)
def test_dense_gradient(m, n, threads):
    A, x, y, out = problem(m, n)
    dense_gradient(A, x, y, out, threads)
    assert close(out, dense_gradient_numpy(*float64(A, x, y)))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("w", [1, 2, 4, 9])
@pytest.mark.parametrize(("m", "n"), SHAPES)
def test_dense_gradient_rows(m, n, w, threads):
    A, x, y, out = problem(m, n)
    rows = np.random.default_rng(w).integers(m, size=w)
    dense_gradient_rows(A, x, y, rows, m / w, out, threads)
    assert close(out, dense_gradient_rows_numpy(*float64(A, x, y), rows, m / w))


def test_all_rows_in_any_order_are_the_full_gradient():
    A, x, y, out = problem(37, 129)
    rows = np.random.default_rng(1).permutation(37)
    dense_gradient_rows(A, x, y, rows, 1.0, out, 1)
    assert close(out, dense_gradient_numpy(*float64(A, x, y)))


def test_no_rows_give_zero():
    A, x, y, out = problem(3, 5)
    dense_gradient_rows(A, x, y, np.empty(0, np.int64), 2.0, out, 2)
    assert not out.any()


@pytest.mark.parametrize("threads", [1, 2])
def test_same_threads_same_bits(threads):
    A, x, y, first = problem(121, 100)
    second = np.empty_like(first)
    dense_gradient(A, x, y, first, threads)
    dense_gradient(A, x, y, second, threads)
    assert np.array_equal(first, second)


def test_result_may_overwrite_the_argument():
    A, x, y, out = problem(37, 129)
    dense_gradient(A, x, y, out, 1)
    dense_gradient(A, x, y, x, 1)
    assert np.array_equal(x, out)


def test_read_only_arguments():
    A, x, y, out = problem(3, 5)
    for array in (A, x, y):
        array.flags.writeable = False
    dense_gradient(A, x, y, out, 1)
    assert np.isfinite(out).all()
    out.flags.writeable = False
    with pytest.raises(TypeError):
        dense_gradient(A, x, y, out, 1)


@pytest.mark.parametrize("name", ["x", "y", "out"])
def test_wrong_length(name):
    A, x, y, out = problem(3, 5)
    vectors = {"x": x, "y": y, "out": out, name: np.zeros(4, np.float32)}
    with pytest.raises(ValueError, match=f"{name} has 4 elements"):
        dense_gradient(A, **vectors, threads=1)
    with pytest.raises(ValueError, match=f"{name} has 4 elements"):
        dense_gradient_rows(A, **vectors, rows=np.array([0]), scale=1.0, threads=1)


@pytest.mark.parametrize("row", [-1, 3, 2**62])
def test_row_out_of_range(row):
    A, x, y, out = problem(3, 5)
    with pytest.raises(IndexError, match=rf"rows\[1\] is {row}, but A has 3 rows"):
        dense_gradient_rows(A, x, y, np.array([0, row]), 1.0, out, 1)


@pytest.mark.parametrize("threads", [0, -2])
def test_threads_below_one(threads):
    A, x, y, out = problem(3, 5)
    with pytest.raises(ValueError, match="threads"):
        dense_gradient(A, x, y, out, threads)


def test_nothing_is_converted():
    A, x, y, out = problem(3, 5)
    with pytest.raises(TypeError):
        dense_gradient(A.astype(np.float64), x, y, out, 1)
    with pytest.raises(TypeError):
        dense_gradient(np.asfortranarray(A), x, y, out, 1)
    with pytest.raises(TypeError):
        dense_gradient(A, x, y[:, np.newaxis], out, 1)
    with pytest.raises(TypeError):
        dense_gradient_rows(A, x, y, np.array([0], np.int32), 1.0, out, 1)


def test_rounding_to_half_precision():
    """As numpy does it; subnormal numbers, zeros and the largest number among them."""
    rng = np.random.default_rng(0)
    A = rng.standard_normal((300, 71)) * 2.0 ** rng.integers(-32, 12, (300, 71))
    A[0, :5] = 0, -0.0, 65519.9, -65504, 2.0**-25
    A = A.astype(np.float32)
    assert np.array_equal(halved(A).view(np.uint16), A.astype(np.float16).view(np.uint16))
    A[7, 7] = -65520
    with pytest.raises(ValueError, match="65520"):
        halved(A)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize(("m", "n"), SHAPES)
def test_half_precision(m, n, threads):
    """What the same numbers give in single precision; subnormal ones and zeros among them."""
    A, x, y, out = problem(m, n)
    half = (A * np.float32(2) ** np.random.default_rng(m).integers(-24, 4, A.shape)).astype("f2")
    dense_gradient(half.view(np.uint16), x, y, out, threads)
    assert close(out, dense_gradient_numpy(*float64(half, x, y)))
    rows = np.random.default_rng(1).integers(m, size=5)
    dense_gradient_rows(half.view(np.uint16), x, y, rows, m / 5, out, threads)
    assert close(out, dense_gradient_rows_numpy(*float64(half, x, y), rows, m / 5))


KERNELS = Path(__file__).parents[2] / "src" / "kernels"
NARROW = """
#include "dense_gradient.hpp"
extern "C" void gradient(const asyncred::Rows *data, const float *x, float *out, int threads) {
    asyncred::dense_gradient(*data, x, nullptr, data->m, 1, out, threads);
}
"""


class Rows(ctypes.Structure):
    """``Rows`` of dense_gradient.hpp."""

    _fields_ = [(name, ctypes.c_void_p) for name in ("A", "half", "y")]
    _fields_ += [(name, ctypes.c_int64) for name in ("m", "n")]


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    """The data gradient as it is built for processors without AVX-512."""
    folder = tmp_path_factory.mktemp("narrow")
    (folder / "narrow.cpp").write_text(NARROW)
    compiler = shlex.split(os.environ.get("CXX", "c++"))
    flags = ("-std=c++17", "-O2", "-fPIC", "-shared", "-DASYNCRED_NARROW", "-I", KERNELS)
    sources, library = (folder / "narrow.cpp", KERNELS / "dense_gradient.cpp"), folder / "narrow.so"
    subprocess.run([*compiler, *flags, *sources, "-o", library], check=True, timeout=120)
    return ctypes.CDLL(str(library)).gradient


@pytest.mark.parametrize("kind", ["single", "half"])
@pytest.mark.parametrize(("m", "n"), SHAPES)
def test_processors_without_avx512(narrow, m, n, kind):
    A, x, y, out = problem(m, n)
    A = A.astype("f2") if kind == "half" else A
    places = (None, A.ctypes.data) if kind == "half" else (A.ctypes.data, None)
    data = Rows(*places, y.ctypes.data, m, n)
    narrow(ctypes.byref(data), ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(out.ctypes.data), 2)
    assert close(out, dense_gradient_numpy(*float64(A, x, y)))
