"""Doubts: every absurd input has its line, with figures and a way out; good files have none."""

import re

import numpy as np
import pytest
from scipy.sparse import random as random_matrix

import h5py

from asyncred.commands.simulate.blur import simulate_blur
from asyncred.commands.simulate.cs import simulate_cs
from asyncred.commands.simulate.ct import simulate_ct
from asyncred.commands.simulate.fan import simulate_fan
from asyncred.commands.simulate.inpaint import simulate_inpaint
from asyncred.commands.simulate.mri import simulate_mri
from asyncred.commands.simulate.sr import simulate_sr
from asyncred.commands.simulate.truth import Scene
from asyncred.files.problem import Asked, read_problem, write_matrix
from asyncred.files.problem.plausible import of_images, of_values, settle, spread
from scans import scan, write_data_exchange

Y = "measurements/y"
PICTURES = ("camera", "discs", "texture")


def picture(name, folder):
    """What ``Scene`` takes: the photograph, a dark object in air, or a fine texture; odd sides."""
    if name == "camera":
        return name
    rows, cols = np.mgrid[:63, :57]
    x = np.where(np.hypot(rows - 30, cols - 24) < 17, 0.6, 0.0)
    x[np.hypot(rows - 36, cols - 30) < 5] = 1
    if name == "texture":
        x = 0.5 + 0.15 * np.random.default_rng(0).standard_normal(x.shape).clip(-2, 2)
    np.save(folder / f"{name}.npy", x.astype(np.float32))
    return str(folder / f"{name}.npy")


def matrix(scene):
    """A sparse A, each of whose rows sums up some pixels."""
    truth = scene.truth()
    A = random_matrix(900, truth.size, 0.02, "csr", np.float32, random_state=0)
    write_matrix(scene.path, truth, A @ truth.ravel(), block=scene.blocks, matrix=A)


MRI = {"coils": 3, "acceleration": 3.0, "center_fraction": 0.1}
FAN = {"short": False, "source": 2.0, "detector": "flat"}
KINDS = {
    "fan": lambda scene: simulate_fan(scene, **FAN, views=80, photons=1e4, attenuation=3.0),
    "ct": lambda scene: simulate_ct(scene, views=40, photons=1e4, attenuation=3.0),
    "mri": lambda scene: simulate_mri(scene, **MRI, noise_snr=30.0),
    "blur": lambda scene: simulate_blur(scene, sigma=1.6, kernel=None, noise=2),
    "sr": lambda scene: simulate_sr(scene, factor=2, sigma=1.0, noise=2),
    "inpaint": lambda scene: simulate_inpaint(scene, share=0.3, noise=5),
    "cs": lambda scene: simulate_cs(scene, ratio=0.5, noise_snr=30.0, store_matrix=False),
    "matrix": matrix,
}
SHORT = {"short": True, "source": 1.0, "detector": "curved"}
NOISY = {
    "fan": lambda scene: simulate_fan(scene, **SHORT, views=40, photons=50, attenuation=3.0),
    "ct": lambda scene: simulate_ct(scene, views=25, photons=50, attenuation=3.0),
    "mri": lambda scene: simulate_mri(scene, **MRI, noise_snr=3.0),
    "blur": lambda scene: simulate_blur(scene, sigma=3.0, kernel=None, noise=60),
    "sr": lambda scene: simulate_sr(scene, factor=4, sigma=2.0, noise=60),
    "inpaint": lambda scene: simulate_inpaint(scene, share=0.05, noise=80),
    "cs": lambda scene: simulate_cs(scene, ratio=0.1, noise_snr=3.0, store_matrix=True),
}


def simulated(path, make, name="camera"):
    image = picture(name, path.parent)
    make(Scene(path, image=image, size=57, block=16, seed=1, overwrite=True))
    return path


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A file of each kind."""
    folder = tmp_path_factory.mktemp("good")
    return {kind: simulated(folder / f"{kind}.h5", make) for kind, make in KINDS.items()}


def doubts(path, **asked):
    problem = read_problem(path, Asked(**asked))
    return problem.doubts(problem.shades)


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("kinds", [KINDS, NOISY], ids=["", "noisy"])
def test_no_doubt_about_good_files(kinds, name, tmp_path):
    for kind, make in kinds.items():
        assert doubts(simulated(tmp_path / f"{kind}.h5", make, name)) == (), kind


def put(file, name, values):
    attributes = dict(file[name].attrs)
    del file[name]
    file[name] = values
    file[name].attrs.update(attributes)


def changed(name, function):
    return lambda file: put(file, name, function(file[name][:]).astype(file[name].dtype))


def y(function):
    return changed(Y, function)


def attributes(group, **values):
    return lambda file: file[group].attrs.update(values)


def both(*changes):
    def change(file):
        for each in changes:
            each(file)

    return change


def middle_in_corner(values):
    return np.fft.ifftshift(values, axes=(-2, -1))


def some_views_lost(values):
    values[5:9], values[20] = 9.2, 0
    return values


def whole_kspace(file):
    """k-space everywhere: what is outside of the mask was measured, but is not to be used."""
    x = file["truth"][:] * file["operator/coils"][:]
    axes = (-2, -1)
    k = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(x, axes), norm="ortho"), axes)
    put(file, Y, k.astype(np.complex64))


KERNEL, MASK, ANGLES = "operator/kernel", "operator/mask", "operator/angles"
zero, constant = y(lambda v: 0 * v), y(lambda v: 0 * v + v.dtype.type(0.3))
negative, bytes_ = y(lambda v: -v), y(lambda v: 255 * v)

ABSURD = [
    *((kind, zero, "is 0 in all") for kind in KINDS),
    *((kind, constant, "is 0.3 in all") for kind in KINDS if kind != "mri"),
    ("ct", changed(ANGLES, np.radians), "40 views span 3.06 degrees, .* units = 'rad'"),
    ("ct", changed(ANGLES, lambda v: 2 * np.radians(v)), "40 views span 6.13 degrees"),
    ("ct", attributes(ANGLES, units="rad"), "do not fit the angles.* if these were in deg"),
    ("ct", y(lambda v: np.rint(1e4 * np.exp(-v))), "whole numbers up to 1.*, as counts are"),
    ("ct", y(lambda v: 1370 * np.exp(-v)), "up to 1.*at the ends .*, as counts are"),
    ("ct", y(lambda v: np.exp(-v)), "about 0.99 at the ends .*, as transmissions are"),
    ("ct", negative, "100 % of what the rays sum up is negative"),
    ("ct", attributes("operator", center=200.0), "at bin 200, off the detector of 83 bins"),
    ("ct", attributes("operator", center=30.0), "bin 30.0, but .* go round bin 41.0"),
    ("ct", y(some_views_lost), r"5 of 40 views .*\(5, 6, 7, 8, 20\) sum up to 0 times"),
    ("blur", changed(KERNEL, lambda k: 255 * k), "kernel sums up to 255, .* divide it"),
    ("sr", changed(KERNEL, lambda k: 9 * k), "kernel sums up to 9, .* divide it"),
    ("blur", changed(KERNEL, lambda k: k / 255), "kernel sums up to 0.00392, .* divide it"),
    ("blur", changed(KERNEL, lambda k: k - k.mean()), "kernel sums up to .* check its signs"),
    ("blur", changed(KERNEL, lambda k: -k), "kernel sums up to -1, .* check its signs"),
    ("blur", changed(KERNEL, np.fft.ifftshift), "44 % of its weight in its corners.*fftshift"),
    ("blur", changed(KERNEL, lambda k: np.eye(11)[:1].T * np.eye(11)[5]), "pixels off its middle"),
    ("blur", negative, "the median, expected 0 to 1.* wrong sign"),
    ("blur", y(lambda v: v + 3), "the median, expected 0 to 1.* range of /image, or --range"),
    ("sr", negative, "wrong sign"),
    ("inpaint", negative, "wrong sign"),
    ("inpaint", changed(MASK, np.logical_not), "calls measured 0 % hold .* the others 100 %"),
    ("mri", changed(MASK, middle_in_corner), "hold 0, and .* the energy lies elsewhere.*fftshift"),
    ("mri", y(middle_in_corner), "half a side off the middle along both .*fftshift of y along"),
    (
        "mri",
        both(y(middle_in_corner), changed(MASK, middle_in_corner)),
        "half a side off the middle along both .*fftshift of y and mask along",
    ),
    ("mri", changed(MASK, np.logical_not), "100 % of the points .* hold 0.* when inverted"),
    ("mri", changed(MASK, np.ones_like), "6. % of the points .* hold 0.* set the mask to 0"),
    ("mri", both(whole_kspace, changed(MASK, middle_in_corner)), "0 % of the points .*fftshift"),
    ("cs", negative, "cosine with A applied to a white image is -[01]"),
    ("matrix", negative, "cosine with A applied to a white image is -[01]"),
]


@pytest.mark.parametrize(("kind", "change", "words"), ABSURD)
def test_absurd_input(kind, change, words, good, tmp_path):
    path = tmp_path / f"{kind}.h5"
    path.write_bytes(good[kind].read_bytes())
    with h5py.File(path, "r+") as file:
        change(file)
    (found,) = doubts(path)
    assert re.search(words, found), found


def test_a_kernel_that_is_meant_to_sum_up_to_another_number(good, tmp_path):
    path = tmp_path / "blur.h5"
    path.write_bytes(good["blur"].read_bytes())
    with h5py.File(path, "r+") as file:
        both(changed(KERNEL, lambda k: 4 * k), y(lambda v: 4 * v))(file)
    assert doubts(path) == ()


def test_a_mask_whose_pixels_are_all_missing(good, tmp_path):
    """Such a file is refused; the line says what may be wrong."""
    path = tmp_path / "inpaint.h5"
    path.write_bytes(good["inpaint"].read_bytes())
    with h5py.File(path, "r+") as file:
        put(file, Y, np.where(file[MASK][:], file[Y][:], np.nan))
        changed(MASK, np.logical_not)(file)
    problem = read_problem(path)
    assert re.search("calls measured 0 %", problem.doubts(problem.shades)[0])
    with pytest.raises(ValueError, match=r"where it was measured \(is the mask inverted\?"):
        problem.data.measured([0])


def test_numbers_that_are_not_finite_are_left_to_who_reads_them(good, tmp_path):
    for kind, path in good.items():
        copy = tmp_path / path.name
        copy.write_bytes(path.read_bytes())
        with h5py.File(copy, "r+") as file:
            put(file, Y, np.full_like(file[Y][:], np.inf))
        with pytest.raises(ValueError, match="NaN or Inf"):
            read_problem(copy).data.check()
        doubts(copy)
        assert kind


def test_images_of_a_stack(good, tmp_path):
    """What is wrong with all is said once; else the first image is named that has something."""
    path = tmp_path / "ct.h5"
    path.write_bytes(good["ct"].read_bytes())
    with h5py.File(path, "r+") as file:
        v = file[Y][:]
        put(file, Y, np.stack([v, v, v, -v]))
        del file["truth"]
    assert [line[:9] for line in doubts(path)] == ["image 3: "]
    assert doubts(path, images=(0, 3)) == ()
    with h5py.File(path, "r+") as file:
        file["operator"].attrs["center"] = 900.0
    off, other = doubts(path)
    assert off.startswith("the rotation axis is at bin 900") and other.startswith("image 3: ")


def test_counts_of_a_detector(tmp_path):
    path = write_data_exchange(tmp_path / "scan.h5", scan())
    assert doubts(path) == ()
    (found,) = doubts(path, center=20.0)
    assert re.search(r"^the rotation axis is said to be at bin 20.0, but .* bin 36", found)


def test_a_bounded_part_of_a_large_file_is_read(good, tmp_path, monkeypatch):
    """One view in two of these: the others are damaged, and HDF5 would refuse to read them."""
    monkeypatch.setattr("asyncred.files.problem.sinogram.VIEWS", 20)
    monkeypatch.setattr("asyncred.files.problem.sinogram.VALUES", 0)
    path = tmp_path / "ct.h5"
    path.write_bytes(good["ct"].read_bytes())
    with h5py.File(path, "r+") as file:
        v = file[Y][:]
        del file[Y]
        stored = file.create_dataset(Y, data=v, chunks=(1, v.shape[1]), fletcher32=True)
        chunks = [stored.id.get_chunk_info(k) for k in range(len(v))]
    with path.open("r+b") as raw:
        for chunk in chunks:
            if chunk.chunk_offset[0] % 2:
                raw.seek(chunk.byte_offset)
                raw.write(b"damaged!")
    assert doubts(path) == ()
    with pytest.raises(ValueError, match="the file is damaged"):
        read_problem(path).data.y(range(2))


def test_strict(tmp_path):
    assert settle(tmp_path, ("one", "two"), strict=False) == ("one", "two")
    assert settle(tmp_path, (), strict=True) == ()
    with pytest.raises(ValueError, match=r": one; and two \(--strict\)"):
        settle(tmp_path, ("one", "two"), strict=True)


def test_no_measurements():
    assert "holds no number" in of_values(np.zeros(0), "y")
    assert "holds no number" in of_values(np.full(3, np.nan), "y")
    assert of_values(np.ones(1), "y") is None


def test_what_is_looked_at():
    assert spread(3, 5) == [0, 1, 2]
    assert spread(9, 3) == [0, 4, 8]
    assert of_images({4: ("a", "b"), 6: ("a",)}, stack=True) == ("a", "image 4: b")
    assert of_images({0: ("a", "b")}, stack=False) == ("a", "b")
