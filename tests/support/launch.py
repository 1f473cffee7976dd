"""Starts a command under mpirun, within a time limit, leaving no process behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

# Open MPI refuses root and more ranks than cores without these, and reports a missing transport on
# every rank. Other MPI libraries do not read them. The ranks share the cores: one thread each.
ENVIRONMENT = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_mpi_yield_when_idle": "1",
    "OMPI_MCA_osc": "^ucx",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "OMP_NUM_THREADS": "1",
}


def find_mpirun() -> str:
    """The mpirun beside this Python, else the one on PATH.

    Raises FileNotFoundError if there is none.
    """
    path = shutil.which("mpirun", path=Path(sys.executable).parent) or shutil.which("mpirun")
    if path is None:
        raise FileNotFoundError("no mpirun beside Python or on PATH: pip install mpich")
    return path


def mpirun(
    n: int,
    *args: str | Path,
    timeout: float,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Runs the command ``args`` on n ranks; see ``launch``."""
    return launch([find_mpirun(), "-n", str(n), *args], timeout=timeout, env=env, cwd=cwd)


def launch(
    command: Sequence[str | Path],
    *,
    timeout: float,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Runs a command that starts a job and returns its exit status and what it wrote.

    ``env`` is added to this process's environment. After ``timeout`` seconds the whole job is
    ended. Raises TimeoutError then, with what the job had written.
    """
    process = start(command, env=env, cwd=cwd)
    try:
        stdout, stderr = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        stdout, stderr = end(process)
        raise TimeoutError(
            f"not done after {timeout:g} s: {process.args}\n{stdout}\n{stderr}"
        ) from None
    except BaseException:
        end(process)
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def start(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.Popen[str]:
    """Starts a job in a session of its own, so that ``end`` finds all of it."""
    return subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **ENVIRONMENT, **(env or {})},
        cwd=cwd,
        start_new_session=True,
    )


def end(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Ends the job: mpirun ends its ranks at SIGTERM; what is left after 10 s is killed."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        return process.communicate(timeout=10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.communicate()


def processes_naming(text: object) -> list[tuple[int, str]]:
    """Running processes with ``text`` in their command line."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(text) in command and int(folder.name) != os.getpid():
            found.append((int(folder.name), command))
    return found


def ranks_of(output: Path) -> list[int]:
    """Process numbers of the ranks that write ``output``."""
    python = f"{sys.executable} -m asyncred run"
    return [pid for pid, command in processes_naming(output) if command.startswith(python)]
