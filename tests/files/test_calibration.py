"""Sensitivities and phase from the centre of k-space, of coils and phases that are known."""

import numpy as np
import pytest

from asyncred.commands.simulate.mri import smooth_coils, smooth_phase
from asyncred.files.pictures import load_image
from asyncred.files.problem.calibration import LARGEST, central, phases, smooth
from asyncred.files.problem.espirit import espirit
from asyncred.grid import BlockGrid

SIZE = (64, 48)
GRID = BlockGrid(SIZE, (20, 17))
ALL = list(range(len(GRID)))


def picture():
    """Surrounded by nothing, as what lies in a scanner is."""
    y, x = np.mgrid[-1 : 1 : SIZE[0] * 1j, -1 : 1 : SIZE[1] * 1j]
    return load_image("camera", size=64)[:, :48] * (x * x + y * y < 0.8)


def transform(images):
    """Centred and orthonormal, by the definition."""
    shifted = np.fft.ifftshift(images, axes=(-2, -1))
    return np.fft.fftshift(np.fft.fft2(shifted, norm="ortho"), axes=(-2, -1))


def joined(blocks):
    whole = np.zeros((*blocks[0].shape[:-2], *SIZE), np.complex64)
    for i, block in blocks.items():
        whole[(..., *GRID.block(i))] = block
    return whole


def middle(k, reach):
    h, w = (n // 2 for n in SIZE)
    return k[..., h - reach : h + reach + 1, w - reach : w + reach + 1].astype(np.complex64)


def test_low_frequencies():
    k = transform(smooth_coils(SIZE, 5, np.random.default_rng(0)) * picture())
    taper = np.zeros(SIZE)
    taper[32 - 6 : 32 + 7, 24 - 6 : 24 + 7] = np.outer(*[np.hanning(15)[1:-1]] * 2)
    low = np.fft.ifft2(np.fft.ifftshift(k * taper, axes=(1, 2)), norm="ortho")
    low = np.fft.fftshift(low, axes=(1, 2))
    found = joined(dict(smooth(middle(k, 6), GRID, ALL)))
    np.testing.assert_allclose(found * np.sqrt(np.prod(SIZE)) ** -1, low, atol=1e-6)


def test_sensitivities_are_the_coils_but_for_the_phase():
    s = smooth_coils(SIZE, 6, np.random.default_rng(1))
    np.testing.assert_allclose((np.abs(s) ** 2).sum(axis=0), 1, rtol=1e-5)
    found = joined(espirit(middle(transform(s * picture()), 8), GRID, ALL))
    square = (np.abs(found) ** 2).sum(axis=0)
    np.testing.assert_allclose(square[square > 0], 1, rtol=1e-5)
    assert square[picture() > 0.05].all() and 0.02 < (square == 0).mean() < 0.3
    alike = np.abs((found.conj() * s).sum(axis=0))  # 1 where equal but for a common phase
    assert np.average(alike, weights=picture() ** 2) > 0.99995  # what is dark tells nothing


def test_little_of_the_object_is_lost_with_a_small_centre():
    """Of patches of 4x4, whose eigenvalues tell object and air apart badly."""
    s = smooth_coils(SIZE, 6, np.random.default_rng(1))
    found = joined(espirit(middle(transform(s * picture()), 3), GRID, ALL))
    assert np.sum(picture()[~found.any(axis=0)] ** 2) < 1e-3 * np.sum(picture() ** 2)


def test_a_centre_that_is_off_is_a_phase():
    """k-space moved by 3 rows and 2 columns: of the same maps, times a wave."""
    s = smooth_coils(SIZE, 4, np.random.default_rng(3))
    k = transform(s * picture())
    there = espirit(middle(k, 8), GRID, [3])[3]
    moved = espirit(middle(np.roll(np.roll(k, 3, 1), 2, 2), 8), GRID, [3], (0, 0))[3]
    assert np.abs(there - moved).max() > 0.1
    at = espirit(middle(k, 8), GRID, [3], (3, 2))[3]
    rows, cols = GRID.block(3)
    y = (np.arange(rows.start, rows.stop) - SIZE[0] // 2)[:, None] * 3 / SIZE[0]
    x = (np.arange(cols.start, cols.stop) - SIZE[1] // 2)[None] * 2 / SIZE[1]
    np.testing.assert_allclose(at, there * np.exp(2j * np.pi * (y + x)), atol=1e-4)


def test_phase_of_the_image():
    rng = np.random.default_rng(2)
    s, phase = smooth_coils(SIZE, 4, rng), smooth_phase(SIZE, rng)
    x = picture() * np.exp(1j * phase)
    coils = {i: s[(slice(None), *GRID.block(i))] for i in ALL}
    P = joined(phases(middle(transform(s * x), 8), coils, GRID, ALL))
    np.testing.assert_allclose(np.abs(P), 1, rtol=1e-5)
    assert np.linalg.norm((x * P.conj()).imag) < 0.15 * np.linalg.norm(x.imag)


def test_nothing_sampled_is_no_phase():
    coils = {0: np.ones((2, 20, 17), np.complex64)}
    P = phases(np.zeros((2, 0, 0), np.complex64), coils, GRID, [0])
    np.testing.assert_array_equal(P[0], np.ones((20, 17)))


def columns(*sampled):
    mask = np.zeros((40, 20), bool)
    mask[:, list(sampled)] = True
    return mask


def points():
    mask = np.zeros((40, 20), bool)
    mask[17:24, 9:12] = mask[3, 3] = True
    return mask


@pytest.mark.parametrize(
    ("mask", "rows", "cols"),
    [
        (columns(8, 9, 10, 11, 12, 17), LARGEST, range(8, 13)),
        (columns(7, 8, 9, 10, 11), LARGEST, range(9, 12)),
        (columns(9, 11), 0, range(0)),
        (np.ones((40, 20), bool), LARGEST, range(1, 20)),
        (columns(8, 9, 10, 11, 12).T[:, :20], 5, range(1, 20)),
        (points(), 7, range(9, 12)),
    ],
)
def test_centre(mask, rows, cols):
    found = central(mask)
    np.testing.assert_array_equal(np.arange(mask.shape[1])[found[1]], cols)
    assert len(np.arange(mask.shape[0])[found[0]]) == rows
    assert mask[found].all()
