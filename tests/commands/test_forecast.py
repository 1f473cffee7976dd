"""What ``check`` says a job will take: halos, memory, time, and what to beware of."""

import os

import numpy as np
import pytest

from asyncred.commands import forecast
from asyncred.commands.cli import main
from asyncred.commands.footprint import process_bytes
from asyncred.commands.forecast import Cost, Job, rank_halos, time_lines, try_update, warnings
from asyncred.denoisers.shipped import find_model
from asyncred.files.problem import read_problem
from asyncred.runtime.placement import owners
from networks import smoothing

SMALL = ("--size", "48", "--block", "16")


def simulate(path, kind="cs", *flags):
    with pytest.raises(SystemExit, match="0"):
        main(["simulate", kind, str(path), *(flags or SMALL)])
    return read_problem(path)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Of halo 2."""
    return find_model(str(smoothing(tmp_path_factory.mktemp("model") / "smoothing.onnx")))


def job(problem, model, ranks, *, per_node=1, minibatch=None):
    owner = owners(len(problem.grid), ranks)
    return Job(problem, model, owner, ranks, per_node, minibatch)


@pytest.mark.parametrize(("ranks", "halo"), [(1, 2), (2, 2), (3, 7), (4, 20), (9, 48)])
def test_halos_are_the_pixels_of_other_ranks(ranks, halo, model, tmp_path):
    problem = simulate(tmp_path / "p.h5", "cs", "--size", "48", "--block", "20")
    given = job(problem, model, ranks)
    whose = np.empty(problem.grid.shape, int)
    for i, rank in enumerate(given.owner):
        whose[problem.grid.block(i)] = rank
    for rank, (pixels, others) in enumerate(rank_halos(given, halo)):
        seen = [
            whose[problem.grid.window(i, halo).region].ravel()
            for i, owner in enumerate(given.owner)
            if owner == rank
        ]
        foreign = np.concatenate(seen)[np.concatenate(seen) != rank]
        assert (pixels, others) == (foreign.size, len(set(foreign)))


@pytest.mark.parametrize(
    ("size", "ranks", "epoch", "budget"),
    [(16, 1, "30 ms", "12 s"), (32, 1, "120 ms", "48 s"), (32, 2, "60 ms", "24 s")],
)
def test_time_is_that_of_all_updates_over_the_ranks(size, ranks, epoch, budget, model, tmp_path):
    problem = simulate(tmp_path / "p.h5", "cs", "--size", str(size), "--block", "16")
    lines = time_lines(job(problem, model, ranks), Cost(0.010, 0.005, 2, 0))
    assert "30 ms an update (denoiser 10 ms, 4 times data term 5 ms)" in lines[0]
    assert f", {epoch} an epoch on {ranks} rank(s)" in lines[0]
    assert lines[1].startswith(f"  at most {budget} for 400 epochs")


@pytest.mark.parametrize("kind", ["cs", "ct", "fan", "mri", "blur", "sr", "inpaint"])
def test_every_kind_can_be_tried(kind, model, tmp_path):
    problem = simulate(tmp_path / "p.h5", kind)
    cost = try_update(job(problem, model, 2))
    assert 0 < cost.denoiser < 1 and 0 < cost.gradient < 1 and cost.halo >= 2
    assert (cost.residual > 0) == (kind in ("ct", "fan", "mri"))


def test_a_minibatch_is_tried_as_one(model, tmp_path, monkeypatch):
    problem = simulate(tmp_path / "p.h5", "ct")
    asked = []
    monkeypatch.setattr(forecast, "seconds", lambda work: asked.append(work()) or 1.0)
    cost = try_update(job(problem, model, 1, minibatch=7))
    assert cost.gradient == 2.0  # backwards and forwards
    width = problem.data.model([0], threads=1).footprint(0).width
    assert asked[1].shape == (problem.data.groups, width) and asked[0].shape == (16, 16)


def test_memory_of_a_process_is_tried(model):
    small, large = (process_bytes(find_model("fast-s5"), (side, side)) for side in (32, 400))
    assert 30 * 2**20 < small < 1000 * 2**20
    assert large - small > 64 * 4 * 400**2 / 2  # of fast-s5's 64 channels at least some


def test_a_process_that_fails_is_an_error(model, tmp_path):
    gone = smoothing(tmp_path / "gone.onnx")
    lost = find_model(str(gone))
    gone.unlink()
    with pytest.raises(ValueError, match=r"gone\.onnx: fails on a window of \(9, 9\)"):
        process_bytes(lost, (9, 9))


def test_warnings(model, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2})
    problem = simulate(tmp_path / "p.h5")
    assert warnings(job(problem, model, 6, per_node=3), 2**20) == []
    (found,) = warnings(job(problem, model, 6, per_node=4), 2**20)
    assert "4 ranks on a node" in found and "has 3 core(s)" in found
    (found,) = warnings(job(problem, model, 1), 2**60)
    assert "of memory" in found
    groups = problem.data.groups
    assert warnings(job(problem, model, 1, minibatch=groups), 0) == []
    (found,) = warnings(job(problem, model, 1, minibatch=groups - 1), 0)
    assert f"minibatches of {groups - 1} of {groups}" in found
    (found,) = warnings(job(problem, find_model("fast-s5"), 1), 0)
    assert "the halo is larger than the block (644 and 256 pixels)" in found


def test_check_tells_all_of_it(tmp_path, capsys):
    path = tmp_path / "p.h5"
    simulate(path)
    capsys.readouterr()
    with pytest.raises(SystemExit, match="0"):
        main(["check", str(path), "-n", "2", "--ranks-per-node", "1", "--minibatch", "9"])
    out = capsys.readouterr().out
    for words in (
        "  rank 0: 5 block(s), 0 to 4; ",
        "  rank 1: 4 block(s), 5 to 8; ",
        "KiB of halo from 1 rank(s)\n",
        "memory: at most ",
        "on a node of 1 rank(s); ",
        "an epoch on 2 rank(s); ",
        "for 400 epochs",
        "warning: minibatches of 9 of ",
        "warning: uneven; 1, 3, 9 ranks",
    ):
        assert words in out
    with pytest.raises(SystemExit, match="2"):
        main(["check", str(path), "--minibatch", "999"])
    assert "--minibatch is 999, expected at most" in capsys.readouterr().err
