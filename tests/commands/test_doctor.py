"""The doctor: what it finds, on real ranks, and that it never hangs."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from asyncred.commands.doctor import compute
from asyncred.commands.doctor.findings import Finding, alike, numbers, where
from asyncred.commands.doctor.latency import Waits, judge
from asyncred.commands.doctor.library import Cores, tell_cores
from asyncred.commands.doctor.updates import Run, tell_run
from commands import ASYNCRED
from launch import launch, mpirun, start
from spy import one_thread, spied

HOSTS = ["a", "a", "b", "b"]
SUBJECTS = (
    "MPI",
    "threads of MPI",
    "ranks",
    "cores",
    "RMA within a host",
    "RMA between hosts",
    "ONNX Runtime",
    "denoiser",
    "kernels",
    "updates",
    "HDF5",
    "folder",
    "shared file system",
    "whole files",
    "in place",
    "reading",
)


def test_what_is_outside_denoiser_and_data_term():
    (fine,) = tell_run([Run(40.0, 0.03)])
    (wrong,) = tell_run([Run(20.0, 0.4)])
    assert fine.ok and "40/s of blocks of 128x128" in fine.text and "3.0 % of the time" in fine.text
    assert not wrong.ok and "40.0 % of the time" in wrong.text and "threads" in wrong.text


def test_words():
    assert numbers([5, 0, 1, 2]) == "0-2, 5"
    assert where([1], HOSTS) == "rank 1 on a" and where([1, 2], HOSTS) == "ranks 1-2 on a, b"
    assert alike(["x"] * 4, HOSTS) == ["x"]
    assert alike(["x", "x", "y", "x"], HOSTS) == ["x (ranks 0-1, 3 on a, b)", "y (rank 2 on b)"]
    assert str(Finding(False, "it")) == "!!  it" and str(Finding(True, "it")) == "ok  it"


def cores(allowed, *, host="a", threads=1, per_task=None, on_node=None):
    return Cores(host, frozenset(allowed), 8, threads, per_task, on_node)


@pytest.mark.parametrize(
    ("told", "wrong"),
    [
        ([cores({0, 1}), cores({0, 1})], None),
        ([cores({0, 1}), cores({2, 3})], None),
        ([cores({0}), cores({0}, host="b")], None),
        ([cores({0, 1}), cores({0, 1}), cores({0, 1})], "oversubscribed, 3 ranks take turns on 2"),
        ([cores({0}), cores({0}), cores({1, 2, 3})], "oversubscribed, 2 ranks take turns on 1"),
        ([cores({0}, per_task=4)], "gives a task 4 CPUs, rank 0 may run on 1: srun --cpus-per"),
        ([cores({0, 1}, threads=3)], "rank 0 starts 3 threads on 2 cores"),
        ([cores({0, 1}, on_node=4)], None),
    ],
)
def test_cores(told, wrong):
    ranks, *found = tell_cores(told)
    assert ranks.ok and f"ranks: {len(told)} on " in ranks.text
    assert len(found) == len({own.host for own in told})
    assert [finding for finding in found if not finding.ok] == [
        finding for finding in found if wrong is not None and wrong in finding.text
    ]
    assert (wrong is None) == all(finding.ok for finding in found)


def waits(ms, lost=0.0):
    return Waits(np.array([0.1, ms, ms]), np.array([0.1, 0.1, 0.2]), lost)


@pytest.mark.parametrize(
    ("without", "with_thread", "wanted", "wrong"),
    [
        (0.1, 0.1, False, None),
        (90, 0.1, True, None),
        (90, 0.1, False, "--progress-thread on"),
        (90, 90, True, "another MPI library"),
        (90, None, True, "another MPI library"),
        (0.1, None, True, None),
    ],
)
def test_latency_is_judged_as_a_run_would_be_started(without, with_thread, wanted, wrong):
    found = {False: waits(without)}
    if with_thread is not None:
        found[True] = waits(with_thread)
    finding = judge("RMA", found, 100.0, thread_wanted=wanted)
    assert finding.ok == (wrong is None) and (wrong or "reads") in finding.text


def test_lost_sums_are_noticed():
    assert "LOST" in judge("RMA", {False: waits(0.1, 1.0)}, 100.0, thread_wanted=False).text


@pytest.mark.parametrize(
    ("seconds", "threads", "wrong"),
    [
        ([(1.0, 0.6)] * 4, 2, None),
        ([(1.0, 0.6)] * 3 + [(2.5, 1.5)], 2, "rank 3 on b 2.5 times slower"),
        ([(1.0, 2.5)] * 4, 2, "--threads 1"),
    ],
)
@pytest.mark.parametrize("tell", [compute.tell_window, compute.tell_gradient])
def test_slow_ranks_and_threads_are_named(tell, seconds, threads, wrong):
    told = [compute.Speed(one, many, threads, "cpu") for one, many in seconds]
    (finding,) = tell(told, HOSTS)
    assert finding.ok == (wrong is None) and (wrong or "") in finding.text


def test_kernels_without_openmp(monkeypatch):
    monkeypatch.setattr(compute, "openmp", False)
    for threads, ok in ((1, True), (2, False)):
        (finding,) = compute.tell_gradient([compute.Speed(1.0, 1.0, threads, "cpu")], ["a"])
        assert finding.ok == ok and "WITHOUT OpenMP" in finding.text


STUCK = """
import ctypes, time
import asyncred.commands.doctor.limit as limit
limit.GRACE = 0.3
with limit.Limit(0.3, "!!  part: rank 0 hangs") as ends:
    {work}
print("not ended")
"""


@pytest.mark.parametrize(
    ("work", "code", "said"),
    [
        ("time.sleep(30)", 1, "!!  part: rank 0 hangs\n"),
        ("ends.wait('others'); time.sleep(30)", 1, "others\n"),
        ("ends.wait(''); time.sleep(30)", 1, ""),
        ("ctypes.PyDLL(None).sleep(30)", -14, ""),  # holds the interpreter: SIGALRM
        ("pass", 0, "not ended\n"),
    ],
)
def test_nothing_outlives_its_limit(work, code, said):
    command = [sys.executable, "-c", STUCK.format(work=work)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (code, said), done.stderr


@pytest.mark.ranks
@pytest.mark.parametrize("n", [1, pytest.param(2, marks=pytest.mark.library)])
def test_what_works_here(n, tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    done, threads = spied(n, ("doctor", "-o", folder, "--threads", "1"), tmp_path / "spy")
    assert one_thread(threads), threads
    lines = done.stdout.splitlines()
    assert [line[4:].split(":")[0] for line in lines] == list(SUBJECTS), done.stdout + done.stderr
    enough = len(os.sched_getaffinity(0)) >= n
    wrong = [line for line in lines if not line.startswith(("ok  ", "!!  updates: "))]
    assert all(line.startswith("!!  cores: ") for line in wrong), done.stdout
    assert bool(wrong) == (not enough)
    assert done.returncode == int("!!" in done.stdout)
    assert list(folder.iterdir()) == []
    assert ("without progress thread reads " in done.stdout) == (n == 2)


@pytest.mark.ranks
def test_a_missing_folder(tmp_path):
    command = ("doctor", "-o", tmp_path / "no", "--threads", "1")
    done = mpirun(1, *ASYNCRED, *command, timeout=60)
    assert done.returncode == 1
    last = done.stdout.splitlines()[-1]
    assert last.startswith("!!  folder: rank 0 on ") and f"{tmp_path / 'no'}: no such f" in last


@pytest.mark.ranks
def test_a_read_only_folder(tmp_path):
    command = [*ASYNCRED, "doctor", "-o", tmp_path, "--threads", "1"]
    if os.geteuid() == 0:  # whom modes do not bind
        readonly = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
        command = ["unshare", "--mount", "sh", "-c", readonly, tmp_path, *command]
        probe = launch([*command[:6], "true"], timeout=20)
        if probe.returncode != 0:
            pytest.skip(f"mounts are not allowed here: {probe.stderr.strip()}")
    else:
        tmp_path.chmod(0o555)
    done = mpirun(1, *command, timeout=60)
    tmp_path.chmod(0o755)
    assert done.returncode == 1, done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith("!!  folder: rank 0 on ") and "cannot be written (" in last


def test_processes_that_do_not_see_each_other_are_refused(tmp_path):
    done = start(
        [*ASYNCRED, "doctor", "-o", tmp_path],
        env={"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "0"},
    )
    stdout, stderr = done.communicate(timeout=30)
    assert (done.returncode, stdout) == (2, "") and "MPI sees each alone" in stderr


ILL = """
import sys, time
from mpi4py import MPI
import asyncred.commands.doctor.compute as compute
import asyncred.commands.doctor.latency as latency
from asyncred.commands.cli import main

def hang(provider):
    if MPI.COMM_WORLD.rank == 1:
        time.sleep(60)
    return "fine"

def raising(threads):
    if MPI.COMM_WORLD.rank == 1:
        raise RuntimeError("no AVX\\nhere")
    return compute.Speed(1.0, 1.0, 1, "cpu")

latency.DURATION = 0.1
if sys.argv[1] == "hang":
    compute._runtime, compute.LIMIT = hang, 1.0
else:
    compute.gradient_speed = raising
main(sys.argv[2:])
"""


@pytest.mark.ranks
@pytest.mark.library
def test_a_rank_that_hangs_is_named_and_ends_the_job(tmp_path):
    started = time.monotonic()
    command = (sys.executable, "-c", ILL, "hang", "doctor", "-o", tmp_path, "--threads", "1")
    done = mpirun(2, *command, timeout=60)
    assert time.monotonic() - started < 40 and done.returncode != 0
    assert "!!  ONNX Runtime: rank 1 on " in done.stdout and "not done within 1 s" in done.stdout


@pytest.mark.ranks
def test_what_one_rank_raises_is_a_finding(tmp_path):
    command = (sys.executable, "-c", ILL, "raise", "doctor", "-o", tmp_path, "--threads", "1")
    done = mpirun(2, *command, timeout=60)
    assert done.returncode == 1, done.stderr
    line = next(line for line in done.stdout.splitlines() if "kernels" in line)
    assert line.startswith("!!  kernels: rank 1 on ") and line.endswith(": no AVX here")
    assert "ok  reading: " in done.stdout
