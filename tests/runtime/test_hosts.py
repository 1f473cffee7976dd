"""Two emulated hosts: with the progress thread nobody waits for a rank inside its denoiser."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from asyncred.files.result import read_result
from commands import simulate
from launch import find_mpirun, launch

HERE = Path(__file__).parents[1] / "support" / "hosts"
HOSTS = HERE / "hosts.sh"
ADDRESSES = ("10.77.0.1", "10.77.0.2")

needs_namespaces = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None,
    reason="needs root and iproute2 for network namespaces",
)
needs_hydra = pytest.mark.skipif(
    "mpich"
    not in subprocess.run(
        [find_mpirun(), "--version"], capture_output=True, text=True
    ).stdout.lower()
    and "hydra"
    not in subprocess.run(
        [find_mpirun(), "--version"], capture_output=True, text=True
    ).stdout.lower(),
    reason="starts its ranks with Hydra's -launcher",
)
pytestmark = [pytest.mark.ranks, needs_namespaces, needs_hydra]


@pytest.fixture(scope="module", autouse=True)
def two_hosts():
    up = subprocess.run([HOSTS, "up"], capture_output=True, text=True, timeout=30)
    if up.returncode != 0:
        pytest.skip(f"network namespaces are not allowed here: {up.stderr.strip()}")
    yield
    subprocess.run([HOSTS, "down"], check=True, timeout=30)


def on_two_hosts(*args, timeout, code=0):
    command = [HOSTS, "on", ADDRESSES[0], find_mpirun(), "-launcher", "ssh"]
    command += ["-launcher-exec", HOSTS, "-hosts", ",".join(ADDRESSES), "-n", "2", *args]
    done = launch(command, timeout=timeout)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("thread", ["on", "off"])
def test_halo_reads_against_a_computing_rank(thread):
    out = on_two_hosts(sys.executable, HERE / "halo_read.py", thread, "3", timeout=120)
    found = json.loads(out.splitlines()[-1])
    assert found["spans_hosts"]
    if thread == "on":
        assert found["median"] <= 20, found
    else:
        assert found["median"] >= 0.25 * found["call"], found


def test_the_main_job_over_two_hosts(tmp_path):
    problem, result = tmp_path / "problem.h5", tmp_path / "result.h5"
    simulate("cs", problem, "--size", "64", "--block", "16")
    program = [sys.executable, "-m", "asyncred", "run", problem, "-o", result]
    on_two_hosts(*program, "--updates", "320", timeout=120)
    found = read_result(result)
    assert found.complete
    assert found.per_block.sum() == 320
    assert len(set(found.provenance["hosts"])) == 2


DOCTOR = [sys.executable, "-m", "asyncred", "doctor", "--threads", "1"]


def test_the_doctor_has_nothing_against_two_hosts(tmp_path):
    out = on_two_hosts(*DOCTOR, "-o", tmp_path, timeout=120)
    line = next(line for line in out.splitlines() if "RMA between hosts" in line)
    assert line.startswith("ok") and "--progress-thread on" not in line
    assert "2 on 2 host(s)" in out and "ok  reading: " in out


def test_the_doctor_says_when_reads_wait_and_when_a_folder_is_not_shared():
    flags = ("-o", "/dev/shm", "--progress-thread", "off")
    out = on_two_hosts(*DOCTOR, *flags, timeout=120, code=1)
    waits = next(line for line in out.splitlines() if "RMA between hosts" in line)
    assert waits.startswith("!!") and "--progress-thread on" in waits
    folder = "!!  shared file system: rank 1 on asyncred-b: /dev/shm: "
    assert [line for line in out.splitlines() if line.startswith(folder)]
