"""Phase retrieval of raw scans: Paganin's filter, by bands of rows."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import scipy

import h5py

from asyncred.errors import BadImage, InputError
from asyncred.files.problem import Asked, Corrections, band, read_problem
from asyncred.files.problem.phase import PaganinFilter, Propagation
from scans import Scan, scan, write_data_exchange, write_nxtomo

VIEWS, ROWS, COLUMNS = 7, 40, 60
NEAR = Propagation(20.0, 0.02, 60.0, 1.0)
"""Over 2.4 pixels."""
ASKED = Asked(center=(COLUMNS - 1) / 2, corrections=Corrections(zingers=False, phase=NEAR))
PLAIN = replace(ASKED, corrections=Corrections(zingers=False))


def spheres(shape, seed=0):
    """Thickness of some ellipsoids, in pixels [views, rows, columns]."""
    rng = np.random.default_rng(seed)
    views, rows, columns = shape
    r, c = np.mgrid[:rows, :columns]
    t = np.zeros(shape)
    for v in range(views):
        for _ in range(4):
            middle, half = rng.uniform(0.35, 0.65, 2) * (rows, columns), rng.uniform(6, 12, 2)
            q = 1 - ((r - middle[0]) / half[0]) ** 2 - ((c - middle[1]) / half[1]) ** 2
            t[v] += 12 * np.sqrt(np.maximum(q, 0))
    return t


def frames(t, mu=0.015, gain=50000):
    """Counts of transmissions exp(-mu t), without noise."""
    dark = np.full((4, *t.shape[1:]), 100)
    data = 100 + gain * np.exp(-mu * t)
    parts = (data.round().astype(np.uint16), (dark + gain).astype(np.uint16))
    return Scan(t, np.arange(len(t)) * 180 / len(t), *parts, dark.astype(np.uint16))


def filtered(T, length, far=150):
    """All of a frame at once."""
    padded = np.pad(T, far, mode="edge")
    ky, kx = (2 * np.pi * np.fft.fftfreq(n) for n in padded.shape)
    H = 1 / (1 + length**2 * (ky[:, None] ** 2 + kx**2))
    return np.fft.ifft2(np.fft.fft2(padded) * H).real[far:-far, far:-far]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    t = spheres((VIEWS, ROWS, COLUMNS))
    return write_data_exchange(tmp_path_factory.mktemp("phase") / "scan.h5", frames(t))


@pytest.mark.parametrize("distance", [0.0001, 0.02, 0.2])
def test_a_band_of_rows_does_as_the_whole_frame(path, distance):
    phase = replace(NEAR, distance=distance)
    asked = replace(ASKED, corrections=replace(ASKED.corrections, phase=phase))
    found, plain = read_problem(path, asked).data, read_problem(path, PLAIN).data
    T = np.exp(-np.stack([plain.of(k).y(range(VIEWS)) for k in range(ROWS)], axis=1))
    expected = -np.log([filtered(frame, phase.length) for frame in T.astype(float)])
    for k in (0, 3, 20, ROWS - 1):
        y = found.of(k).y(range(VIEWS))
        assert np.abs(y - expected[:, k]).max() < 1e-3 * expected.max()
    assert distance < 0.01 or np.abs(expected + np.log(T)).max() > 0.03 * expected.max()


def test_parts_of_the_views_are_those_of_all(path, monkeypatch):
    """Whatever a rank reads at once."""
    data = read_problem(path, replace(ASKED, weights="counts")).data
    assert data.by_counts
    views = range(VIEWS)
    whole, weights = data.of(9).y(views), data.of(9).weights_of(views)
    monkeypatch.setattr(band, "VALUES", 1000)
    other = data.of(9)
    for part in (range(3), range(3, 4), range(4, VIEWS)):
        some = slice(part.start, part.stop)
        np.testing.assert_array_equal(other.counts.line_integrals(9, part), whole[some])
        np.testing.assert_array_equal(other.weights_of(part), weights[some])


def test_a_homogeneous_object_is_recovered_from_a_fresnel_pattern():
    """Its thickness times mu, from the intensity of a wave that went through it, and on."""
    phase, mu, side = Propagation(20.0, 0.03, 60.0, 1.0), 0.012, 128
    t = scipy.ndimage.gaussian_filter(spheres((1, side, side), 3)[0], 1.5)
    wave = np.exp(-mu * t / 2 * (1 + 1j * phase.ratio))
    f = np.fft.fftfreq(side)
    chirp = np.pi * 12.398419843 / phase.energy * 1e-10 * phase.distance / 1e-12
    wave = np.fft.ifft2(np.fft.fft2(wave) * np.exp(-1j * chirp * (f[:, None] ** 2 + f**2)))
    seen = np.abs(wave) ** 2
    made = PaganinFilter(phase.length, phase.reach, side)
    T = filtered(seen, phase.length)
    error = np.linalg.norm(-np.log(T) - mu * t) / np.linalg.norm(mu * t)
    before = np.linalg.norm(-np.log(seen) - mu * t) / np.linalg.norm(mu * t)
    assert error < 0.05 and error < before / 5
    row = 60
    total = sum(
        made.response(d) * made.spectrum(seen[[row + d]].astype(np.float32))
        for d in range(-phase.reach, phase.reach + 1)
    )
    np.testing.assert_allclose(made.row(total)[0], T[row], atol=1e-3)


def test_the_noise_that_is_left():
    made = PaganinFilter(2.0, 20, 300)
    noise = np.random.default_rng(0).normal(size=(300, 300))
    assert made.noise == pytest.approx(filtered(noise, 2.0).std(), rel=0.03)


def test_rows_without_measurements_are_those_next_to_them(tmp_path):
    counted = frames(spheres((VIEWS, ROWS, COLUMNS)))
    gone = counted.data.copy()
    gone[:, 23] = counted.dark[:1, 23]
    like = counted.data.copy()
    like[:, 23] = like[:, 22]
    a, b = (
        read_problem(
            write_data_exchange(tmp_path / f"{k}.h5", replace(counted, data=data)), ASKED
        ).data
        for k, data in enumerate((gone, like))
    )
    views = range(VIEWS)
    np.testing.assert_array_equal(a.of(19).y(views), b.of(19).y(views))
    with pytest.raises(BadImage, match="row 23"):
        a.of(23).y(views)


@pytest.mark.parametrize("write", [write_data_exchange, write_nxtomo])
def test_the_side_of_a_pixel(tmp_path, write):
    path = write(tmp_path / "scan.h5", scan(offset=0))
    unknown = Corrections(phase=replace(NEAR, pixel=None))
    with pytest.raises(ValueError, match=r"does not tell the side of a pixel, expected --pixel-s"):
        read_problem(path, Asked(corrections=unknown))
    name = "measurement/instrument/detection_system/objective/resolution"
    name = name if write is write_data_exchange else "scan_7/instrument/detector/x_pixel_size"
    with h5py.File(path, "r+") as file:
        file[name] = [2.0e-3]
        file[name].attrs["units"] = "mm"
    data = read_problem(path, Asked(corrections=unknown)).data
    assert data.counts.detector.corrections.phase.pixel == 2.0
    assert f"pixels of 2 um for --phase, by /{name} (--pixel-size)" in data.notes
    told = "phase retrieved by Paganin's filter, 20 keV, 0.02 m, delta/beta 60, pixels of 2 um: it"
    assert any(note.startswith(told) and "reads 3 of 3 rows" in note for note in data.notes)
    with pytest.raises(ValueError, match=r"averages over .* expected at most 16, a quarter"):
        read_problem(path, Asked(corrections=Corrections(phase=replace(NEAR, distance=20.0))))


def told(**values):
    flags = dict.fromkeys(("energy", "distance", "delta_beta", "pixel_size"))
    words = {"zingers": "auto", "rings": "none", "air": "none", "phase": "paganin"}
    return SimpleNamespace(**{**flags, **words, **values})


def test_numbers_that_are_missing():
    numbers = {"energy": 20.0, "distance": 0.02, "delta_beta": 60.0, "pixel_size": 1.0}
    assert Corrections.of(told(**numbers)).phase == NEAR
    assert Corrections.of(told(phase="none")).phase is None
    with pytest.raises(InputError, match=r"--phase paganin: expected --energy, --delta-beta too"):
        Corrections.of(told(distance=0.02))
    with pytest.raises(InputError, match=r"--energy, --pixel-size: of --phase paganin, expected"):
        Corrections.of(told(phase="none", energy=20.0, pixel_size=1.0))
