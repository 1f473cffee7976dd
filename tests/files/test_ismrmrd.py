"""Raw data as converters of vendors' files write them, made by the package ismrmrd itself."""

import re
import sys

import numpy as np
import pytest

import h5py

from asyncred.files.problem import Asked, read_problem
from scanner import columns, header, inverse, scan, transform

ROWS, IMAGE, WIDTH, COILS = 64, 32, 40, 4


def write(path, k, mask, *, averages=1, noise=None, echo=ROWS // 2, **flags):
    """Slices, averages and lines in the order of a scan; the echo after so many samples."""
    ismrmrd = pytest.importorskip("ismrmrd")
    file = ismrmrd.Dataset(str(path), "dataset", create_if_needed=True)
    file.write_xml_header(header(ROWS, WIDTH, IMAGE).encode())
    if noise is not None:
        one = ismrmrd.Acquisition.from_array(noise.astype(np.complex64))
        one.set_flag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
        file.append_acquisition(one)
    for average in range(averages):
        for z in range(len(k)):
            for column in np.flatnonzero(mask):
                line = k[z][:, ROWS // 2 - echo :, column]
                line = line + (0.1 if average else -0.1) * (averages > 1)
                one = ismrmrd.Acquisition.from_array(np.ascontiguousarray(line, np.complex64))
                one.idx.kspace_encode_step_1, one.idx.slice, one.idx.average = column, z, average
                one.center_sample = echo
                for name, value in flags.items():
                    if hasattr(one.idx, name):
                        setattr(one.idx, name, value * column)
                    else:
                        one.set_flag(getattr(ismrmrd, name))
                file.append_acquisition(one)
    file.close()
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "raw.h5"


@pytest.fixture
def k():
    found, _ = scan(np.random.default_rng(1), shape=(ROWS, WIDTH), height=0.4)
    return found


def test_slices_and_averages(path, k):
    """A stack; the mean of the averages; the readout cut to the image; maps from the centre."""
    mask = columns(WIDTH, 3)
    problem = read_problem(write(path, k, mask, averages=2), Asked(block=16))
    data = problem.data
    assert problem.kind == "ismrmrd" and problem.grid.shape == (IMAGE, WIDTH)
    assert problem.images == range(2) and data.coils == COILS
    np.testing.assert_array_equal(data.mask, np.tile(mask, (IMAGE, 1)))
    expected = transform(inverse(k[1])[:, 16:48])
    found = data.of(1).kspace(np.s_[:], np.s_[:], np.s_[:])
    np.testing.assert_allclose(found[..., mask], expected[..., mask], atol=1e-5)
    assert "2 averages averaged" in data.notes
    s = data.sensitivities([0])[0]
    square = (abs(s) ** 2).sum(axis=0)
    np.testing.assert_allclose(square[square > 0], 1, rtol=1e-4)


def test_an_asymmetric_echo(path, k):
    """Samples before it are not measured; then the readout is not cut."""
    mask = columns(WIDTH)
    data = read_problem(write(path, k, mask, echo=20)).data
    expected = np.tile(mask, (ROWS, 1))
    expected[: ROWS // 2 - 20] = False
    np.testing.assert_array_equal(data.mask, expected)
    np.testing.assert_array_equal(
        data.y(range(COILS)).view(np.complex64), k[0][:, expected].astype(np.complex64)
    )


def test_noise_acquisitions(path, k):
    rng = np.random.default_rng(2)
    noise = rng.standard_normal((COILS, 512)) + 1j * rng.standard_normal((COILS, 512))
    noise[2] *= 10
    data = read_problem(write(path, k, columns(WIDTH), noise=noise)).data
    W = data.whitening
    assert 8 < abs(W[0, 0]) / abs(W[2, 2]) < 12
    assert any("512 samples of noise in the file" in note for note in data.notes)
    scan_only = read_problem(path, Asked(noise_scan=path)).data
    np.testing.assert_allclose(scan_only.whitening, W, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"kspace_encode_step_2": 1}, "a three-dimensional encoding, expected slices"),
        ({"ACQ_IS_REVERSE": 1}, "reversed readouts, as echo-planar imaging has"),
        ({"ACQ_IS_NAVIGATION_DATA": 1}, "has no readout of an image"),
    ],
)
def test_what_is_refused(path, k, flags, message):
    with pytest.raises(ValueError, match=re.escape(f"{path}: /dataset/data")) as error:
        read_problem(write(path, k[:1], columns(WIDTH), **flags))
    assert message in str(error.value)


def test_other_trajectories(path, k):
    write(path, k[:1], columns(WIDTH))
    with h5py.File(path, "r+") as file:
        xml = file["dataset/xml"][0].decode().replace("cartesian", "radial")
        file["dataset/xml"][0] = xml
    with pytest.raises(ValueError, match=r"/dataset/xml trajectory is 'radial', expected"):
        read_problem(path)


def test_limits_that_do_not_fit(path, k):
    write(path, k[:1], columns(WIDTH))
    with h5py.File(path, "r+") as file:
        xml = file["dataset/xml"][0].decode().replace("<center>20<", "<center>3<")
        file["dataset/xml"][0] = xml
    with pytest.raises(ValueError, match=r"readout \d+ lies at column \d+, rows 0 to 63, expected"):
        read_problem(path)


def test_without_the_package(path, k, monkeypatch):
    write(path, k[:1], columns(WIDTH))
    monkeypatch.setitem(sys.modules, "ismrmrd", None)
    message = f"{path}: raw data of ISMRMRD, expected the package ismrmrd to read it: pip install"
    with pytest.raises(ValueError, match=re.escape(message)):
        read_problem(path)
