"""Sinograms of a disc: what the moments of its views tell of angles, axis and lost views."""

import re

import numpy as np
import pytest

from asyncred.files.problem.moments import fitted, moments_of
from asyncred.files.problem.sinogram import Sinogram, of_scan, step_of

BINS = 96
HALF = np.arange(60) * 3.0


def disc(degrees, *, center=47.5, away=18.0, radius=9.0, noise=0.0):
    """Line integrals [views, bins] of a disc this far from the axis; its diameter's is 2."""
    angles = np.radians(degrees)[:, None]
    place = np.arange(BINS) - center - away * np.cos(angles - 0.4)
    y = 2 * np.sqrt(np.maximum(1 - (place / radius) ** 2, 0))
    rng = np.random.default_rng(0)
    return (y + noise * rng.standard_normal(y.shape)).astype(np.float32)


def doubts(y, degrees, center=47.5, factor=1.0):
    angles = factor * np.radians(degrees)
    return of_scan(Sinogram(y, angles, 1, center, 130.0), angles, (0.0, 1.0))


GOLDEN = np.arange(185) * 111.246117975

GOOD = {
    "half a turn": HALF,
    "backwards": HALF[::-1],
    "a whole turn": 2 * HALF,
    "176 degrees": np.linspace(0, 176, 50),
    "a third of a turn": HALF[:40],
    "30 degrees": HALF[:10],
    "golden angles that are not folded": GOLDEN,
    "views at random": np.sort(180 * np.random.default_rng(1).random(50)),
    "few views": HALF[::10],
    "one view": HALF[:1],
}


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("center", [47.5, 36.0])
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_good_scans(name, center, noise):
    degrees = GOOD[name]
    assert doubts(disc(degrees, center=center, noise=noise), degrees, center) == ()


def test_the_center_of_mass_goes_round_the_axis():
    moments = moments_of(disc(HALF, center=41.3))
    fit = fitted(np.radians(HALF), moments.first, 1)
    assert (BINS - 1) / 2 + fit.constant == pytest.approx(41.3, abs=0.05)
    assert fit.gain == pytest.approx(1, abs=0.05) and moments.orders == (1, 2)
    assert max(moments.unexplained(np.radians(HALF))) < 1e-3
    assert min(moments.unexplained(HALF)) > 0.5


@pytest.mark.parametrize("said", [40.0, 55.0])
def test_an_axis_that_is_elsewhere(said):
    (line,) = doubts(disc(HALF, noise=0.03), HALF, said)
    assert f"said to be at bin {said}" in line and "go round bin 47." in line


@pytest.mark.parametrize("degrees", [HALF, GOLDEN])
def test_angles_of_the_other_unit(degrees):
    y = disc(degrees, noise=0.03)
    (line,) = doubts(y, degrees, factor=180 / np.pi)
    assert "if these were in deg" in line
    turns = np.degrees(np.arange(60) * 0.7)
    (line,) = doubts(disc(turns), turns, factor=np.pi / 180)
    assert "if these were in rad" in line


def test_angles_of_other_views():
    (line,) = doubts(disc(HALF), np.random.default_rng(0).permutation(HALF))
    assert re.search(r"stray \d+\.\d bins from .* in their order", line)


def test_views_that_are_lost():
    y = disc(HALF)
    y[20:30], y[40] = 9.2, 0
    (line,) = doubts(y, HALF)
    assert "11 of 60 views looked at (20, 21, 22, 23, 24, 25, ...) sum up to 0 times" in line


def test_an_object_that_some_views_cut_off():
    """m_0 falls, but from view to view: nothing is lost."""
    y = disc(HALF, away=40, center=57.5)
    assert moments_of(y).odd.any()
    assert doubts(y, HALF, 57.5) == ()


def test_what_has_no_moments():
    assert moments_of(disc(HALF, radius=60)) is None  # wider than the detector
    assert moments_of(disc(HALF[:5])) is None
    rng = np.random.default_rng(0)
    drift = (0.02 * np.linspace(-1, 1, BINS) ** 2 - 0.03).astype(np.float32)
    for y in (0.05 * rng.standard_normal((60, BINS), np.float32), drift + 0 * disc(HALF)):
        assert doubts(y + 0.005 * rng.standard_normal(y.shape, np.float32), HALF, 30.0) == ()


def test_every_so_many_views_are_looked_at():
    assert [step_of(10, 5), step_of(1000, 10**6), step_of(4000, 4000)] == [1, 15, 61]
