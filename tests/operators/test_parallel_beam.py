"""The tomographic projector: exact transpose, blocks that sum to the whole, the right geometry."""

import numpy as np
import pytest

from asyncred.grid import BlockGrid
from asyncred.operators import ParallelBeam
from asyncred.operators.contract import dot_test
from asyncred.operators.kernels import joseph_forward_numpy
from asyncred.operators.line_integrals import angular_weights

ANGLES = np.array([0, 0.3, np.pi / 4, 1.2, np.pi / 2, 2, 2.9, np.pi, -0.4, 5.0])
GEOMETRIES = [
    {"bins": 70},
    {"bins": 61, "spacing": 1.3, "center": 28.4, "pixel": 0.7},
    {"bins": 150, "spacing": 0.45},
    {"bins": 30, "spacing": 2.4},
    {"bins": 20},  # sees a part of the image only
]


def image(shape, seed=0):
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def unfolded(A, i, r, groups=slice(None)):
    """What a block gives, on all bins."""
    footprint = A.footprint(i)
    first = footprint.first[groups]
    y = np.zeros((len(r), A.length))
    for v in range(len(r)):
        y[v, first[v] : first[v] + footprint.width] = r[v]
    return y


@pytest.fixture(params=[(37, 52, 16, 20), (9, 9, 9, 9), (12, 5, 1, 1)], ids=str)
def grid(request):
    h, w, bh, bw = request.param
    return BlockGrid((h, w), (bh, bw))


@pytest.fixture(params=GEOMETRIES, ids=str)
def geometry(request):
    return dict(request.param)


def test_blocks_sum_to_the_whole_image(grid, geometry):
    A = ParallelBeam(grid, ANGLES, threads=1, **geometry)
    x = image(grid.shape)
    y = sum(unfolded(A, i, A.forward(i, x[grid.block(i)], None)) for i in range(len(grid)))
    bins, center = geometry["bins"], geometry.get("center", (geometry["bins"] - 1) / 2)
    places = (np.arange(bins) - center) * geometry.get("spacing", 1.0)
    expected = joseph_forward_numpy(x, np.cos(ANGLES), np.sin(ANGLES), places)
    expected *= geometry.get("pixel", 1.0)
    assert np.linalg.norm(y - expected) <= 1e-5 * np.linalg.norm(expected)


def test_transpose(grid, geometry):
    """On all views and on some, which are those of all."""
    A = ParallelBeam(grid, ANGLES, threads=1, **geometry)
    found = dot_test(A, grid, list(range(0, len(grid), 7)), np.random.default_rng(1))
    assert found.mismatch < 1e-6 and found.subset == 0


def test_threads_give_the_same(grid):
    one, two = (ParallelBeam(grid, ANGLES, 70, threads=threads) for threads in (1, 2))
    x = image(grid.window(0, 0).shape)
    y = one.forward(0, x, None)
    np.testing.assert_array_equal(two.forward(0, x, None), y)
    np.testing.assert_array_equal(two.adjoint(0, y, None), one.adjoint(0, y, None))


def test_chords_of_a_disc():
    n, radius = 200, 60.0
    grid = BlockGrid((n, n), (n, n))
    rows, cols = np.mgrid[:n, :n] - (n - 1) / 2
    # Pixels at the rim count for the share that lies inside, nearly.
    disc = np.clip(radius - np.hypot(rows, cols) + 0.5, 0, 1).astype(np.float32)
    A = ParallelBeam(grid, np.arange(30) * np.pi / 30, 201, pixel=0.5, threads=1)
    found = unfolded(A, 0, A.forward(0, disc, None))
    place = np.arange(201) - 100
    chord = 2 * np.sqrt(np.maximum(radius**2 - place**2, 0)) * 0.5
    inside = np.abs(place) < radius - 5  # rays along the rim see its steps
    assert np.abs(found - chord)[:, inside].max() <= 0.01 * chord.max()
    assert not found[:, np.abs(place) > radius + 2].any()


def backprojected_disc(angles, spacing=1.0, pixel=1.0):
    """Filtered backprojection of a disc of ones: the distance from its middle, and the image."""
    n = 96
    grid = BlockGrid((n, n), (n, n))
    rows, cols = np.mgrid[:n, :n] - (n - 1) / 2
    distance = np.hypot(rows + 4, cols - 8)
    A = ParallelBeam(grid, angles, int(140 / spacing), spacing=spacing, pixel=pixel, threads=1)
    y = unfolded(A, 0, A.forward(0, (distance < 25).astype(np.float32), None)).astype(np.float32)
    footprint = A.footprint(0)
    columns = footprint.first[:, None] + np.arange(footprint.width)
    halves = [A.filtered(y[part], part) for part in (slice(0, 70), slice(70, None))]
    np.testing.assert_allclose(A.filtered(y), np.concatenate(halves), atol=1e-6)
    return distance, A.adjoint(0, np.take_along_axis(A.filtered(y), columns, axis=1), None)


def ring_means(angles, **geometry):
    distance, found = backprojected_disc(angles, **geometry)
    return found[distance < 20].mean(), found[(distance > 30) & (distance < 38)].mean()


@pytest.mark.parametrize(("spacing", "pixel"), [(1.0, 1.0), (0.5, 1.0), (1.5, 0.3)])
def test_filtered_backprojection_has_the_values_of_the_image(spacing, pixel):
    angles = np.arange(300) * np.pi / 300
    means = ring_means(angles, spacing=spacing, pixel=pixel)
    assert means == pytest.approx((1, 0), abs=0.01)


UNEVEN = {
    "over 360 degrees": np.arange(300) * 2 * np.pi / 300,
    "over 360 degrees, odd": np.arange(301) * 2 * np.pi / 301,
    "180 degrees included": np.linspace(0, np.pi, 301),
    "over 270 degrees": np.linspace(0, 1.5 * np.pi, 300, endpoint=False),
    "golden": np.arange(301) * np.pi * (np.sqrt(5) - 1) / 2,
    "dense in one quarter": np.r_[
        np.linspace(0, np.pi / 2, 250, endpoint=False), np.linspace(np.pi / 2, np.pi, 50)[:-1]
    ],
}


@pytest.mark.parametrize("name", UNEVEN)
def test_filtered_backprojection_weighs_views_by_their_gaps(name):
    angles = UNEVEN[name]
    assert angular_weights(angles).sum() == pytest.approx(np.pi)
    assert ring_means(angles) == pytest.approx((1, 0), abs=0.01)
    even = backprojected_disc(np.arange(300) * np.pi / 300)[1]
    error = np.linalg.norm(backprojected_disc(angles)[1] - even) / np.linalg.norm(even)
    assert error < 0.03  # equal weights: 0.27 over 270 degrees, 0.54 dense in one quarter


def test_a_gap_that_was_not_measured_counts_for_no_view():
    angles = np.arange(80) * np.pi / 120  # a third is missing
    np.testing.assert_allclose(angular_weights(angles)[1:-1], np.pi / 120)
    assert angular_weights(angles).max() < 1.5 * np.pi / 120


def test_agrees_with_astra():
    astra = pytest.importorskip("astra", reason="no ASTRA toolbox: pip install astra-toolbox")
    n, bins, angles = 128, 185, np.arange(45) * np.pi / 45
    x = image((n, n))
    volume = astra.create_vol_geom(n, n)
    projection = astra.create_proj_geom("parallel", 1.0, bins, angles)
    projector = astra.create_projector("linear", projection, volume)
    number, expected = astra.create_sino(x, projector)
    astra.data2d.delete(number)
    astra.projector.delete(projector)
    grid = BlockGrid((n, n), (n, n))
    A = ParallelBeam(grid, angles, bins, threads=1)
    found = unfolded(A, 0, A.forward(0, x, None))
    assert np.linalg.norm(found - expected) <= 5e-4 * np.linalg.norm(expected)


def test_wrong_arguments():
    grid = BlockGrid((4, 4), (4, 4))
    with pytest.raises(ValueError, match="expected"):
        ParallelBeam(grid, np.zeros(0), 4, threads=1)
    A = ParallelBeam(grid, ANGLES, 9, threads=1)
    with pytest.raises(IndexError):
        A.forward(1, image((4, 4)), None)
