"""The scripts of jobs/, each submitted to a throw-away SLURM: they do what they say."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from asyncred.files.result import read_result
from asyncred.metrics import snr
from cluster import JOBS, Cluster
from commands import simulate, stacked
from launch import find_mpirun

BLOCKS, EPOCHS = 16, 600
TV = ("--denoiser", "tv", "--sigma", "5", "--threads", "1", "--report", "0.1")
RUN = (*TV, "--epochs", str(EPOCHS))
LONG = (*TV, "--epochs", "1e6")
LIMITED = ("--ntasks=2", "--nodelist=n1", "--time=1", "--signal=B:USR1@50")
HYDRA = b"HYDRA" in subprocess.run([find_mpirun(), "--version"], capture_output=True).stdout
MISSING = [name for name in ("slurmctld", "slurmd", "munged") if shutil.which(name) is None]

pytestmark = [
    pytest.mark.ranks,
    pytest.mark.skipif(os.geteuid() != 0, reason="starts SLURM's daemons: needs root"),
    pytest.mark.skipif(bool(MISSING), reason=f"no {', '.join(MISSING)}: slurm-wlm, munge"),
]
two_nodes = pytest.mark.skipif(not HYDRA, reason="Open MPI takes two nodes of a machine for one")
LAUNCHERS = [
    "mpirun",
    pytest.param(
        "srun", marks=pytest.mark.skipif(not HYDRA, reason="pmi2 is MPICH's, not Open MPI's")
    ),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    found = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        found.up()
        yield found
    finally:
        found.down()


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    path = tmp_path_factory.mktemp("problem") / "cs.h5"
    return simulate("cs", path, "--size", "64", "--block", "16", "--ratio", "1.5")


@pytest.fixture(scope="module")
def stack(problem, tmp_path_factory):
    """The same problem three times in one file."""
    path = tmp_path_factory.mktemp("stack") / "stack.h5"
    path.write_bytes(problem.read_bytes())
    return stacked(path)


@pytest.fixture(scope="module")
def uncut(cluster, problem, tmp_path_factory):
    """The SNR of a run of two ranks that nobody disturbs."""
    folder = tmp_path_factory.mktemp("uncut")
    job = cluster.submit("single_node.sbatch", problem, "-o", "r.h5", *RUN, cwd=folder)
    assert cluster.wait(job)["JobState"] == "COMPLETED", cluster.log(job)
    found = read_result(folder / "r.h5")
    assert found.complete and found.per_block.sum() == BLOCKS * EPOCHS
    assert not list(folder.glob("[!.]*checkpoint*"))
    return snr(found.truth, found.image)


@pytest.fixture(scope="module", autouse=True)
def limited(cluster, problem, uncut, tmp_path_factory):
    """A run without end, cut by its limit again and again while the other tests run.

    SLURM looks at limits every 30 s, and is early by as much: twenty restarts, the scripts' own
    bound, are over in ten minutes. The run sleeps most of the time.
    """
    folder = tmp_path_factory.mktemp("limited")
    config = folder / "run.toml"
    config.write_text('updates = 10_000_000\nslow = ["0:50", "1:50"]\n')
    flags = ("--config", config, *TV)
    job = cluster.submit(
        "requeue.sbatch",
        problem,
        "-o",
        "r.h5",
        *flags,
        cwd=folder,
        options=LIMITED,
        env={"ASYNCRED_MAX_RESTARTS": "1000"},
    )
    return job, config


def complete(path, uncut, updates=BLOCKS * EPOCHS, row=0):
    """Whether all updates were made, each counted once, and led where they lead uncut."""
    found = read_result(path, row)
    assert found.complete and found.provenance["stopped"] == "budget"
    assert found.per_block.sum() == found.delays.sum() == updates
    assert found.column("updates")[-1] == updates
    assert abs(snr(found.truth, found.image) - uncut) < 0.05
    return found


def ranks_of(output):
    """The processes of the ranks that write ``output``."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"python" in words[0] and os.fsencode(output) in words:
            found.append(int(folder.name))
    return found


def environment_of(pid):
    words = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(word.split("=", 1) for word in words if "=" in word)


@two_nodes
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_two_nodes(launcher, cluster, problem, uncut, tmp_path):
    output = tmp_path / "r.h5"
    job = cluster.submit(
        "multi_node.sbatch",
        problem,
        "-o",
        output,
        *RUN,
        cwd=tmp_path,
        options=("--nodes=2", "--ntasks-per-node=1"),
        env={"ASYNCRED_LAUNCHER": launcher},
    )
    cluster.until(lambda: cluster.iterating(job))
    nodes = {node_of(pid) for pid in ranks_of(output)}
    assert cluster.wait(job)["JobState"] == "COMPLETED", cluster.log(job)
    assert nodes == {"n1", "n2"}
    assert complete(output, uncut).provenance["ranks"] == 2


def node_of(pid):
    """The node of SLURM that a process runs on."""
    return environment_of(pid)["SLURMD_NODENAME"]


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_signal_puts_down_and_requeues_and_the_rest_is_done(
    launcher, cluster, problem, uncut, tmp_path
):
    """Twice: at the batch shell alone, which is what sbatch --signal=B:USR1@N does."""
    env = {"ASYNCRED_LAUNCHER": launcher}
    job = cluster.submit("requeue.sbatch", problem, "-o", "r.h5", *RUN, cwd=tmp_path, env=env)
    for restarts in (0, 1):
        cluster.until(lambda restarts=restarts: cluster.iterating(job, restarts))
        found = tmp_path / "r.h5"  # what there is after the first signal, to be looked at
        assert not read_result(found).complete if restarts else not found.exists()
        cluster.call("scancel", "--batch", "--signal=USR1", job)
    found = cluster.wait(job)
    assert (found["JobState"], found["Restarts"]) == ("COMPLETED", "2"), cluster.log(job)
    assert cluster.log(job).count("--resume asyncred") >= 2
    complete(tmp_path / "r.h5", uncut)
    assert not list(tmp_path.glob("[!.]*checkpoint*"))


def test_resubmission_goes_on_under_another_number(cluster, problem, uncut, tmp_path):
    env = {"ASYNCRED_AGAIN": "resubmit"}
    job = cluster.submit("requeue.sbatch", problem, "-o", "r.h5", *RUN, cwd=tmp_path, env=env)
    cluster.until(lambda: cluster.iterating(job))
    cluster.call("scancel", "--batch", "--signal=USR1", job)
    assert cluster.wait(job)["ExitCode"] == "75:0", cluster.log(job)
    next_job = cluster.log(job).split("Submitted batch job ")[1].split()[0]
    assert cluster.wait(next_job)["JobState"] == "COMPLETED", cluster.log(next_job)
    assert f"--resume asyncred-{job}.checkpoint.h5" in cluster.log(next_job)
    complete(tmp_path / "r.h5", uncut)


def test_restarts_come_to_an_end(cluster, problem, tmp_path):
    """--max-time puts every start down; no more than so many are made."""
    flags = (*LONG, "--max-time", "0.2")
    env = {"ASYNCRED_MAX_RESTARTS": "1"}
    job = cluster.submit("requeue.sbatch", problem, "-o", "r.h5", *flags, cwd=tmp_path, env=env)
    found = cluster.wait(job)
    assert (found["Restarts"], found["ExitCode"]) == ("1", "75:0"), cluster.log(job)
    assert "ASYNCRED_MAX_RESTARTS is 1" in cluster.log(job)
    assert (tmp_path / f"asyncred-{job}.checkpoint.h5").exists()


def test_a_cancelled_job_does_not_come_back(cluster, problem, tmp_path):
    job = cluster.submit("requeue.sbatch", problem, "-o", "r.h5", *LONG, cwd=tmp_path)
    cluster.until(lambda: cluster.iterating(job))
    cluster.call("scancel", job)
    found = cluster.wait(job)
    assert (found["JobState"], found["Restarts"]) == ("CANCELLED", "0")
    cluster.until(lambda: "exit code" in cluster.log(job))
    assert "restart 1" not in cluster.log(job)


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_killed_rank_is_started_again(launcher, cluster, problem, uncut, tmp_path):
    """In the same allocation, from the last checkpoint."""
    output = tmp_path / "r.h5"
    env = {"ASYNCRED_LAUNCHER": launcher}
    job = cluster.submit("single_node.sbatch", problem, "-o", output, *RUN, cwd=tmp_path, env=env)
    cluster.until((tmp_path / f"asyncred-{job}.checkpoint.h5.previous").exists)
    os.kill(ranks_of(output)[-1], signal.SIGKILL)
    found = cluster.wait(job)
    assert (found["JobState"], found["Restarts"]) == ("COMPLETED", "0"), cluster.log(job)
    assert "fault 1 of at most 3" in cluster.log(job)
    assert cluster.log(job).count("--resume asyncred") >= 1
    complete(output, uncut)


def test_faults_come_to_an_end(cluster, problem, tmp_path):
    """A mpirun that always fails, found before the real one."""
    broken = tmp_path / "mpirun"
    broken.write_text("#!/bin/sh\nexit 9\n")
    broken.chmod(0o755)
    env = {
        "PATH": f"{tmp_path}:{Path(find_mpirun()).parent}:{os.environ['PATH']}",
        "ASYNCRED_VENV": "",
        "ASYNCRED_MAX_FAULTS": "2",
    }
    job = cluster.submit("requeue.sbatch", problem, "-o", "r.h5", cwd=tmp_path, env=env)
    found = cluster.wait(job)
    assert (found["ExitCode"], found["Restarts"]) == ("9:0", "0"), cluster.log(job)
    assert cluster.log(job).count("exit code 9") == 3


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_diverged_run_is_not_repeated(launcher, cluster, problem, tmp_path):
    """It has a result, and would diverge again."""
    flags = (*RUN, "--step", "1e7")
    env = {"ASYNCRED_LAUNCHER": launcher}
    job = cluster.submit("requeue.sbatch", problem, "-o", "r.h5", *flags, cwd=tmp_path, env=env)
    found = cluster.wait(job)
    assert (found["ExitCode"], found["Restarts"]) == ("4:0", "0"), cluster.log(job)
    assert cluster.log(job).count("asyncred run") == 1
    assert "\ndiverged: x moves ever farther" in cluster.log(job)
    assert read_result(tmp_path / "r.h5").provenance["stopped"] == "diverged"


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_bad_input_is_not_requeued(launcher, cluster, problem, tmp_path):
    for flags, words in (
        (("-o", "r.h5", "--tau", "-1"), "--tau is '-1'"),
        (("-o", "r.h5", "--checkpoint", "c.h5"), "expected in ASYNCRED_CHECKPOINT"),
    ):
        env = {"ASYNCRED_LAUNCHER": launcher}
        job = cluster.submit("requeue.sbatch", problem, *flags, cwd=tmp_path, env=env)
        found = cluster.wait(job)
        assert (found["ExitCode"], found["Restarts"]) == ("2:0", "0"), cluster.log(job)
        assert words in cluster.log(job)
        assert cluster.log(job).count("asyncred run") <= 1


def test_orderly_ends_under_srun_are_no_faults(tmp_path):
    """rank.sh: 2, 4 and 75 go into the file, the rest is passed on; a signal is the program's."""
    file = tmp_path / "ending"
    endings = ((0, 0, ""), (2, 0, "2"), (4, 0, "4"), (75, 0, "75"), (9, 9, ""))
    for code, passed, kept in endings:
        file.write_text("")
        done = subprocess.run([JOBS / "rank.sh", file, "sh", "-c", f"exit {code}"], timeout=10)
        assert (done.returncode, file.read_text().strip()) == (passed, kept)
    program = "trap 'exit 75' USR1; kill -USR1 $PPID; kill -USR1 $$; sleep 5"
    done = subprocess.run([JOBS / "rank.sh", file, "sh", "-c", program], timeout=10)
    assert (done.returncode, file.read_text().strip()) == (0, "75")


def test_ranks_that_do_not_see_each_other_are_refused(cluster, problem, tmp_path):
    env = {"ASYNCRED_LAUNCHER": "srun", "ASYNCRED_SRUN_MPI": "none"}
    job = cluster.submit("requeue.sbatch", problem, "-o", "r.h5", *RUN, cwd=tmp_path, env=env)
    found = cluster.wait(job)
    assert (found["ExitCode"], found["Restarts"]) == ("2:0", "0"), cluster.log(job)
    said = [line for line in cluster.log(job).splitlines() if line.startswith("asyncred:")]
    assert len(said) == 1 and "pmi2 for MPICH, pmix for Open MPI" in said[0], cluster.log(job)
    assert not (tmp_path / "r.h5").exists()


def test_the_doctor_refuses_ranks_that_do_not_see_each_other(cluster, tmp_path):
    asked = ["srun", "--mpi=none", "--ntasks=2", sys.executable, "-m", "asyncred", "doctor"]
    done = subprocess.run(
        [*asked, "-o", tmp_path], capture_output=True, text=True, env=cluster.env, timeout=60
    )
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("asyncred:")]
    assert len(said) == 1 and "2 processes were started" in said[0], done.stderr
    assert "pmi2 for MPICH, pmix for Open MPI; srun --mpi=list" in said[0]
    assert list(tmp_path.iterdir()) == []


def test_modules_are_loaded_before_the_program_is_sought(cluster, problem, tmp_path):
    """A stand-in for the function that sites have: notes its arguments, and sets PATH."""
    path = f'[[ $3 == mpich ]] || return 1; PATH="{Path(sys.executable).parent}:$PATH"'
    env = {
        "BASH_FUNC_module%%": f'() {{ echo "$*" >>{tmp_path}/called; {path}; }}',
        "ASYNCRED_VENV": "",
        "PATH": "/usr/bin:/bin",
    }
    flags = ("-o", "r.h5", *TV, "--updates", "16")
    for modules, code in (("python/3.11 mpich", "0:0"), ("python mpi", "2:0")):
        env["ASYNCRED_MODULES"] = modules
        job = cluster.submit("requeue.sbatch", problem, *flags, cwd=tmp_path, env=env)
        assert cluster.wait(job)["ExitCode"] == code, cluster.log(job)
    assert (tmp_path / "called").read_text() == "load python/3.11 mpich\nload python mpi\n"
    assert "module load python mpi: exit code 1" in cluster.log(job)
    assert read_result(tmp_path / "r.h5").complete
    del env["BASH_FUNC_module%%"]
    job = cluster.submit("requeue.sbatch", problem, *flags, cwd=tmp_path, env=env)
    assert cluster.wait(job)["ExitCode"] == "2:0", cluster.log(job)
    assert "'python mpi', but there is no function module" in cluster.log(job)


def test_a_preempted_job_goes_on_later(cluster, problem, uncut, tmp_path):
    """A job of the partition main wants the whole node, while the other one is in its loop."""
    node, epochs = ("--ntasks=2", "--nodelist=n2", "--exclusive"), 2 * EPOCHS
    flags = (*TV, "--epochs", str(epochs))
    job = cluster.submit(
        "preemptible.sbatch", problem, "-o", "r.h5", *flags, cwd=tmp_path, options=node
    )
    cluster.until(lambda: cluster.iterating(job))
    asked = ["sbatch", "--parsable", "--nodelist=n2", "--exclusive", "--output=/dev/null"]
    other = cluster.call(*asked, "--wrap=true").strip()
    assert cluster.wait(other)["JobState"] == "COMPLETED"
    found = cluster.wait(job)
    assert (found["JobState"], found["Restarts"]) == ("COMPLETED", "1"), cluster.log(job)
    assert "not converged: it was asked to stop" in cluster.log(job)
    complete(tmp_path / "r.h5", uncut, BLOCKS * epochs)


@two_nodes
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_each_rank_has_a_gpu_of_its_own(launcher, cluster, problem, tmp_path):
    output = tmp_path / "r.h5"
    options = ("--nodes=2", "--ntasks-per-node=2", "--gpus-per-node=2")
    env = {"ASYNCRED_LAUNCHER": launcher, "ASYNCRED_PROVIDER": ""}
    job = cluster.submit(
        "gpu.sbatch", problem, "-o", output, *LONG, cwd=tmp_path, options=options, env=env
    )
    cluster.until(lambda: cluster.iterating(job))
    seen = [environment_of(pid) for pid in ranks_of(output)]
    cluster.call("scancel", job)
    found = sorted((each["SLURMD_NODENAME"], each["CUDA_VISIBLE_DEVICES"]) for each in seen)
    assert found == [("n1", "0"), ("n1", "1"), ("n2", "0"), ("n2", "1")]
    cluster.wait(job)


def test_gpus_are_asked_for(cluster, problem, tmp_path):
    """Of the program, as cuda; of SLURM, one for each rank."""
    for gpus, words in (("2", "asyncred run --provider cuda "), ("1", "2 ranks on 1 GPUs")):
        options = ["--ntasks-per-node=2", f"--gpus-per-node={gpus}"]
        flags = ("-o", "no/r.h5")  # cannot be written
        job = cluster.submit("gpu.sbatch", problem, *flags, cwd=tmp_path, options=options)
        assert cluster.wait(job)["ExitCode"] == "2:0", cluster.log(job)
        assert words in cluster.log(job)


def test_datasets_and_a_report_when_all_are_done(cluster, problem, uncut, tmp_path):
    """One task is cut and requeued, one was done before, the third's name has a space."""
    done = tmp_path / "b.h5"
    (tmp_path / "c d.h5").write_bytes(problem.read_bytes())
    words = " ".join(RUN)
    (tmp_path / "manifest").write_text(
        f"{problem} a.h5 {words}\n{problem} b.h5 {words}\n'c d.h5' c.h5 {words} --tau 0.5\n"
    )
    before = cluster.submit(
        "array_datasets.sbatch", "manifest", cwd=tmp_path, options=["--array=2"]
    )
    assert cluster.wait(before)["JobState"] == "COMPLETED", cluster.log(before)
    old = done.stat()
    said = cluster.call(
        JOBS / "chain.sh", "manifest", "all.h5", "--output=task-%a.log", cwd=tmp_path
    )
    array, report = said.split()[1].strip(","), said.split()[3]
    cluster.until(lambda: "  epoch " in log_of(tmp_path, 1))
    cluster.call("scancel", "--batch", "--signal=USR1", f"{array}_1")
    cluster.until(lambda: "restart 1" in log_of(tmp_path, 1))
    assert cluster.state(report)["JobState"] == "PENDING"
    found = cluster.wait(report, 90)
    assert found["JobState"] == "COMPLETED", cluster.log(report)
    assert cluster.state(f"{array}_1")["Restarts"] == "1"
    assert "b.h5: is complete" in log_of(tmp_path, 2) and done.stat().st_mtime == old.st_mtime
    complete(tmp_path / "a.h5", uncut)
    assert read_result(tmp_path / "c.h5").provenance["parameters"]["tau"] == 0.5
    assert cluster.log(report).count("stopped by budget") == 3
    assert not list(tmp_path.glob("[!.]*checkpoint*"))


def test_a_stack_goes_on_after_a_fault_and_a_signal(cluster, stack, uncut, tmp_path):
    """Without a checkpoint from what its result holds, with one of the image in flight from it."""
    output = tmp_path / "r.h5"
    flags = (*RUN, "--ranks-per-image", "2")
    env = {"ASYNCRED_CHECKPOINT_EVERY": "10"}
    job = cluster.submit("requeue.sbatch", stack, "-o", output, *flags, cwd=tmp_path, env=env)
    cluster.until(lambda: "image 0 (1 of 3)" in cluster.log(job))
    os.kill(ranks_of(output)[0], signal.SIGKILL)
    cluster.until(lambda: "fault 1" in cluster.log(job))
    first = read_result(output, 0)
    assert first.complete and not list(tmp_path.glob("[!.]*checkpoint*"))
    cluster.until(lambda: cluster.iterating(job))
    cluster.call("scancel", "--batch", "--signal=USR1", job)
    cluster.until(lambda: "restart 1" in cluster.log(job))
    kept = [path.name for path in tmp_path.glob("[!.]*checkpoint*")]
    assert kept in [[f"asyncred-{job}.checkpoint.{k:06d}.h5"] for k in (1, 2)]
    found = cluster.wait(job)
    assert (found["JobState"], found["Restarts"]) == ("COMPLETED", "1"), cluster.log(job)
    assert cluster.log(job).count("--resume asyncred") == 2
    assert cluster.log(job).count("image 0 (1 of 3)") == 1
    for row in range(3):
        assert complete(output, uncut, row=row).completed.all()
    np.testing.assert_array_equal(read_result(output, 0).image, first.image)
    assert not list(tmp_path.glob("[!.]*checkpoint*"))


def test_parts_of_a_stack_are_merged_when_all_are_done(cluster, stack, uncut, tmp_path):
    """The first, of two images, is cut and requeued."""
    words = " ".join((*RUN, "--ranks-per-image 2"))
    (tmp_path / "manifest").write_text(
        f"{stack} a.h5 --images 0:2 {words}\n{stack} b.h5 {words} --images=2"
    )
    said = cluster.call(
        JOBS / "chain.sh", "manifest", "all.h5", "--output=task-%a.log", cwd=tmp_path
    )
    array, report = said.split()[1].strip(","), said.split()[3]
    cluster.until(lambda: "  epoch " in log_of(tmp_path, 1))
    cluster.call("scancel", "--batch", "--signal=USR1", f"{array}_1")
    cluster.until(lambda: list(tmp_path.glob("a.checkpoint.00000[01].h5")))
    found = cluster.wait(report, 90)
    assert found["JobState"] == "COMPLETED", cluster.log(report)
    assert cluster.state(f"{array}_1")["Restarts"] == "1"
    assert "wrote all.h5: 3 images of 2 parts, 3 complete" in cluster.log(report)
    for row in range(3):
        assert f"3 of 3 images complete; row {row}: complete" in cluster.log(report)
        assert (tmp_path / f"all.{row}.png").exists()
        complete(tmp_path / "all.h5", uncut, row=row)
    assert not list(tmp_path.glob("[!.]*checkpoint*"))


def log_of(folder, task):
    path = folder / f"task-{task}.log"
    return path.read_text() if path.exists() else ""


def test_in_a_container(cluster, problem, uncut, tmp_path):
    """Apptainer itself is not here: a stand-in notes its arguments and runs the command."""
    folder = tmp_path / "bin"
    folder.mkdir()
    stand_in = folder / "apptainer"
    stand_in.write_text(
        f'#!/bin/bash\necho "$@" >>{tmp_path}/called\n'
        'while [[ $1 != *.sif ]]; do shift; done\nshift\nexec "$@"\n'
    )
    stand_in.chmod(0o755)
    env = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "ASYNCRED_CONTAINER": "my.sif",
        "ASYNCRED_CONTAINER_FLAGS": "--bind /data",
    }
    job = cluster.submit("container.sbatch", problem, "-o", "r.h5", *RUN, cwd=tmp_path, env=env)
    cluster.until(lambda: cluster.iterating(job))
    cluster.call("scancel", "--batch", "--signal=USR1", job)
    assert cluster.wait(job)["ExitCode"] == "75:0", cluster.log(job)
    assert "--resume goes on from it" in cluster.log(job)
    calls = [line for line in (tmp_path / "called").read_text().splitlines() if " run " in line]
    assert len(calls) == 2  # ranks
    assert all(line.startswith("exec --bind /data my.sif asyncred run ") for line in calls)
    job = cluster.submit("container.sbatch", problem, "-o", "r.h5", cwd=tmp_path)
    assert cluster.wait(job)["JobState"] == "FAILED"
    assert "ASYNCRED_CONTAINER: is the image" in cluster.log(job)


def test_scaling_is_a_table(cluster, problem, tmp_path):
    flags = (*TV, "--updates", "320")
    job = cluster.submit(
        "scaling.sbatch", problem, *flags, cwd=tmp_path, env={"ASYNCRED_OUT": "out"}
    )
    assert cluster.wait(job)["JobState"] == "COMPLETED", cluster.log(job)
    head, rule, *rows = (tmp_path / "out/scaling.md").read_text().splitlines()
    assert head == "| ranks | updates/s | speed-up | efficiency |" and rule.count("---:") == 4
    cells = [[float(cell.strip(" %")) for cell in row.strip("|").split("|")] for row in rows]
    assert [row[0] for row in cells] == [1, 2]
    for ranks, rate, speedup, efficiency in cells:
        found = read_result(tmp_path / f"out/{int(ranks)}.h5")
        assert found.provenance["ranks"] == ranks
        assert rate == pytest.approx(320 / found.column("seconds")[-1], rel=0.01)
        assert speedup == pytest.approx(rate / cells[0][1], abs=0.01)
        assert efficiency == pytest.approx(100 * speedup / ranks, abs=1)


def test_cut_by_its_limit_again_and_again(cluster, limited, uncut):
    """Twice at least; once more, by hand, to be told to end a hundred epochs on."""
    job, config = limited
    cluster.until(lambda: requeued(cluster, job) >= 2, 75)
    cluster.until(lambda: cluster.iterating(job, requeued(cluster, job)))
    cuts = requeued(cluster, job) + 1
    cluster.call("scancel", "--batch", "--signal=USR1", job)
    cluster.until(lambda: requeued(cluster, job) >= cuts)
    done = int(re.findall(r"^(\d+) updates, ", cluster.log(job), re.MULTILINE)[-1])
    updates = done + 100 * BLOCKS
    config.write_text(f"updates = {updates}\n")
    found = cluster.wait(job, 120)
    log = cluster.log(job)
    restarts = int(found["Restarts"])  # the limit may have come once more meanwhile
    assert found["JobState"] == "COMPLETED" and restarts >= cuts, log
    assert log.count("DUE TO JOB REQUEUE") == restarts, log
    complete(config.with_name("r.h5"), uncut, updates)


def requeued(cluster, job):
    return cluster.log(job).count(": requeue\n")


@two_nodes
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_node_that_dies(launcher, cluster, problem, uncut, tmp_path):
    """All that runs on it is killed, and SLURM told: the other node goes on alone."""
    output = tmp_path / "r.h5"
    options = ("--nodes=2", "--ntasks-per-node=1")
    env = {"ASYNCRED_ANSWER_WITHIN": "8", "ASYNCRED_LAUNCHER": launcher}
    job = cluster.submit(
        "multi_node.sbatch", problem, "-o", output, *RUN, cwd=tmp_path, options=options, env=env
    )
    cluster.until((tmp_path / f"asyncred-{job}.checkpoint.h5.previous").exists)
    with cluster.without("n2"):
        assert cluster.wait(job)["JobState"] == "COMPLETED", cluster.log(job)
    assert cluster.state(job)["Restarts"] == "0"
    assert "no answer from n2; 1 ranks on n1" in cluster.log(job)
    assert cluster.log(job).count("--resume asyncred") >= 1
    assert complete(output, uncut).provenance["ranks"] == 1
