"""Weights of rays that are measured twice: opposite ones sum up to 1."""

import numpy as np
import pytest

from asyncred.operators.fan_weights import redundancy, scan_of

G = np.linspace(-0.4, 0.4, 161)


@pytest.mark.parametrize("span", [np.pi - 0.2, np.pi, np.pi + 0.3, np.pi + 0.8, 4.9])
def test_opposite_rays_of_less_than_a_turn(span):
    angles = 0.7 + np.linspace(0, span, 150)
    scan = scan_of(angles)
    assert not scan.whole and scan.span == pytest.approx(span)
    weights = redundancy(scan, angles, G, 0.4)
    assert weights.min() >= 0 and weights.max() <= 1
    b, g = np.meshgrid(angles - 0.7, G, indexing="ij")
    twice = np.zeros(b.shape, bool)
    for other in (b + np.pi + 2 * g, b - np.pi + 2 * g):
        measured = (other > 1e-9) & (other < span - 1e-9)
        opposite = np.array(
            [
                redundancy(scan, 0.7 + np.atleast_1d(other[k]), np.atleast_1d(-g[k]), 0.4)[0, 0]
                for k in zip(*np.nonzero(measured), strict=True)
            ]
        )
        np.testing.assert_allclose(weights[measured] + opposite, 1, atol=1e-9)
        twice |= measured
    np.testing.assert_array_equal(weights[~twice], 1)


def test_opposite_rays_of_a_whole_turn():
    scan = scan_of(np.arange(90) * np.pi / 45)
    assert scan.whole
    np.testing.assert_array_equal(redundancy(scan, scan.angles, G, 0.3), 0.5)
    np.testing.assert_allclose(scan.weights(), np.pi / 45)


@pytest.mark.parametrize("turned", [1, -1])
def test_a_detector_that_sees_one_side(turned):
    scan = scan_of(np.arange(90) * np.pi / 45)
    g = turned * np.linspace(-0.1, 0.4, 51)
    (weights,) = redundancy(scan, scan.angles, g, 0.3)
    both = np.abs(g) <= 0.1 + 1e-9
    np.testing.assert_allclose(weights[both] + weights[both][::-1], 1)
    np.testing.assert_array_equal(weights[~both], 1)
    (only,) = redundancy(scan, scan.angles, turned * np.linspace(0.01, 0.4, 5), 0.3)
    np.testing.assert_array_equal(only, 1)


def test_the_order_and_the_turn_of_angles_do_not_matter():
    angles = 5.9 + np.linspace(0, 3.7, 300)
    order = np.random.default_rng(0).permutation(300)
    turns = 2 * np.pi * np.random.default_rng(1).integers(-2, 3, 300)
    found = scan_of((angles + turns)[order])
    assert (found.start, found.span) == pytest.approx((5.9, 3.7))
    weights = redundancy(found, found.angles, G, 0.4)
    np.testing.assert_allclose(
        weights, redundancy(scan_of(angles), angles, G, 0.4)[order], atol=1e-9
    )
