"""The main job as people start it: mpirun -n N asyncred run."""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import h5py

import commands
from asyncred.commands.demo import demo
from asyncred.errors import InputError
from asyncred.files.result import read_result
from asyncred.metrics import snr
from asyncred.runtime.comm import Alone
from commands import ASYNCRED, THREADS, reconstruct_all, several
from launch import end, find_mpirun, mpirun, processes_naming, ranks_of, start
from networks import conditional_u_net, smoothing
from spy import one_thread, spied

pytestmark = pytest.mark.ranks

BLOCKS = 16


TV = ("--denoiser", "tv", "--sigma", "5", *THREADS)
"""For what no other denoiser changes: it is the cheapest."""


def simulate(path, *flags):
    return commands.simulate("cs", path, "--size", "64", "--block", "16", *flags)


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("problem") / "problem.h5")


def run(n, problem, output, *flags, timeout=180):
    return mpirun(n, *ASYNCRED, "run", problem, "-o", output, *flags, timeout=timeout)


def reconstruct(n, problem, output, *flags):
    done = run(n, problem, output, *flags)
    assert done.returncode == 0, done.stdout + done.stderr
    return read_result(output)


def wait_for(condition, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s")


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """A denoiser that costs next to nothing, for runs to the fixed point."""
    return smoothing(tmp_path_factory.mktemp("denoiser") / "smoothing.onnx")


@pytest.fixture(scope="module")
def fixed_point(quick, tmp_path_factory):
    """Of a well-posed problem, so that it is soon reached: the result of a long serial run."""
    folder = tmp_path_factory.mktemp("fixed")
    problem = simulate(folder / "problem.h5", "--ratio", "1.5", "--noise-snr", "20")
    flags = ("--method", "gm", "--epochs", "3000", "--tol", "1e-6", "--report", "0.05")
    return reconstruct(1, problem, folder / "gm.h5", "--denoiser", quick, *THREADS, *flags)


@pytest.mark.parametrize(
    ("n", "methods"),
    [
        (1, ("bc", "sync", "async")),
        (2, ("sync", "async")),
        pytest.param(4, ("sync", "async"), marks=pytest.mark.library),
    ],
)
def test_every_method_reaches_the_fixed_point(n, methods, quick, fixed_point):
    problem = Path(fixed_point.provenance["input"])
    flags = ("--denoiser", quick, "--epochs", "3000", "--tol", "1e-5", "--report", "0.05")
    results = reconstruct_all(problem, n, *((*flags, "--method", method) for method in methods))
    for method, found in zip(methods, results, strict=True):
        assert found.complete
        said = found.provenance
        assert said["ranks"] == n and said["parameters"]["method"] == method
        distance = np.linalg.norm(found.image - fixed_point.image)
        assert distance <= 2e-3 * np.linalg.norm(fixed_point.image), method
        assert abs(snr(found.truth, found.image) - snr(found.truth, fixed_point.image)) <= 0.05
        assert found.per_block.sum() == found.per_rank.sum() == found.column("updates")[-1]
        assert found.column("distance")[-1] < 1e-4, method


def test_result_tells_what_was_done(problem, tmp_path):
    found = reconstruct(
        2, problem, tmp_path / "r.h5", "--updates", "320", "--report", "0.05", "--seed", "5"
    )
    assert found.column("updates")[-1] == found.per_block.sum() == found.delays.sum() == 320
    assert (np.diff(found.column("seconds")) >= 0).all() and len(found.history) > 2
    assert found.provenance["parameters"]["seed"] == 5
    assert found.provenance["parameters"]["sigma"] is None
    assert found.provenance["halo_exact"] and found.provenance["stopped"] == "budget"
    assert snr(found.truth, found.image) == pytest.approx(found.column("snr")[-1], abs=1e-2)
    with h5py.File(problem) as file:
        np.testing.assert_array_equal(found.truth, file["truth"][:])


def test_a_conditional_denoiser_with_strides_on_an_odd_image(tmp_path):
    """Its level is said at the start and in the result; one rank or two find the same."""
    flags = ("--size", "61", "--block", "20", "--ratio", "1.5")
    problem = commands.simulate("cs", tmp_path / "odd.h5", *flags)
    network = conditional_u_net(tmp_path / "network.onnx")
    flags = ("--denoiser", network, "--sigma", "12.5", "--epochs", "300", "--tol", "1e-5", *THREADS)
    images = []
    for n, method in ((1, "gm"), (2, "async")):
        output = tmp_path / f"{n}.h5"
        done = run(n, problem, output, *flags, "--method", method)
        assert done.returncode == 0 and "image, sigma 12.5/255, halo 2" in done.stdout, done.stderr
        found = read_result(output)
        assert found.provenance["parameters"]["sigma"] == 12.5 and found.provenance["halo_exact"]
        images.append(found.image)
    assert np.linalg.norm(images[1] - images[0]) <= 2e-3 * np.linalg.norm(images[0])


def test_stored_matrices_give_the_same_as_drawn_ones(problem, tmp_path):
    stored = simulate(tmp_path / "stored.h5", "--store-matrix")
    images = [
        reconstruct(1, path, tmp_path / f"{k}.h5", *TV, "--updates", "32").image
        for k, path in enumerate((problem, stored))
    ]
    np.testing.assert_array_equal(*images)


def test_minibatches_and_uniform_order_and_start_from_a_file(quick, fixed_point, tmp_path):
    flags = ("--minibatch", "96", "--order", "uniform", "--updates", "800", "--denoiser", quick)
    start = ("--start", fixed_point.path, "--step", "0.02")
    problem = fixed_point.provenance["input"]
    found = reconstruct(2, problem, tmp_path / "r.h5", *flags, *start)
    assert snr(found.truth, found.image) >= snr(found.truth, fixed_point.image) - 0.3
    np.testing.assert_array_equal(found.start, fixed_point.image)


@pytest.mark.library
def test_a_slow_rank_slows_only_itself(problem):
    flags = (*TV, "--slow", "1:10", "--updates", "160")
    free, bound = reconstruct_all(problem, 2, flags, (*flags, "--method", "sync"))
    fast, slow = free.per_rank
    assert fast >= 2 * slow
    fast, slow = bound.per_rank
    assert fast == slow


def test_tolerance_and_time_limit_end_the_run(problem):
    flags = (*TV, "--epochs", "99999")
    near = (*flags, "--tol", "0.01", "--report", "0.05")
    late = (*flags, "--tol", "0", "--max-time", "1")
    found, cut = reconstruct_all(problem, 2, near, late)
    assert found.provenance["stopped"] == "tolerance" and found.complete
    assert cut.provenance["stopped"] == "time" and not cut.complete
    assert 0.9 <= cut.column("seconds")[-1] <= 3


def test_divergence_is_noticed(problem, quick, tmp_path):
    flags = ("--denoiser", quick, "--step", "5", "--epochs", "1e6", "--report", "0.05")
    done = run(2, problem, tmp_path / "r.h5", *flags, timeout=60)
    assert done.returncode == 4 and "diverged" in done.stdout, done.stderr
    assert not read_result(tmp_path / "r.h5").complete


def test_parameters_from_toml_with_flags_over_them(problem, tmp_path):
    (tmp_path / "run.toml").write_text(
        f'problem = "{problem}"\noutput = "{tmp_path / "r.h5"}"\n'
        "denoiser = 'tv'\ntau = 0.5\nupdates = 32\nmax-time = 60\n"
    )
    done = mpirun(
        2, *ASYNCRED, "run", "--config", tmp_path / "run.toml", "--tau", "0.3", timeout=60
    )
    assert done.returncode == 0, done.stderr
    parameters = read_result(tmp_path / "r.h5").provenance["parameters"]
    assert (parameters["tau"], parameters["updates"], parameters["max_time"]) == (0.3, 32, 60)


def test_demo(tmp_path):
    done, threads = spied(2, ("demo", "--epochs", "1", "-o", "demo"), tmp_path / "spy")
    assert done.returncode == 0, done.stderr
    assert one_thread(threads), threads
    assert "dB before" in done.stdout and "dB after" in done.stdout
    assert (tmp_path / "demo/result.png").stat().st_size > 20_000
    assert read_result(tmp_path / "demo/result.h5").image.shape == (240, 240)


def spoilt(problem, path, change):
    """A copy of the problem file with something changed in it."""
    path.write_bytes(problem.read_bytes())
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def set_y(value):
    def change(file):
        file["measurements/y"][9, 3] = value

    return change


def wrong_shape(file):
    y = file["measurements/y"][:, :-1]
    del file["measurements/y"]
    file["measurements/y"] = y


def no_denoiser(path):
    import onnx
    from onnx import TensorProto, helper

    sides = ["n", 1, "h", "w"]
    value = [helper.make_tensor_value_info(k, TensorProto.FLOAT, sides) for k in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Exp", ["x"], ["y"])], "exp", value[:1], value[1:])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path
    )
    return path


WRONG = {
    "missing file": ("no.h5", ("no.h5", "no such file")),
    "not HDF5": ("old.h5", ("old.h5", "not an HDF5 file")),
    "wrong shape": (wrong_shape, ("/measurements/y", "expected")),
    "NaN": (set_y(np.nan), ("/measurements/y", "NaN")),
    "Inf": (set_y(np.inf), ("/measurements/y", "Inf")),
    "unknown operator": (
        lambda file: file["operator"].attrs.update(kind="radon"),
        ("kind", "radon", "block_random"),
    ),
    "no denoiser": (("--denoiser", "exp.onnx"), ("exp.onnx", "no denoiser")),
    "no ONNX": (("--denoiser", "old.h5"), ("old.h5", "ONNX")),
    "unknown denoiser": (("--denoiser", "nothing"), ("nothing", "shipped")),
    "unknown start": (("--start", "adjont"), ("adjont", "no such file", "did you mean adjoint")),
    "tau": (("--tau", "-1"), ("--tau", "-1", "expected")),
    "cannot be written": (("--output", "no/r.h5"), ("no/r.h5", "cannot be written")),
    "exists": (("--output", "old.h5"), ("old.h5", "exists", "--overwrite")),
    "serial method": (("--method", "gm"), ("gm", "one rank")),
    "unknown flag": (("--tua", "1"), ("--tua",)),
}


def wrong_command(name, problem, folder):
    """A run with the fault of that name, to be started in the folder."""
    wrong, _ = WRONG[name]
    path, flags = problem, ()
    if isinstance(wrong, str):
        path = folder / wrong
    elif isinstance(wrong, tuple):
        flags = wrong
    else:
        path = spoilt(problem, folder / f"{name.replace(' ', '-')}.h5", wrong)
    return ["run", path, "-o", "new.h5", *flags]


@pytest.fixture
def folder(tmp_path):
    """One to run wrong commands in, which leave it as it is."""
    (tmp_path / "old.h5").write_text("an old result")
    no_denoiser(tmp_path / "exp.onnx")
    yield tmp_path
    assert (tmp_path / "old.h5").read_text() == "an old result"
    assert not (tmp_path / "new.h5").exists()
    assert not list(tmp_path.glob(".*"))


def test_bad_input_is_refused_in_one_line(problem, folder):
    ends = several(4, *(wrong_command(name, problem, folder) for name in WRONG), cwd=folder)
    for (name, (_, words)), (code, said) in zip(WRONG.items(), ends, strict=True):
        lines = [line for line in said.splitlines() if line.startswith("asyncred:")]
        assert code == 2 and len(lines) == 1 and "Traceback" not in said, (name, said)
        assert all(word in lines[0] for word in words), (name, said)


@pytest.mark.library
def test_bad_input_ends_the_job(problem, folder):
    """In time, with that exit code, no rank left behind: what one rank finds, and all of them."""
    for name in ("NaN", "unknown flag"):
        command = wrong_command(name, problem, folder)
        refused(mpirun(2, *ASYNCRED, *command, timeout=30, cwd=folder), WRONG[name][1])
        wait_for(lambda: not processes_naming(folder), 5)


def test_more_ranks_than_blocks_are_refused(tmp_path):
    problem = commands.simulate("cs", tmp_path / "p.h5", "--size", "32", "--block", "32")
    refused(run(2, problem, tmp_path / "r.h5", timeout=30), ("1 blocks", "2 ranks"))


class Ten(Alone):
    """Rank 0 of ten, as far as it is asked before it finds that they are too many."""

    size = 10


def test_a_demo_of_too_many_ranks_leaves_nothing(tmp_path):
    with pytest.raises(InputError, match="demo: 10 ranks, expected at most 9"):
        demo(Ten(), tmp_path / "demo", epochs=1, overwrite=False)
    assert not (tmp_path / "demo").exists()


def refused(done, words):
    lines = [line for line in done.stderr.splitlines() if line.startswith("asyncred:")]
    assert done.returncode == 2, done.stdout + done.stderr
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    for word in words:
        assert word in lines[0]


@pytest.mark.library
def test_processes_that_do_not_see_each_other_are_refused(problem, tmp_path):
    done = start(
        [*ASYNCRED, "run", problem, "-o", tmp_path / "r.h5"],
        env={"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "0"},
    )
    _, stderr = done.communicate(timeout=30)
    assert done.returncode == 2 and "MPI sees each alone" in stderr


@pytest.fixture(scope="module")
def old_result(problem, tmp_path_factory):
    path = tmp_path_factory.mktemp("old") / "result.h5"
    return reconstruct(2, problem, path, *TV, "--updates", "16").path


@pytest.fixture
def long_run(problem, old_result, tmp_path):
    """A run of 3 ranks over an old result, long enough to be disturbed."""
    output = tmp_path / "result.h5"
    old = old_result.read_bytes()
    output.write_bytes(old)
    flags = [*TV, "--epochs", "1e7", "--tol", "0", "--overwrite", "--report", "0.1"]
    job = start([find_mpirun(), "-n", "3", *ASYNCRED, "run", problem, "-o", output, *flags])
    assert job.stdout is not None
    for line in job.stdout:
        if "epoch" in line:  # the loop has begun
            break
    yield job, output, old
    with contextlib.suppress(ProcessLookupError):
        end(job)


@pytest.mark.library
def test_a_killed_rank_ends_the_job(long_run):
    job, output, old = long_run
    os.kill(ranks_of(output)[2], signal.SIGKILL)
    job.communicate(timeout=10)
    assert job.returncode != 0
    assert output.read_bytes() == old
    wait_for(lambda: not processes_naming(output), 5)
    assert {path.name for path in output.parent.iterdir()} <= {"result.h5", ".result.h5.lock"}


@pytest.mark.library
@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_a_signal_at_any_rank_ends_the_run_with_its_result(long_run, number):
    job, output, _ = long_run
    os.kill(ranks_of(output)[2], number)
    stdout, stderr = job.communicate(timeout=20)
    assert job.returncode == 75, stdout + stderr
    found = read_result(output)
    assert found.provenance["stopped"] == "signal" and not found.complete


FAULT = """
import sys
from mpi4py import MPI
import asyncred.red.operator
from asyncred.commands.cli import main

class Fault(Exception): pass

def broken(self, i, x_tilde, rows=None):
    raise Fault("on purpose")

if MPI.COMM_WORLD.rank == 1:
    asyncred.red.operator.RedOperator.block = broken
main(sys.argv[1:])
"""


@pytest.mark.library
def test_a_failing_rank_ends_the_job_with_its_traceback(problem, tmp_path):
    command = (sys.executable, "-c", FAULT, "run", problem, "-o", tmp_path / "r.h5", *TV)
    done = mpirun(3, *command, timeout=15)
    assert done.returncode not in (0, 2, 75)
    assert "Fault: on purpose" in done.stderr
    wait_for(lambda: not processes_naming(tmp_path), 5)
    assert {path.name for path in tmp_path.iterdir()} <= {".r.h5.lock"}
