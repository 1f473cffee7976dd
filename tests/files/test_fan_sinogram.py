"""Sinograms of discs in fan beams: what is doubted, and that good scans are not."""

import re

import numpy as np
import pytest

from asyncred.files.problem.fan_sinogram import FanSinogram, of_fan
from asyncred.files.problem.sinogram import Sinogram
from asyncred.operators import CurvedDetector, Fan, FlatDetector

BINS, SHAPE = 120, (80, 80)
WHOLE = np.arange(64) * 360 / 64
SHORT = np.arange(64) * 3.7


def disc(degrees, fan, *, at=(14.0, -9.0), radius=12.0, bins=BINS):
    """Line integrals [views, bins] of a disc; its diameter's is 2."""
    angles = np.radians(degrees)[:, None]
    c, s, t = np.cos(angles), np.sin(angles), fan.tangents(bins)
    along, across = at[0] * c + at[1] * s + fan.aside, at[1] * c - at[0] * s + fan.source
    distance = (along - t * across) / np.sqrt(1 + t**2)
    return (2 * np.sqrt(np.maximum(1 - (distance / radius) ** 2, 0))).astype(np.float32)


def fan(step=0.01, center=59.5, aside=0.0, source=100.0, detector=FlatDetector):
    return Fan(source, detector(step), center, aside)


def doubts(y, degrees, said, factor=1.0):
    angles = factor * np.radians(degrees)
    return of_fan(
        FanSinogram(Sinogram(y, angles, 1, said.center, 120.0), angles, said, SHAPE), (0.0, 1.0)
    )


@pytest.mark.parametrize("detector", [FlatDetector, CurvedDetector])
@pytest.mark.parametrize(("center", "aside"), [(59.5, 0.0), (52.0, 0.0), (63.0, -6.0)])
@pytest.mark.parametrize("degrees", [WHOLE, SHORT, -SHORT, WHOLE[::4], 137.5 * np.arange(200)])
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_good_scans(degrees, center, aside, detector, noise):
    good = fan(center=center, aside=aside, detector=detector)
    for at, radius in (((14.0, -9.0), 12.0), ((0.0, 0.0), 35.0), ((25.0, 20.0), 4.0)):
        y = disc(degrees, good, at=at, radius=radius)
        y += np.float32(noise) * np.random.default_rng(0).standard_normal(y.shape, np.float32)
        assert doubts(y, degrees, good) == ()


def test_a_source_close_by():
    close = fan(0.02, source=62.0)
    assert doubts(disc(WHOLE, close, at=(24, 18)), WHOLE, close) == ()


def test_a_region_of_interest_is_no_wrong_axis():
    """An object that is cut off at one end says nothing of the axis."""
    narrow = fan(center=20.0)
    (found,) = doubts(disc(WHOLE, narrow, radius=30.0), WHOLE, narrow)
    assert "wider than the fan" in found


Y = disc(WHOLE, fan())
LOST = Y.copy()
LOST[5:8], LOST[20] = 9.2, 0
DOUBTS = {
    "lost views": (
        LOST,
        WHOLE,
        fan(),
        1,
        "4 of 64 views looked at (5, 6, 7, 20) sum up to 0 times",
    ),
    "radians called degrees": (Y, WHOLE, fan(), np.pi / 180, "span 6.19 degrees"),
    "axis off the detector": (Y, WHOLE, fan(center=-20.0), 1, "off the detector of 120 bins"),
    "another axis": (
        Y,
        WHOLE,
        fan(center=66.0),
        1,
        "at bin 66.0, but the views of a whole turn lie about bin 59.",
    ),
    "half a turn": (
        disc(np.arange(60) * 3.0, fan()),
        np.arange(60) * 3.0,
        fan(),
        1,
        "span 177 degrees, expected 227.2 (half a turn and the fan angle) or 360",
    ),
    "object wider than the fan": (
        disc(WHOLE, fan(), radius=70.0, at=(0, 0))[:, 30:90],
        WHOLE,
        fan(center=29.5),
        1,
        "the object is wider than the fan, which sees a circle of 56.59 pixels",
    ),
    "object wider than the image": (
        disc(WHOLE, fan(0.02), radius=70.0, at=(0, 0)),
        WHOLE,
        fan(0.02),
        1,
        "the object is wider than the image of 80x80 pixels",
    ),
    "counts": (np.rint(1e4 * np.exp(-Y)), WHOLE, fan(), 1, "as counts are"),
    "nothing": (0 * Y, WHOLE, fan(), 1, "is 0 in all"),
    "the wrong sign": (-Y, WHOLE, fan(), 1, "100 % of what the rays sum up is negative"),
}


@pytest.mark.parametrize("name", DOUBTS)
def test_doubts(name):
    y, degrees, said, factor, words = DOUBTS[name]
    (found,) = doubts(y.astype(np.float32), degrees, said, factor)
    assert re.search(re.escape(words), found), found


def test_what_is_not_finite_is_left_to_those_who_read_it():
    y = Y.copy()
    y[3, 4] = np.nan
    assert doubts(y, WHOLE, fan()) == ()
