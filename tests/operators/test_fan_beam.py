"""The projector of fan beams: exact transpose, blocks that sum to the whole, the right geometry."""

import numpy as np
import pytest

from asyncred.grid import BlockGrid
from asyncred.operators import CurvedDetector, Fan, FanBeam, FlatDetector, ParallelBeam
from asyncred.operators.contract import dot_test

ANGLES = np.array([0, 0.3, np.pi / 4, 1.2, np.pi / 2, 2, 2.9, np.pi, -0.4, 5.0])
FANS = {
    "flat": (Fan(60.0, FlatDetector(0.02), 40.0), 81),
    "flat, axis and detector aside": (Fan(40.0, FlatDetector(0.015), 35.2, 3.1), 100),
    "curved, axis aside": (Fan(90.0, CurvedDetector(0.01), 33.0, -2.0), 70),
    "curved, close": (Fan(34.0, CurvedDetector(0.03), 20.0), 52),
    "far away": (Fan(5000.0, FlatDetector(1 / 5000), 40.0), 81),
    "sees a part of the image only": (Fan(60.0, FlatDetector(0.02), 10.0), 20),
}


def image(shape, seed=0):
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def unfolded(A, i, r):
    """What a block gives, on all bins."""
    footprint = A.footprint(i)
    y = np.zeros((len(r), A.length))
    for v in range(len(r)):
        y[v, footprint.first[v] : footprint.first[v] + footprint.width] = r[v]
    return y


def projected(A, x):
    """A x, block by block, on all bins."""
    grid = A._grid
    return sum(unfolded(A, i, A.forward(i, x[grid.block(i)], None)) for i in range(len(grid)))


def joseph(x, angles, fan, bins):
    """Joseph's integrals in double precision, ray by ray and line by line."""
    h, w = x.shape
    padded = np.pad(x.astype(np.float64), 1)
    places = np.arange(-1, w + 1) - (w - 1) / 2, np.arange(-1, h + 1) - (h - 1) / 2
    tangent, out = fan.tangents(bins), np.zeros((angles.size, bins))
    for v, angle in enumerate(angles):
        c, s = np.cos(angle), np.sin(angle)
        # Rows count downwards: y is turned around.
        source = -fan.aside * c + fan.source * s, fan.aside * s + fan.source * c
        for b, t in enumerate(tangent):
            ray = t * c - s, -(t * s + c)
            along = int(abs(ray[0]) > abs(ray[1]))  # lines are rows: 0, columns: 1
            p, q = ray[along], ray[1 - along]
            for line in range(1, (w if along else h) + 1):
                at = source[along] + (places[1 - along][line] - source[1 - along]) * p / q
                values = padded[:, line] if along else padded[line]
                out[v, b] += np.interp(at, places[along], values, 0, 0) * np.hypot(p, q) / abs(q)
    return out


@pytest.fixture(params=[(37, 52, 16, 20), (9, 9, 9, 9), (12, 5, 1, 1)], ids=str)
def grid(request):
    h, w, bh, bw = request.param
    return BlockGrid((h, w), (bh, bw))


@pytest.fixture(params=FANS.values(), ids=list(FANS))
def geometry(request):
    return request.param


def test_blocks_sum_to_the_whole_image(grid, geometry):
    fan, bins = geometry
    x = image(grid.shape)
    y = projected(FanBeam(grid, ANGLES, bins, fan, threads=1), x)
    whole = projected(FanBeam(BlockGrid(grid.shape, grid.shape), ANGLES, bins, fan, threads=1), x)
    assert np.linalg.norm(y - whole) <= 1e-6 * np.linalg.norm(whole)


@pytest.mark.parametrize("shape", [(9, 13), (21, 6)])
def test_integrals_are_josephs(shape, geometry):
    fan, bins = geometry
    x = image(shape)
    A = FanBeam(BlockGrid(shape, (4, 6)), ANGLES, bins, fan, pixel=0.7, threads=1)
    expected = 0.7 * joseph(x, ANGLES, fan, bins)
    assert np.linalg.norm(projected(A, x) - expected) <= 1e-6 * np.linalg.norm(expected)


def test_transpose(grid, geometry):
    """On all views and on some, which are those of all."""
    fan, bins = geometry
    A = FanBeam(grid, ANGLES, bins, fan, threads=1)
    found = dot_test(A, grid, list(range(0, len(grid), 7)), np.random.default_rng(1))
    assert found.mismatch < 1e-6 and found.subset == 0


def test_threads_give_the_same(grid, geometry):
    fan, bins = geometry
    one, two = (FanBeam(grid, ANGLES, bins, fan, threads=threads) for threads in (1, 2))
    y = one.forward(0, image(grid.window(0, 0).shape), None)
    np.testing.assert_array_equal(two.forward(0, image(grid.window(0, 0).shape), None), y)
    np.testing.assert_array_equal(two.adjoint(0, y, None), one.adjoint(0, y, None))
    np.testing.assert_array_equal(two.backproject(0, y), one.backproject(0, y))


@pytest.mark.parametrize("detector", [FlatDetector, CurvedDetector])
def test_a_source_far_away_has_parallel_beams(detector):
    grid = BlockGrid((40, 30), (20, 30))
    fan = Fan(1e7, detector(1e-7), 31.0)
    x, near = image(grid.shape), ParallelBeam(grid, ANGLES, 60, center=31.0, threads=1)
    found, expected = (projected(A, x) for A in (FanBeam(grid, ANGLES, 60, fan, threads=1), near))
    assert np.linalg.norm(found - expected) <= 1e-4 * np.linalg.norm(expected)


def blobs(n=128):
    """A smooth image."""
    rows, cols = np.mgrid[:n, :n] - (n - 1) / 2
    wide = np.exp(-((rows - 6) ** 2 + (cols + 9) ** 2) / (2 * 19.0**2))
    small = 0.6 * np.exp(-((rows + 22) ** 2 + (cols - 19) ** 2) / (2 * 8.0**2))
    return (wide + small).astype(np.float32)


@pytest.mark.parametrize(("center", "aside"), [(109.5, 0.0), (115.25, 0.0), (104.0, 5.5)])
def test_agrees_with_astra(center, aside):
    """Its projectors of fans have pixels for squares: a smooth image has the same integrals."""
    astra = pytest.importorskip("astra", reason="no ASTRA toolbox: pip install astra-toolbox")
    n, bins, pitch, angles = 128, 220, 1.5, np.arange(45) * 2 * np.pi / 45
    source, behind = 260.0, 130.0
    fan = Fan(source, FlatDetector(pitch / (source + behind)), center, aside)
    foot = center - aside * (source + behind) / source / pitch
    u = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    v = np.stack([-np.sin(angles), np.cos(angles)], axis=1)
    middle = behind * v + ((bins - 1) / 2 - foot) * pitch * u - aside * u
    vectors = np.concatenate([-aside * u - source * v, middle, pitch * u], axis=1)
    volume = astra.create_vol_geom(n, n)
    projection = astra.create_proj_geom("fanflat_vec", bins, vectors)
    projector = astra.create_projector("line_fanflat", projection, volume)
    number, expected = astra.create_sino(blobs(n), projector)
    astra.data2d.delete(number)
    astra.projector.delete(projector)
    found = projected(FanBeam(BlockGrid((n, n), (64, 64)), angles, bins, fan, threads=1), blobs(n))
    assert np.linalg.norm(found - expected) <= 1e-3 * np.linalg.norm(expected)


def backprojected(angles, fan, bins=230, pixel=1.0):
    """Filtered backprojection of the blobs, in blocks, and how far from them it is, relatively."""
    x = blobs()
    A = FanBeam(BlockGrid(x.shape, (64, 128)), angles, bins, fan, pixel=pixel, threads=1)
    y = projected(A, x).astype(np.float32)
    filtered = A.filtered(y)
    halves = [A.filtered(y[part], part) for part in (slice(0, 70), slice(70, None))]
    np.testing.assert_allclose(filtered, np.concatenate(halves), atol=1e-6)
    found = np.empty_like(x)
    for i in range(2):
        columns = A.footprint(i).first[:, None] + np.arange(A.footprint(i).width)
        part = A.backproject(i, np.take_along_axis(filtered, columns, axis=1))
        found[A._grid.block(i)] = part
    return float(np.linalg.norm(found - x) / np.linalg.norm(x))


WHOLE = np.arange(720) * np.pi / 360
SCANS = {
    "a whole turn": WHOLE,
    "two turns": np.arange(1440) * np.pi / 360 + 0.001 * (np.arange(1440) >= 720),
    "half a turn and the fan": np.arange(460) * np.pi / 360,
    "the same, elsewhere and backwards": 2.1 - np.arange(460) * np.pi / 360,
    "290 degrees": np.arange(580) * np.pi / 360,
}


@pytest.mark.parametrize("detector", [FlatDetector, CurvedDetector])
@pytest.mark.parametrize(("center", "aside"), [(114.5, 0.0), (118.2, 0.0), (110.0, -9.0)])
@pytest.mark.parametrize("name", SCANS)
def test_filtered_backprojection_is_the_image(name, center, aside, detector):
    assert backprojected(SCANS[name], Fan(260.0, detector(1 / 260), center, aside)) < 0.01


def test_filtered_backprojection_has_the_unit_of_the_image():
    assert backprojected(WHOLE, Fan(260.0, FlatDetector(0.7 / 260), 164.5), 330, pixel=0.25) < 0.01


def test_a_short_scan_is_as_good_as_a_whole_turn():
    """With views so close that they do not limit either."""
    fan = Fan(260.0, FlatDetector(1 / 260), 114.5)
    whole = backprojected(np.arange(1440) * np.pi / 720, fan)
    short = backprojected(np.arange(910) * np.pi / 720, fan)
    assert 20 * np.log10(short / whole) < 0.5


def test_a_detector_to_one_side_sees_all_over_a_whole_turn():
    """The object at 64 pixels; the detector ends at 40 pixels on one side."""
    one_sided = backprojected(WHOLE, Fan(260.0, FlatDetector(1 / 260), 40.0), 155)
    assert one_sided < 0.2


def test_wrong_arguments():
    grid = BlockGrid((40, 30), (40, 30))
    with pytest.raises(ValueError, match=r"24 pixels away .* more than 25\.7: .* turn through"):
        FanBeam(grid, ANGLES, 9, Fan(24.0, FlatDetector(0.02), 4.0), threads=1)
    with pytest.raises(ValueError, match=r"reaches 100 degrees .* expected less than 90"):
        FanBeam(grid, ANGLES, 21, Fan(60.0, CurvedDetector(np.pi / 18), 10.0), threads=1)
    with pytest.raises(ValueError, match="expected one of each"):
        FanBeam(grid, np.zeros(0), 9, Fan(60.0, FlatDetector(0.02), 4.0), threads=1)
