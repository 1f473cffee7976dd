"""The test of forward models, tested: what is right passes, what is wrong is named."""

import re

import numpy as np
import pytest

from asyncred.grid import BlockGrid
from asyncred.operators import Footprint
from asyncred.operators.contract import DotTest, check_answers, dot_test
from forward import Dense

GRID = BlockGrid((9, 8), (4, 4))


class Complex(Dense):
    """Of x = u + i v: A u - B v, as a complex A has it."""

    dtype = np.complex64

    def __init__(self, grid):
        super().__init__(grid)
        self.other = Dense(grid, seed=1)
        self.other._footprints = self._footprints

    def forward(self, i, x_i, groups):
        return super().forward(i, x_i.real, groups) - self.other.forward(i, x_i.imag, groups)

    def adjoint(self, i, r, groups):
        B = self.other.adjoint(i, r, groups)
        return (super().adjoint(i, r, groups) - 1j * B).astype(np.complex64)


def tried(model):
    return dot_test(model, GRID, [0, 4, 5], np.random.default_rng(0))


@pytest.mark.parametrize("make", [Dense, Complex])
def test_a_right_model_passes(make):
    model = make(GRID)
    assert check_answers(model, GRID, [0, 5]) is model
    found = tried(model)
    found.check()
    assert found.mismatch < 1e-6 and found.subset == 0


def test_a_block_that_nothing_sees_passes():
    model = Dense(GRID)
    model.A = [np.zeros_like(A) for A in model.A]
    assert tried(model) == DotTest(0.0, 0.0)


class Scaled(Dense):
    def adjoint(self, i, r, groups):
        return np.float32(1.0001) * super().adjoint(i, r, groups)


class Shifted(Dense):
    def adjoint(self, i, r, groups):
        return np.roll(super().adjoint(i, r, groups), 1, axis=1)


class Conjugate(Complex):
    def adjoint(self, i, r, groups):
        return super().adjoint(i, r, groups).conj()


class Dark(Dense):
    def forward(self, i, x_i, groups):
        return super().forward(i, x_i, groups) + np.float32(0.1)


class Unseen(Dense):
    def forward(self, i, x_i, groups):
        return 0 * super().forward(i, x_i, groups)


class Unstable(Dense):
    def adjoint(self, i, r, groups):
        return np.float32(np.nan) * super().adjoint(i, r, groups)


class WrongInSubsets(Dense):
    """Right as a whole, and the transpose of itself on a subset of groups."""

    def forward(self, i, x_i, groups):
        return super().forward(i, x_i, groups if groups is None else groups[::-1])

    def adjoint(self, i, r, groups):
        return super().adjoint(i, r, groups if groups is None else groups[::-1])


@pytest.mark.parametrize("wrong", [Scaled, Shifted, Conjugate, Dark, Unseen, Unstable])
def test_an_adjoint_that_is_no_transpose(wrong):
    with pytest.raises(ValueError, match="adjoint is not the transpose of forward"):
        tried(wrong(GRID)).check()


def test_a_scale_shows_in_full():
    assert 5e-5 < tried(Scaled(GRID)).mismatch < 2e-4


def test_a_subset_that_is_no_part_of_all():
    found = tried(WrongInSubsets(GRID))
    assert found.mismatch < 1e-6
    with pytest.raises(ValueError, match="forward of some groups differs from that part"):
        found.check()


def without(name):
    model = Dense(GRID)
    parts = ("dtype", "groups", "length", "footprint", "forward", "adjoint")
    rest = {part: getattr(model, part) for part in parts if part != name}
    return type("Model", (), rest)


def changed(**parts):
    model = Dense(GRID)
    for name, value in parts.items():
        setattr(model, name, value)
    return model


def wide(i, x_i, groups):
    return np.zeros((7 if groups is None else len(groups), 15))


def deaf(i, x_i, groups):
    return np.zeros((7, 15), np.float32)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (without("adjoint"), "has no adjoint"),
        (changed(dtype=np.float64), "dtype is <class 'numpy.float64'>, expected np.float32 or"),
        (changed(groups=0), "groups is 0, expected an integer >= 1"),
        (changed(length=15.0), "length is 15.0, expected an integer >= 1"),
        (
            changed(footprint=lambda i: Footprint(np.zeros(6, np.int64), 15)),
            "footprint of block 3 begins at int64 [6], expected int64 [7]",
        ),
        (
            changed(footprint=lambda i: Footprint(np.full(7, 9), 15)),
            "footprint of block 3 is 15 wide from 9 to 9 on, expected within the 23",
        ),
        (changed(forward=wide), "forward of block 3 is float64 [7, 15], expected float32 [7, 15]"),
        (
            changed(forward=deaf),
            "forward of block 3 in one group is float32 [7, 15], expected float32 [1, 15]",
        ),
        (
            changed(adjoint=lambda i, r, groups: np.zeros(16, np.float32)),
            "adjoint of block 3 is float32 [16], expected float32 [4, 4]",
        ),
        (changed(adjoint=lambda i, r, groups: None), "adjoint of block 3 is a NoneType"),
    ],
)
def test_answers_that_do_not_fit(model, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        check_answers(model, GRID, [3, 5])
