"""MRI sampling as it is in real files: masks by slice and point, off centres, oversampled readouts,
noise that differs between coils, dead coils."""

import re

import numpy as np
import pytest

import h5py

from asyncred.files.problem import Asked, read_problem, write_mask
from asyncred.files.problem.noise import estimated, whitening
from asyncred.grid import BlockGrid
from asyncred.operators import CartesianMri
from asyncred.operators.cartesian_mri import zero_filled
from asyncred.operators.contract import dot_test
from scanner import columns, header, inverse, scan, transform, write_fastmri

SHAPE = (64, 48)


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "scan.h5"


def points(rng, share):
    """A mask of random points and the centre."""
    y, x = np.ogrid[: SHAPE[0], : SHAPE[1]]
    return (rng.random(SHAPE) < share) | ((abs(y - 32) < 7) & (abs(x - 24) < 7))


def write_own(path, y, **datasets):
    with h5py.File(path, "w") as file:
        file.attrs.update({"format": "asyncred-problem", "version": 1})
        file.create_group("image").attrs["shape"] = y.shape[-2:]
        file.create_group("operator").attrs["kind"] = "cartesian_mri"
        file["measurements/y"] = y.astype(np.complex64)
        for name, values in datasets.items():
            file[name.replace("__", "/")] = values
    return path


def test_points_of_each_slice_are_told_by_zeros(rng, path):
    """Different ones, and different numbers of them: y has one length, the rest of it is 0."""
    k, _ = scan(rng)
    masks = np.array([points(rng, 0.2), points(rng, 0.4)])
    data = read_problem(write_fastmri(path, k * masks[:, None]), Asked(block=24)).data
    most = 2 * masks.sum(axis=(1, 2)).max()
    for z, mask in enumerate(masks):
        one = data.of(z)
        np.testing.assert_array_equal(one.mask, mask)
        y = one.y(range(4))
        assert y.shape == (4, most) and not y[:, 2 * mask.sum() :].any()
        np.testing.assert_array_equal(y[:, : 2 * mask.sum()].view(np.complex64), k[z][:, mask])
        A = one.model([0, 3], threads=1)
        assert A.length == most
        dot_test(A, one.grid, [0, 3], rng).check()


def test_masks_of_points_in_files_of_ours(rng, path):
    """One for each image, or none at all."""
    k, _ = scan(rng, coils=1)
    masks = np.array([points(rng, 0.2), points(rng, 0.4)])
    y = k * masks[:, None]
    told = read_problem(write_own(path, y, operator__mask=masks)).data
    seen = read_problem(write_own(path, y)).data
    for z, mask in enumerate(masks):
        for data in (told.of(z), seen.of(z)):
            np.testing.assert_array_equal(data.mask, mask)
    np.testing.assert_array_equal(told.of(1).y(range(1)), seen.of(1).y(range(1)))


def test_partial_fourier_columns_and_rows(rng, path):
    """/mask calls them sampled; zeros in all coils are none. The readout cannot be cut then."""
    k, _ = scan(rng, height=0.4)
    mask = columns(48)
    k[..., 44:, :] = 0
    k[..., :9] = 0
    file = write_fastmri(path, k * mask, mask=mask, ismrmrd_header=header(64, 48, 32))
    data = read_problem(file).data
    expected = np.tile(mask, (64, 1))
    expected[44:] = expected[:, :9] = False
    np.testing.assert_array_equal(data.mask, expected)
    assert data.grid.shape == SHAPE
    assert any("rows 44 to 63 among them: taken as not measured" in note for note in data.notes)
    assert any("left as it is" in note for note in data.notes)


@pytest.mark.parametrize("offset", [(-5, 4), (0, -9), (32, 24)])
def test_the_centre_is_found(rng, path, offset):
    """The image is the same times a wave: so are the sensitivities, and y fits."""
    k, truth = scan(rng, slices=1)
    off = np.roll(k, offset, axis=(2, 3))
    data = read_problem(write_fastmri(path, off)).data
    found = tuple((o + n // 2) % n - n // 2 for o, n in zip(offset, SHAPE, strict=True))
    assert [(a - b) % n for a, b, n in zip(data.sampling.offset, found, SHAPE, strict=True)] == [
        0,
        0,
    ]
    assert any(
        str([32 + data.sampling.offset[0], 24 + data.sampling.offset[1]]) in n for n in data.notes
    )
    assert data.doubts(None) == ()
    s = data.sensitivities(list(range(len(data.grid))))
    x = sum_of(data, s, off[0])
    inside = truth[0] > 0.1
    assert np.abs(x.imag[inside]).max() < 0.1 and x.real[inside].min() > 0.3


def sum_of(data, s, k):
    """sum_c conj(s_c) F^-1 k_c."""
    images, x = inverse(k), np.zeros(data.grid.shape, np.complex64)
    for i, s_i in s.items():
        region = data.grid.block(i)
        x[region] = (s_i.conj() * images[(slice(None), *region)]).sum(axis=0)
    return x


def test_a_centre_that_is_not_far_brighter_is_left(rng, path):
    k = rng.standard_normal((1, 3, *SHAPE)) + 1j * rng.standard_normal((1, 3, *SHAPE))
    data = read_problem(write_fastmri(path, k)).data
    assert data.sampling.offset == (0, 0) and data.notes == ()


def test_an_off_centre_that_was_not_sampled_is_refused(rng, path):
    k, _ = scan(rng)
    mask = columns(48)
    off = np.roll(k, 12, axis=3) * mask
    with pytest.raises(ValueError, match=r"/kspace has \d+ rows and [0-5] columns sampled about"):
        read_problem(write_fastmri(path, off, mask=mask))


def test_an_oversampled_readout_is_cut(rng, path):
    """To what the middle of the image gives alone, for odd middles too."""
    k, truth = scan(rng, height=0.35, noise=0)
    mask = columns(48)
    rss = truth[:, 16:48]
    file = write_fastmri(
        path, k * mask, mask=mask, ismrmrd_header=header(64, 48, 34), reconstruction_rss=rss
    )
    data = read_problem(file).data
    assert data.grid.shape == (34, 48) and data.mask.shape == (34, 48)
    assert data.grid.block_shape == (17, 24)  # and not 36x36, with remainders
    images = inverse(k[1])[:, 15:49]
    np.testing.assert_allclose(
        data.of(1).kspace(np.s_[1:3], np.s_[:], np.s_[:])[..., mask],
        transform(images)[1:3][..., mask],
        atol=1e-5,
    )
    np.testing.assert_array_equal(data.of(1).reference(), rss[1])
    assert "cut to the 34 rows" in " ".join(data.notes)


def test_a_slice_without_data_is_named(rng, path):
    k, _ = scan(rng, slices=4)
    k[2] = 0
    message = f"{path}: /kspace is 0 everywhere in slice 2, expected sampled columns: --images A:B"
    with pytest.raises(ValueError, match=re.escape(message)):
        read_problem(write_fastmri(path, k))
    assert read_problem(path, Asked(images=(0, 2))).data.coils == 4
    k[2] = 1
    k[2, 1, 30, 20] = np.nan
    data = read_problem(write_fastmri(path, k), Asked(images=(2, 3))).data
    with pytest.raises(ValueError, match=r"/kspace: slice 2: coils 1 to 1 holds 1 NaN"):
        data.y(range(1, 2))


@pytest.mark.parametrize("value", [0, np.nan])
def test_dead_coils_are_left_out(rng, path, value):
    """What is left is as if they had not been there."""
    k, _ = scan(rng)
    lacking = k.copy()
    lacking[:, 1] = value
    data = read_problem(write_fastmri(path, lacking), Asked(block=64)).data
    assert "/kspace: coil 1 is 0 or NaN: left out, as if it was not there" in data.notes
    data.check()
    assert data.doubts(None) == ()
    y = data.y(range(4)).view(np.complex64)
    assert not y[1].any()
    living = [0, 2, 3]
    other = write_fastmri(path.with_name("alone.h5"), k[:, living])
    alone = read_problem(other, Asked(block=64)).data
    np.testing.assert_array_equal(y[living], alone.y(range(3)).view(np.complex64))
    A, B = data.model([0], threads=1), alone.model([0], threads=1)
    x = B.adjoint(0, alone.y(range(3)), None)
    np.testing.assert_allclose(A.adjoint(0, data.y(range(4)), None), x, atol=1e-4)


def mixed(rng, coils):
    """A square root of a covariance of coils whose noise differs and is correlated."""
    L = np.eye(coils) + 0.2 * rng.standard_normal((coils, coils))
    return L * np.logspace(0, 1, coils)[:, None]


def test_whitened_noise_is_white(rng):
    L = mixed(rng, 5)
    Psi = L @ L.conj().T
    W = whitening(Psi, (), 5)
    white = W @ Psi @ W.conj().T
    np.testing.assert_allclose(white, np.median(np.diag(Psi)) * np.eye(5), atol=1e-3 * white.max())
    assert whitening(None, (), 5) is None
    np.testing.assert_allclose(whitening(4 * np.eye(5), (), 5), np.eye(5), atol=1e-6)
    without = whitening(Psi, (2,), 5)
    assert not without[2].any() and not without[:, 2].any()


def test_the_covariance_of_a_file(rng, path):
    """y and the model are whitened alike; what is read of the coils by one rank too."""
    k, truth = scan(rng, slices=1, noise=0)
    s = scan_coils(k)
    L = mixed(rng, 4)
    Psi = (L @ L.conj().T).astype(np.complex64)
    named = {"operator__coils": s, "measurements__noise_covariance": Psi}
    named["operator__mask"] = np.ones(SHAPE, bool)
    data = read_problem(write_own(path, transform(s * truth[0]), **named)).data
    W = data.whitening
    assert "noise_covariance" in data.notes[0]
    y = data.y(range(4)).view(np.complex64)
    expected = np.tensordot(W, transform(s * truth[0]), axes=1).reshape(4, -1)
    np.testing.assert_allclose(y, expected, atol=1e-4 * np.abs(y).max())
    np.testing.assert_array_equal(data.y(range(1, 3)).view(np.complex64), y[1:3])
    blocks = list(range(len(data.grid)))
    A, P = data.model(blocks, threads=1), data.phases(blocks)
    x = {i: (P[i].conj() * truth[0][data.grid.block(i)]).astype(np.complex64) for i in blocks}
    found = sum(A.forward(i, x_i, None) for i, x_i in x.items()).view(np.complex64)
    np.testing.assert_allclose(found, y, atol=1e-4 * np.abs(y).max())


def test_the_start_has_the_unit_of_the_image(rng, path):
    """Fully sampled and whitened, it is the image, though W s is not of length 1."""
    k, truth = scan(rng, slices=1, noise=0)
    s = scan_coils(k)
    named = {"operator__coils": s, "measurements__noise_covariance": np.diag([1.0, 9, 0.04, 1])}
    named["operator__mask"] = np.ones(SHAPE, bool)
    data = read_problem(write_own(path, transform(s * truth[0]), **named), Asked(block=64)).data
    A, P = data.model([0], threads=1), data.phases([0])[0]
    squares = A.squares(0)
    assert squares.min() > 4
    x = zero_filled(A.adjoint(0, data.y(range(4)), None), squares, float(squares.max()))
    np.testing.assert_allclose(P * x, truth[0], atol=1e-3)


def scan_coils(k):
    """Smooth maps of unit length."""
    low = np.exp(1j * np.linspace(0, 1, 4))[:, None, None] * np.ones((1, *k.shape[2:]))
    low = low * (1 + np.linspace(0, 1, k.shape[3]) * np.arange(4)[:, None, None])
    return (low / np.sqrt((abs(low) ** 2).sum(axis=0))).astype(np.complex64)


@pytest.mark.parametrize(
    ("Psi", "message"),
    [
        (np.eye(3), "expected complex64 [4, 4], the covariance of the noise of the coils"),
        (np.triu(np.ones((4, 4))), "is not Hermitian"),
        (np.diag([1.0, 1, 0, 1]), "the noise of coil 2 is 0, expected a positive definite"),
        (np.ones((4, 4)), "its lowest eigenvalue is"),
        (np.full((4, 4), np.nan), "NaN or Inf"),
    ],
)
def test_wrong_covariances(rng, path, Psi, message):
    k, _ = scan(rng, slices=1)
    named = {"operator__coils": scan_coils(k), "measurements__noise_covariance": Psi}
    with pytest.raises(ValueError, match=re.escape(message)):
        read_problem(write_own(path, k[0], **named))


def test_a_noise_scan(rng, path, tmp_path):
    """Of a file of samples, or of k-space; and what it must be."""
    k, _ = scan(rng)
    write_fastmri(path, k)
    L = mixed(rng, 4)
    noise = L @ (rng.standard_normal((4, 5000)) + 1j * rng.standard_normal((4, 5000)))
    other = tmp_path / "noise.h5"
    for name, values in (("noise", noise), ("kspace", noise.reshape(4, 50, 100)[None])):
        with h5py.File(other, "w") as file:
            file[name] = values.astype(np.complex64)
        data = read_problem(path, Asked(noise_scan=other)).data
        white = data.whitening @ L
        white = white @ white.conj().T
        np.testing.assert_allclose(white / white[0, 0].real, np.eye(4), atol=0.1)
        assert f"prewhitened by noise scan {other}, 5000 samples" in data.notes[0]
    for values, message in (
        (noise[:3], "noise of 3 coils, expected that of the 4 of"),
        (noise[:, :6], "has 6 samples of 4 coils, expected at least 8"),
        (noise.real, "expected a scan of noise"),
    ):
        with h5py.File(other, "w") as file:
            file["noise"] = values
        with pytest.raises(ValueError, match=message):
            read_problem(path, Asked(noise_scan=other))


def test_a_noisy_coil_is_seen_at_the_border_of_kspace(rng, path):
    """And weighted; the image keeps its brightness where that coil is the nearest."""
    k, truth = scan(rng, slices=1, coils=5)
    quiet = read_problem(write_fastmri(path, k), Asked(block=64)).data
    assert quiet.covariance is None and quiet.notes == ()
    k[:, 3] += 0.4 * (rng.standard_normal(k[:, 3].shape) + 1j * rng.standard_normal(k[:, 3].shape))
    data = read_problem(write_fastmri(path, k), Asked(block=64)).data
    assert "coil 3 has" in data.notes[0]
    s = data.sensitivities([0])[0]
    square = (abs(s) ** 2).sum(axis=0)
    np.testing.assert_allclose(square[square > 0], 1, rtol=1e-4)
    inside = truth[0] > 0.3
    alike = abs((s.conj() * quiet.sensitivities([0])[0]).sum(axis=0))
    assert np.average(alike[inside]) > 0.99
    W = data.whitening
    assert W[3, 3].real < 0.2 and np.abs(W[0, 0] - 1) < 0.5


def test_noise_is_estimated_by_coil():
    rng = np.random.default_rng(0)
    outer = rng.standard_normal((6, 4000)) + 1j * rng.standard_normal((6, 4000))
    assert estimated(outer)[0] is None
    outer[4] *= 7
    Psi, note = estimated(outer)
    np.testing.assert_allclose(np.diag(Psi).real, [1, 1, 1, 1, 49, 1], rtol=0.2)
    assert "coil 4 has 7" in note


def test_noise_scans_are_for_mri(tmp_path):
    path = tmp_path / "mask.h5"
    ones = np.ones((8, 8), np.float32)
    write_mask(path, ones, ones, block=(8, 8), mask=ones > 0)
    with pytest.raises(ValueError, match="--noise-scan is for MRI, found mask"):
        read_problem(path, Asked(noise_scan=path))


def test_most_points(rng):
    mask = rng.random((6, 5)) < 0.5
    grid = BlockGrid((6, 5), (6, 5))
    s = {0: np.ones((1, 6, 5), np.complex64)}
    with pytest.raises(ValueError, match="most is 1, expected at least"):
        CartesianMri(grid, mask, s, threads=1, most=1)
