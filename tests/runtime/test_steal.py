"""Ranks that take each other's blocks: a slow one costs its own share only, and nothing else."""

import os
import signal
import time
from contextlib import suppress

import numpy as np
import pytest

import h5py

from asyncred.files.checkpoint import previous
from asyncred.files.result import read_result
from asyncred.metrics import snr
from commands import ASYNCRED, reconstruct, reconstruct_all, refused, simulate, stacked
from launch import end, find_mpirun, mpirun, ranks_of, start

TV = ("--denoiser", "tv", "--sigma", "5", "--threads", "1")
STEAL = (*TV, "--steal", "on")
BLOCKS = 16
pytestmark = pytest.mark.ranks


def spread(result):
    """How far the counts of blocks differ, but for the one a slow rank was the last to work on."""
    counts = np.sort(result.per_block)
    return counts[-1] - counts[1]


@pytest.mark.parametrize("n", [2, 4])
@pytest.mark.parametrize("kind", ["cs", pytest.param("ct", marks=pytest.mark.library)])
def test_blocks_are_updated_equally_often_though_a_rank_is_slow(kind, n, cs, ct):
    """In legs where the residual is renewed; the slow rank makes what it can, the others more."""
    problem, slow = {"cs": cs, "ct": ct}[kind], ("--slow", f"{n - 1}:10")
    flags = (*slow, "--epochs", "40", "--refresh", "7", "--report", "0.05")
    kept, taken = reconstruct_all(problem, n, (*TV, *flags), (*STEAL, *flags))
    for found in (kept, taken):
        assert found.per_block.sum() == found.per_rank.sum() == found.delays.sum() == 40 * BLOCKS
        assert found.column("updates")[-1] == 40 * BLOCKS
        assert snr(found.truth, found.image) == pytest.approx(found.column("snr")[-1], abs=1e-3)
    assert spread(taken) <= 5 < 20 < spread(kept)
    assert taken.per_rank[-1] <= 0.7 * taken.per_rank[:-1].min()


def test_the_fixed_point_is_the_same(cs):
    flags = ("--epochs", "400", "--tol", "1e-5", "--report", "0.02")
    updates = [("--update", update, *flags) for update in ("gradient", "proximal")]
    alone = reconstruct_all(cs, 1, *((*TV, *more) for more in updates))
    two = reconstruct_all(cs, 2, *((*STEAL, *more) for more in updates))
    four = reconstruct_all(cs, 4, *((*STEAL, *more, "--slow", "3:10") for more in updates))
    for expected, *others in zip(alone, two, four, strict=True):
        for found in others:
            assert found.provenance["stopped"] == "tolerance"
            assert abs(snr(found.truth, found.image) - snr(found.truth, expected.image)) <= 0.02


def test_drafts_and_momentum_are_shared(cs):
    """By the 8-bit network and with momentum: whoever updates a block goes on from what it was."""
    flags = ("--draft", "fast-s5-int8", "--momentum", "0.3", "--tol", "1e-5", "--epochs", "400")
    alone = reconstruct(cs, 1, "--threads", "1", *flags)
    found = reconstruct(cs, 4, "--threads", "1", "--steal", "on", *flags)
    assert abs(snr(found.truth, found.image) - snr(alone.truth, alone.image)) <= 0.02
    assert (found.drafts > 0).all() and (found.drafts < found.per_block).all()


@pytest.mark.parametrize(
    ("kind", "epochs"), [("inpaint", 120), ("blur", 40), ("sr", 60), ("mri", 90)]
)
def test_every_kind_of_problem(kind, epochs, tmp_path):
    """As many epochs as the kind takes to its fixed point."""
    problem = simulate(kind, tmp_path / "p.h5", "--size", "48", "--block", "16")
    flags = ("--epochs", str(epochs), "--refresh", "15", "--report", "0.02")
    kept, taken = reconstruct_all(problem, 2, (*TV, *flags), (*STEAL, *flags))
    assert np.ptp(taken.per_block) <= 3
    assert abs(snr(taken.truth, taken.image) - snr(kept.truth, kept.image)) <= 0.05
    assert snr(kept.image, taken.image) > 45
    assert taken.column("snr")[-1] == pytest.approx(snr(taken.truth, taken.image), abs=1e-3)


def test_one_rank_does_bit_for_bit_the_same(cs, ct):
    flags = ("--updates", "60", "--minibatch", "10", "--decay", "3", "--refresh", "1.5")
    for problem in (cs, ct):
        kept, taken = reconstruct_all(problem, 1, (*TV, *flags), (*STEAL, *flags))
        np.testing.assert_array_equal(taken.image, kept.image)
        np.testing.assert_array_equal(taken.per_block, kept.per_block)


def test_decaying_steps_count_the_updates_of_a_block_by_all_ranks(cs):
    """Counted by each rank alone, steps would stay longer, and x end 2 dB elsewhere."""
    flags = ("--minibatch", "192", "--decay", "1", "--tau", "0", "--step", "0.4")
    flags = (*flags, "--epochs", "40", "--start", "zero")
    alone, four = (reconstruct(cs, n, *STEAL, *flags) for n in (1, 4))
    assert abs(snr(four.truth, four.image) - snr(alone.truth, alone.image)) <= 0.2


def run(ranks, *command, code=0):
    done = mpirun(ranks, *ASYNCRED, "run", *command, timeout=120)
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module", params=["ct", "cs"])
def cut(request, tmp_path_factory):
    """The checkpoint of a run on four ranks, one of them slow, that its time limit cut."""
    folder = tmp_path_factory.mktemp("cut")
    kept, problem = folder / "c.h5", request.getfixturevalue(request.param)
    flags = ("--max-time", "0.3", "--epochs", "100", "--slow", "3:10")
    run(4, problem, "-o", folder / "r.h5", *STEAL, *flags, "--checkpoint", kept, code=75)
    return kept


@pytest.mark.parametrize("ranks", [1, 3])
def test_a_cut_run_goes_on_with_exact_counts(ranks, cut, tmp_path):
    output = tmp_path / "r.h5"
    with h5py.File(cut) as file:
        before = file["per_block"][:]
        assert 0 < before.sum() == file["delays"][:].sum() < 100 * BLOCKS
    # Its last state goes elsewhere: the other number of ranks begins with this one too.
    again = ("-o", output, "--checkpoint", tmp_path / "c.h5", "--max-time", "60")
    run(ranks, "--resume", cut, *again)
    found = read_result(output)
    assert found.provenance["parameters"]["steal"] == "on"
    assert found.complete and (found.per_block >= before).all()
    assert found.per_block.sum() == found.delays.sum() == 100 * BLOCKS
    assert found.column("updates")[-1] == found.per_rank.sum() == 100 * BLOCKS
    assert spread(found) <= 5


@pytest.mark.library
def test_a_killed_run_goes_on(cs, tmp_path):
    """From a checkpoint that each rank wrote its part of at a moment of its own."""
    kept, output = tmp_path / "c.h5", tmp_path / "r.h5"
    flags = ("--epochs", "100000", "--checkpoint", kept, "--checkpoint-every", "0.0005")
    job = start([find_mpirun(), "-n", "4", *ASYNCRED, "run", cs, "-o", output, *STEAL, *flags])
    try:
        deadline = time.monotonic() + 60
        while not previous(kept).exists():
            assert time.monotonic() < deadline and job.poll() is None, job.communicate()
            time.sleep(0.01)
        os.killpg(job.pid, signal.SIGKILL)
        job.communicate(timeout=30)
    finally:
        if job.poll() is None:
            end(job)
    while left := ranks_of(output):  # some MPI libraries' ranks outlive their mpirun, and go on
        assert time.monotonic() < deadline
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    with h5py.File(kept) as file:
        before = int(file["per_block"][:].sum())
    run(2, "--resume", kept, "--updates", str(before + 320))
    found = read_result(output)
    assert found.complete and found.per_block.sum() == before + 320
    assert np.ptp(found.per_block) <= 3


def test_a_stack_in_groups(tmp_path):
    problem = simulate("inpaint", tmp_path / "p.h5", "--size", "64", "--block", "16")
    first = reconstruct(stacked(problem), 4, *STEAL, "--ranks-per-image", "2", "--epochs", "10")
    for found in (read_result(first.path, row) for row in range(3)):
        assert found.completed.all() and found.per_block.sum() == 10 * BLOCKS
        assert np.ptp(found.per_block) <= 3


def test_what_does_not_go_together(cs, tmp_path):
    expected = {
        "--steal on is of --method async, found --method sync": ("--method", "sync"),
        "--steal on takes the least-updated block, expected no --order": ("--order", "uniform"),
    }
    command = ("run", cs, "-o", tmp_path / "r.h5", *STEAL)
    lines = refused(2, *((*command, *flags) for flags in expected.values()))
    assert all(words in line for words, line in zip(expected, lines, strict=True)), lines
