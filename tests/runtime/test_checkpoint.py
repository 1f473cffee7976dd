"""Runs that are cut and go on: on other numbers of ranks, bit for bit on one, after any death."""

import os
import signal
import time

import numpy as np
import pytest

import h5py

from asyncred.files.checkpoint import VERSION, previous
from asyncred.files.checkpoint_reading import read_past
from asyncred.files.problem import read_problem
from asyncred.files.result import read_result
from asyncred.metrics import snr
from commands import ASYNCRED, THREADS, refused, several, stacked
from launch import end, find_mpirun, mpirun, ranks_of, start

TV = ("--denoiser", "tv", "--sigma", "5", *THREADS)
pytestmark = pytest.mark.ranks


def run(ranks, problem, output, *flags, code=0):
    command = [*ASYNCRED, "run", problem, "-o", output, *TV, *flags]
    done = mpirun(ranks, *command, timeout=120)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


WAYS = [
    (),
    ("--order", "uniform"),
    ("--minibatch", "10", "--decay", "3"),
    ("--method", "bc", "--step", "safe"),
    ("--method", "sync"),
    ("--method", "gm", "--updates", "64"),
    ("--update", "proximal", "--momentum", "0.3", "--draft", "tv"),
]


@pytest.mark.parametrize("kind", ["ct", "cs"])
def test_one_rank_goes_on_bit_for_bit(kind, ct, cs, tmp_path):
    problem, commands = {"ct": ct, "cs": cs}[kind], []
    # 8 updates of ct: two and a half legs, cut inside one
    refresh = ("--refresh", "0.5") if kind == "ct" else ()
    for k, flags in enumerate(WAYS):
        kept = tmp_path / f"c{k}.h5"
        half, whole = ("32", "64") if "gm" in flags else ("21", "42")
        commands += [
            ["run", problem, "-o", tmp_path / name, *TV, *flags, *refresh, *more]
            for name, more in (
                (f"whole{k}.h5", ("--updates", whole)),
                (f"half{k}.h5", ("--updates", half, "--checkpoint", kept)),
                (f"rest{k}.h5", ("--updates", whole, "--resume", kept)),
            )
        ]
    ends = several(1, *commands)
    assert [code for code, _ in ends] == [0] * len(commands), ends
    for k, flags in enumerate(WAYS):
        expected, found = (read_result(tmp_path / f"{name}{k}.h5") for name in ("whole", "rest"))
        for name in ("image", "per_block", "start"):
            same = getattr(found, name), getattr(expected, name)
            np.testing.assert_array_equal(*same, err_msg=" ".join(flags))
        assert found.column("updates")[-1] == found.delays.sum() == (64 if "gm" in flags else 42)


@pytest.fixture(scope="module", params=[pytest.param("ct", marks=pytest.mark.library), "cs"])
def cut(request, tmp_path_factory):
    """A problem, the checkpoint of a run on four ranks that its time limit cut, the uncut SNR."""
    problem, folder = request.getfixturevalue(request.param), tmp_path_factory.mktemp("cut")
    kept, output, uncut = (folder / name for name in ("c.h5", "r.h5", "uncut.h5"))
    seconds = {"ct": "1", "cs": "0.3"}[request.param]
    limits = ("--max-time", seconds, "--epochs", "100", "--report", "0.05")
    said = run(4, problem, output, *limits, "--tau", "0.2", "--checkpoint", kept, code=75)
    assert f"wrote {kept}: --resume goes on from it" in said
    assert not read_result(output).complete  # to be looked at
    run(2, problem, uncut, "--epochs", "100", "--tau", "0.2")
    expected = read_result(uncut)
    return problem, kept, snr(expected.truth, expected.image)


@pytest.mark.parametrize("ranks", [1, 3])
def test_any_number_of_ranks_goes_on(ranks, cut, tmp_path):
    """The parameters are the checkpoint's."""
    problem, kept, uncut = cut
    output = tmp_path / "r.h5"
    grid = read_problem(problem).grid
    with h5py.File(kept) as file:
        sha = file.attrs["input_sha256"]
    past = read_past(kept, grid=grid, image=0, input_sha256=sha, dtype=np.float32)
    assert 0 < past.updates == past.delays.sum() < 16 * 100
    command = ["run", "--resume", kept, "--max-time", "60", "-o", output]
    # Its last state goes elsewhere: the others begin with this one too.
    done = mpirun(ranks, *ASYNCRED, *command, "--checkpoint", tmp_path / "c.h5", timeout=120)
    assert done.returncode == 0, done.stderr
    found = read_result(output)
    assert found.complete and found.column("updates")[-1] == found.per_block.sum() == 16 * 100
    assert (np.diff(found.column("seconds")) >= 0).all()
    assert found.column("updates")[0] < past.updates  # the history is that of both
    assert abs(snr(found.truth, found.image) - uncut) < 0.05


@pytest.mark.library
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_puts_the_run_down(number, ct, tmp_path):
    output, kept = tmp_path / "r.h5", tmp_path / "c.h5"
    command = ["run", ct, "-o", output, *TV, "--epochs", "100000", "--checkpoint", kept]
    job = start([find_mpirun(), "-n", "2", *ASYNCRED, *command, "--checkpoint-every", "0.002"])
    try:
        wait(previous(kept).exists, job)
        os.kill(ranks_of(output)[1], number)  # not every mpirun passes both on
        said, _ = job.communicate(timeout=30)
    finally:
        if job.poll() is None:
            end(job)
    assert job.returncode == 75 and "not converged: it was asked to stop" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.h5", "c.h5.previous", "r.h5"]


def wait(condition, job):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline and job.poll() is None, job.communicate()
        time.sleep(0.01)


@pytest.mark.parametrize("attempt", [pytest.param(0, marks=pytest.mark.library), 1])
def test_a_killed_run_goes_on(attempt, ct, tmp_path):
    """SIGKILL to all ranks at once, at a moment of its own; the last checkpoint is whole."""
    kept, output = tmp_path / "c.h5", tmp_path / "r.h5"
    flags = ("--epochs", "100000", "--checkpoint", kept, "--checkpoint-every", "0.0005")
    command = ["run", ct, "-o", output, *TV, *flags]
    job = start([find_mpirun(), "-n", "3", *ASYNCRED, *command])
    try:
        wait(previous(kept).exists, job)
        time.sleep(np.random.default_rng(attempt).uniform(0, 0.3))
        os.killpg(job.pid, signal.SIGKILL)
        job.communicate(timeout=30)
    finally:
        if job.poll() is None:
            end(job)
    done = mpirun(2, *ASYNCRED, "run", "--resume", kept, "--tol", "1e-3", timeout=120)
    assert done.returncode == 0, done.stderr
    assert read_result(output).complete
    assert not list(tmp_path.glob(".*.part")), list(tmp_path.iterdir())


def test_a_stack_goes_on_where_it_was_cut(ct, tmp_path):
    """Images that are complete are left alone; the one in flight goes on from its checkpoint."""
    stack, kept, output = tmp_path / "stack.h5", tmp_path / "c.h5", tmp_path / "r.h5"
    stack.write_bytes(ct.read_bytes())
    stacked(stack)
    flags = ("--epochs", "60", "--checkpoint", kept, "--ranks-per-image", "2")
    job = start([find_mpirun(), "-n", "2", *ASYNCRED, "run", stack, "-o", output, *TV, *flags])
    try:
        wait(lambda: output.exists() and read_result(output).complete, job)
        job.send_signal(signal.SIGUSR1)
        job.communicate(timeout=30)
    finally:
        if job.poll() is None:
            end(job)
    assert job.returncode == 75
    before = read_result(output)
    assert before.completed[0] and not before.completed.all()
    assert {path.name for path in tmp_path.glob("c.*.h5")} <= {"c.000001.h5", "c.000002.h5"}
    # On more ranks an image than the file has columns for, with the parameters it had.
    command = [*ASYNCRED, "run", stack, "-o", output, "--resume", kept, "--ranks-per-image", "3"]
    done = mpirun(3, *command, timeout=120)
    assert done.returncode == 0, done.stderr
    after = [read_result(output, k) for k in range(3)]
    assert after[0].completed.all() and not list(tmp_path.glob("c.*.h5*"))
    np.testing.assert_array_equal(after[0].image, before.image)
    for found in after:
        assert found.per_block.sum() == 16 * 60
        assert abs(snr(found.truth, found.image) - snr(found.truth, before.image)) < 0.05


def test_a_result_of_another_stack_is_left_alone(ct, tmp_path):
    """Nor are its rows taken for this one's, nor are blocks of another size put into it."""
    first, second, output = tmp_path / "1.h5", tmp_path / "2.h5", tmp_path / "r.h5"
    for path, factor in ((first, 1), (second, 2)):
        path.write_bytes(ct.read_bytes())
        stacked(path, (factor, factor))
    run(1, first, output, "--epochs", "2")
    before = output.read_bytes()
    resume = ["-o", output, "--resume", tmp_path / "c.h5", *TV]
    said = refused(2, ["run", second, *resume], ["run", first, *resume, "--block", "32"])
    assert "sha256 of the problem is" in said[0] and "blocks is 16, expected 4" in said[1]
    assert output.read_bytes() == before


def test_an_image_that_is_not_finite_is_not_complete(cs, tmp_path):
    """Nor does it replace a good checkpoint; whether the last sample finds it or one before."""
    output, good = tmp_path / "r.h5", tmp_path / "c.h5"
    run(2, cs, output, "--updates", "32", "--checkpoint", good)
    commands, kept = [], {}
    for report in ("60", "0.01"):
        kept[report] = tmp_path / f"c{report}.h5"
        kept[report].write_bytes(good.read_bytes())
        flags = ("--step", "1e7", "--updates", "640", "--checkpoint-every", "0.0002")
        flags = (*flags, "--resume", kept[report], "--report", report)
        commands.append(["run", cs, "-o", tmp_path / f"r{report}.h5", *TV, *flags])
    assert [code for code, _ in several(2, *commands)] == [4, 4]
    for report, checkpoint in kept.items():
        found = read_result(tmp_path / f"r{report}.h5")
        assert not found.complete and found.provenance["stopped"] == "diverged"
        with h5py.File(checkpoint) as file:
            unchanged = checkpoint.read_bytes() == good.read_bytes()
            assert unchanged or np.isfinite(file["x"][:]).all()
    assert not list(tmp_path.glob(".*.part"))


def test_what_cannot_be_resumed(ct, cs, tmp_path):
    kept = tmp_path / "c.h5"
    run(2, ct, tmp_path / "r.h5", "--updates", "32", "--checkpoint", kept)
    other = ["-o", tmp_path / "o.h5", "--resume", kept]
    mine = [ct, *other[:-2], "--overwrite", "--checkpoint"]
    commands = (
        [cs, *other],
        [ct, *other[:-1], ct],
        [ct, *other[:-1], tmp_path / "none.h5"],
        [ct, *other[:-2], "--checkpoint", kept],
        [*mine, ct],
        [*mine, tmp_path / "o.h5"],
        [ct, *other, "--block", "32"],
    )
    said = refused(2, *(["run", *command] for command in commands))
    words = (
        "c.h5: of another problem file",
        f"expected 'asyncred-checkpoint', {VERSION}",
        "none.h5: no such checkpoint",
        "c.h5: exists",
        "is the problem file too",
        "is the output file too",
        "of 16 blocks, expected 4",
    )
    assert all(each in line for each, line in zip(words, said, strict=True)), said
    with h5py.File(kept, "r+") as file:
        file["x"][3, 4] = np.nan
    assert "c.h5: block 0: its contents are not those" in refused(2, ["run", ct, *other])[0]
    assert not (tmp_path / "o.h5").exists()
