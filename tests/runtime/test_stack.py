"""Problems of several images: one result file, an image a row, readable whenever the job dies."""

import os
import re
import signal
import time

import numpy as np
import pytest

import h5py

from asyncred.files.result import ResultFile, create_result, read_result
from asyncred.metrics import snr
from commands import ASYNCRED, THREADS, several, simulate, stacked
from launch import end, find_mpirun, mpirun, start
from results import GRID, by_block, images, layout, record

FLAGS = ("--denoiser", "tv", "--sigma", "5", "--epochs", "20", *THREADS)
T = 3


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """A tomography problem of three slices: the photograph, darker and darker."""
    path = tmp_path_factory.mktemp("stack") / "stack.h5"
    flags = ("--size", "64", "--block", "32", "--views", "30")
    return stacked(simulate("ct", path, *flags), [1 / (k + 1) for k in range(T)])


def run(ranks, problem, output, *flags):
    done = mpirun(ranks, *ASYNCRED, "run", problem, "-o", output, *FLAGS, *flags, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_all(ranks, problem, *runs):
    """Several runs, each an output and flags, one after another by the same ranks."""
    ends = several(
        ranks, *(["run", problem, "-o", output, *FLAGS, *more] for output, *more in runs)
    )
    assert [code for code, _ in ends] == [0] * len(runs), ends


def alone(tmp_path, k):
    return tmp_path / f"{k}.h5", "--images", str(k)


@pytest.mark.ranks
def test_every_slice_is_a_row(stack, tmp_path):
    said = run(2, stack, tmp_path / "r.h5", "--method", "sync", "--ranks-per-image", "2")
    assert "image 2 (3 of 3): not converged: all updates asked for are made" in said
    run_all(2, stack, *((*alone(tmp_path, k), "--method", "sync") for k in range(T)))
    for k in range(T):
        found = read_result(tmp_path / "r.h5", k)
        assert found.completed.tolist() == [True] * T and found.provenance["stopped"] == "budget"
        assert snr(found.truth, found.image) > snr(found.truth, found.start)
        assert found.per_block.sum() == found.per_rank.sum() == found.delays.sum() == 80
        assert len(found.provenance["residual_drift"]) == 1
        single = read_result(tmp_path / f"{k}.h5")
        np.testing.assert_allclose(found.start, single.start, atol=1e-5)  # sums in any order
        np.testing.assert_allclose(found.image, single.image, atol=1e-5)
    with h5py.File(tmp_path / "r.h5") as file:
        assert file["exchange/data"].shape == (T, 64, 64)
        np.testing.assert_array_equal(file["entry/images"], [0, 1, 2])


@pytest.mark.ranks
def test_some_slices_and_a_start_for_each(stack, tmp_path):
    some = (tmp_path / "a.h5", "--images", "1:3")
    run_all(1, stack, some, (tmp_path / "b.h5", *some[1:], "--start", some[0]))
    for row in range(2):
        first, second = (read_result(tmp_path / name, row) for name in ("a.h5", "b.h5"))
        np.testing.assert_array_equal(second.start, first.image)
    with h5py.File(tmp_path / "b.h5") as file:
        np.testing.assert_array_equal(file["entry/images"], [1, 2])
    done = mpirun(1, *ASYNCRED, "show", tmp_path / "b.h5", "--image", "1", timeout=60)
    assert "2 of 2 images complete; row 1: complete" in done.stdout
    assert (tmp_path / "b.png").stat().st_size > 1000


@pytest.mark.ranks
@pytest.mark.parametrize("together", [1, pytest.param(2, marks=pytest.mark.library), 3])
def test_groups_of_ranks_take_images_from_a_queue(together, stack, tmp_path):
    """Every image once; where one rank has an image to itself, bit for bit what it is alone."""
    said = run(4, stack, tmp_path / "r.h5", "--ranks-per-image", str(together))
    assert f"4 ranks, 1 host, {together} rank{'s' * (together > 1)} an image" in said
    # Lines of several ranks may come out as one.
    assert sorted(re.findall(r"image (\d) \(\d of 3\): not converged: all updates", said)) == list(
        "012"
    )
    if together == 1:
        run_all(1, stack, *(alone(tmp_path, k) for k in range(T)))
    for k in range(T):
        found = read_result(tmp_path / "r.h5", k)
        assert found.completed.all() and found.per_block.sum() == found.per_rank.sum() == 80
        assert found.provenance["ranks"] == 4 and len(found.timing) <= together
        if together == 1:
            single = read_result(tmp_path / f"{k}.h5")
            np.testing.assert_array_equal(found.image, single.image)
        else:
            assert snr(found.truth, found.image) > snr(found.truth, found.start)


@pytest.mark.ranks
def test_wrong_input_of_a_later_image_ends_the_job(stack, tmp_path):
    """One line, exit code 2, and what was complete is kept."""
    spoilt = tmp_path / "spoilt.h5"
    spoilt.write_bytes(stack.read_bytes())
    with h5py.File(spoilt, "r+") as file:
        file["measurements/y"][2, 3, 4] = np.nan
    for ranks, flags in ((1, ()), (3, ("--ranks-per-image", "1"))):
        output = tmp_path / f"{ranks}.h5"
        done = mpirun(ranks, *ASYNCRED, "run", spoilt, "-o", output, *FLAGS, *flags, timeout=60)
        assert done.returncode == 2 and "Traceback" not in done.stderr
        lines = [line for line in done.stderr.splitlines() if line.startswith("asyncred: ")]
        assert len(lines) == 1 and "holds 1 NaN or Inf" in lines[0]
        assert not read_result(output).completed[2]
        assert ranks > 1 or read_result(output).completed[:2].all()


@pytest.mark.ranks
@pytest.mark.library
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGUSR1])
def test_a_job_that_dies_leaves_what_was_complete(number, stack, tmp_path):
    output = tmp_path / "r.h5"
    flags = ("--denoiser", "tv", "--sigma", "5", "--epochs", "200")
    job = start([find_mpirun(), "-n", "2", *ASYNCRED, "run", stack, "-o", output, *flags])
    try:
        deadline = time.monotonic() + 60
        while not (output.exists() and read_result(output).complete):
            assert time.monotonic() < deadline and job.poll() is None
            time.sleep(0.02)
        if number == signal.SIGKILL:
            os.killpg(job.pid, number)
        else:
            job.send_signal(number)
        job.communicate(timeout=30)
    finally:
        if job.poll() is None:
            end(job)
    assert job.returncode == (75 if number == signal.SIGUSR1 else -number)
    rows = [read_result(output, k) for k in range(T)]
    completed = rows[0].completed
    assert completed[0] and not completed[2]
    assert snr(rows[0].truth, rows[0].image) > snr(rows[0].truth, rows[0].start)
    if number == signal.SIGKILL:
        assert not rows[2].image.any() and len(rows[2].history) == 0


def test_rows_are_written_in_place(tmp_path):
    """A reader that has the file open sees the row come, and no other row change."""
    path = tmp_path / "r.h5"
    create_result(path, layout(images=range(5, 8), samples=2, drifts=2))
    before = path.stat()
    with h5py.File(path) as reader, ResultFile(path) as file:
        assert reader["entry/complete"][:].tolist() == [0, 0, 0]
        blocks = {name: by_block(image) for name, image in images().items()}
        file.write(1, GRID, record(drifts=[1e-7]), blocks)
    assert path.stat().st_ino == before.st_ino and path.stat().st_size == before.st_size
    found = read_result(path, 1)
    assert found.completed.tolist() == [False, True, False]
    np.testing.assert_array_equal(found.image, images()["data"])
    assert found.provenance["residual_drift"] == [1e-7]
    np.testing.assert_array_equal(found.column("updates"), [16, 48])  # thinned: first and last
    other = read_result(path, 2)
    assert not other.image.any() and len(other.history) == 0 and other.provenance["stopped"] == ""
    with pytest.raises(ValueError, match=r"r\.h5: image 3, expected 0 to 2"):
        read_result(path, 3)


def test_complex_images_come_back(tmp_path):
    blocks = {name: by_block(image * (1 + 2j)) for name, image in images().items()}
    create_result(tmp_path / "r.h5", layout(dtype=np.complex64))
    with ResultFile(tmp_path / "r.h5") as file:
        file.write(0, GRID, record(), blocks)
    found = read_result(tmp_path / "r.h5")
    assert found.image.dtype == np.complex64
    np.testing.assert_array_equal(found.truth, images()["truth"] * np.complex64(1 + 2j))


@pytest.mark.ranks
def test_parts_of_a_stack_are_merged(stack, tmp_path):
    """As from a job array, on several numbers of ranks; a result like others comes of it."""
    whole, parts = tmp_path / "whole.h5", [tmp_path / f"{k}.h5" for k in range(3)]
    run_all(1, stack, (whole,), (parts[1], "--images", "1:3"), (parts[2], "--images", "0"))
    run(2, stack, parts[0], "--images", "2", "--max-time", "0.01", "--report", "0.001")
    for order in (parts, parts[::-1]):
        command = ["merge", tmp_path / "m.h5", *order, "--overwrite"]
        done = mpirun(1, *ASYNCRED, *command, timeout=60)
        assert "3 images of 3 parts, 3 complete" in done.stdout, done.stderr
        for k in range(T):
            expected, found = read_result(whole, k), read_result(tmp_path / "m.h5", k)
            for name in ("image", "start", "truth", "per_block", "delays"):
                np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
            assert len(found.timing) == 1 and found.completed.all()
            np.testing.assert_array_equal(found.column("updates")[-1], 80)
    with h5py.File(tmp_path / "m.h5") as file:
        assert file["exchange/data"] == file["entry/data/data"]
        np.testing.assert_array_equal(file["entry/data/z"], [0, 1, 2])


@pytest.mark.ranks
def test_parts_that_do_not_belong_together(stack, tmp_path):
    parts = tmp_path / "a.h5", tmp_path / "b.h5"
    run_all(1, stack, (parts[0], "--images", "0"), (parts[1], "--images", "1", "--block", "16"))
    ends = several(
        1, ["merge", tmp_path / "m.h5", *parts], ["merge", tmp_path / "m.h5", parts[0], stack]
    )
    words = ("block is", "stack.h5: /entry/images is missing")
    assert all(code == 2 and word in said for (code, said), word in zip(ends, words, strict=True))
    assert not (tmp_path / "m.h5").exists()
