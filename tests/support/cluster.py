"""A throw-away SLURM for tests: submits jobs and tells what became of them, all within limits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from launch import ENVIRONMENT

HERE = Path(__file__).parent
JOBS = HERE.parents[1] / "jobs"
OVER = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "DEADLINE", "PREEMPTED"}


class Cluster:
    """Two nodes, n1 and n2, of 4 cores and 2 GPUs each, all of them this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "ASYNCRED"))}
        self.env = {
            **inherited,
            **ENVIRONMENT,
            "SLURM_CONF": str(folder / "slurm.conf"),
            # Two runs of the tests do not meet.
            "SLURM_TEST_PORT": str(20001 + 3 * (os.getpid() % 4000)),
            "ASYNCRED_VENV": sys.prefix,
            "ASYNCRED_JOBS": str(JOBS),
            "ASYNCRED_CHECKPOINT_EVERY": "0.002",
        }

    def up(self) -> None:
        """Start it. Raises RuntimeError."""
        self.call(HERE / "slurm/up.sh", self.folder, str(os.getpid()), timeout=60)

    def down(self) -> None:
        """End it and all that ran on it."""
        subprocess.run([HERE / "slurm/down.sh", self.folder], check=True, timeout=60)

    def call(
        self,
        *command: str | Path,
        timeout: float = 20,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> str:
        """What a command prints; ``env`` is added. Raises RuntimeError where it fails."""
        done = subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=cwd,
            env={**self.env, **(env or {})},
        )
        if done.returncode:
            raise RuntimeError(f"{done.args}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def submit(
        self,
        script: str,
        *args: str | Path,
        cwd: Path,
        options: Sequence[str] = ("--ntasks=2",),
        env: Mapping[str, str] | None = None,
    ) -> str:
        """Submit a script of jobs/ from ``cwd``; its number."""
        command = ["sbatch", "--parsable", "--output=%x-%j.log", *options, JOBS / script, *args]
        return self.call(*command, cwd=cwd, env=env).strip()

    def state(self, job: str) -> dict[str, str]:
        """What SLURM says of a job, by its own names; of the first task of an array."""
        line = self.call("scontrol", "show", "job", "-o", job).splitlines()[0]
        return dict(word.split("=", 1) for word in line.split() if "=" in word)

    def wait(self, job: str, timeout: float = 180) -> dict[str, str]:
        """The state of a job that is over. Raises TimeoutError with its log."""
        try:
            return self.until(lambda: self.over(job), timeout)
        except TimeoutError:
            raise TimeoutError(f"job {job}: {self.state(job)}\n{self.log(job)}") from None

    def until(self, condition: Callable[[], object], timeout: float = 60) -> object:
        """What the condition returns as soon as it holds. Raises TimeoutError."""
        deadline = time.monotonic() + timeout
        while not (found := condition()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {timeout:g} s")
            time.sleep(0.05)
        return found

    @contextmanager
    def without(self, node: str) -> Iterator[None]:
        """A node dies; SLURM is told, which else takes SlurmdTimeout; the node comes back."""
        daemon = int((self.folder / f"run/slurmd-{node}.pid").read_text())
        for pid in [daemon, *self._processes(node)]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.call("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")
        try:
            yield
        finally:
            self.call("slurmd", "-N", node, "-f", self.folder / "slurm.conf")
            self.until(lambda: "idle" in self.call("sinfo", "-h", "-n", node, "-o", "%T"))

    def _processes(self, node: str) -> set[int]:
        """Those of jobs on a node, and the step daemons above them."""
        mine = {f"SLURM_CONF={self.env['SLURM_CONF']}", f"SLURMD_NODENAME={node}"}
        found = set()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                environment = (folder / "environ").read_bytes().decode().split("\0")
                parent = (folder / "status").read_text().split("PPid:")[1].split()[0]
                above = (folder.parent / parent / "comm").read_text()
            except OSError:
                continue
            if mine <= set(environment):
                found |= {int(folder.name)} | ({int(parent)} if "slurmstepd" in above else set())
        return found

    def log(self, job: str) -> str:
        """What a job has written."""
        path = Path(self.state(job)["StdOut"])
        return path.read_text() if path.exists() else ""

    def iterating(self, job: str, restarts: int = 0) -> bool:
        """Whether the program is in its loop, after so many restarts of the job."""
        start = self.log(job).split(" asyncred run ")[-1]
        begun = "  epoch " in start and "exit code" not in start
        return begun and self.state(job)["Restarts"] == str(restarts)

    def over(self, job: str) -> dict[str, str] | None:
        """Its state, if it is over."""
        found = self.state(job)
        return found if found["JobState"] in OVER else None
