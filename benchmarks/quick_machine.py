"""The machine of ``quick.py``: two of its cores, what else uses them, and how fast they are."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

LIMIT = 60.0
"""Seconds of a command."""

SIDE, READ = 512, 2**27
"""Of the matrices, and the bytes of memory that each core reads."""

WARM, SPAN = 0.05, 0.15
"""Seconds of work before it counts, as an idle core is slow at first; and of work that counts."""

# Open MPI asks for these as root, or with more ranks than cores.
MPI = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}


def find_mpirun() -> str:
    """The mpirun beside this Python, else the one on PATH. Raises RuntimeError without one."""
    found = shutil.which("mpirun", path=Path(sys.executable).parent) or shutil.which("mpirun")
    if found is None:
        raise RuntimeError("no mpirun: pip install mpich")
    return found


def call(*command: object) -> None:
    """Run a command in the environment of a user who sets no number of threads.

    Raises RuntimeError where it fails, or is not done in time; then all of it is killed.
    """
    unset = {name: value for name, value in os.environ.items() if "NUM_THREADS" not in name}
    process = subprocess.Popen(
        [str(part) for part in command],
        env=unset | MPI,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=LIMIT)
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise RuntimeError(f"not done after {LIMIT:g} s: {process.args}") from None
        raise
    if process.returncode != 0:
        raise RuntimeError(f"{process.args}: exit code {process.returncode}\n{said}")


def two_cores() -> list[int]:
    """Two processors of different cores that this process may use; one where there is no other."""
    topology = "/sys/devices/system/cpu/cpu{}/topology/{}"
    cores: dict[tuple[str, ...], int] = {}
    for number in sorted(os.sched_getaffinity(0)):
        names = [Path(topology.format(number, n)) for n in ("physical_package_id", "core_id")]
        where = tuple(name.read_text() for name in names if name.exists())
        cores.setdefault(where or (str(number),), number)
    return list(cores.values())[:2]


def processor(cores: Sequence[int]) -> str:
    """Its name, generation and vector instructions, and how many cores are used of it."""
    lines = (line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines())
    said = {name.strip(): value.strip() for name, _, value in lines}
    family = f"{said.get('cpu family', '?')}.{said.get('model', '?')}"
    wide = " with AVX-512" if "avx512f" in said.get("flags", "").split() else ""
    name = said.get("model name", "unknown").replace(",", "")
    return f"{name} {family}{wide} x {len(cores)}"


class Watch:
    """What other work took of some cores, as a share of them, from ``start`` to ``share``."""

    def __init__(self, cores: Sequence[int]) -> None:
        self._names = [f"cpu{number}" for number in cores]
        self._start = self._now()

    def share(self) -> float:
        """Up to now."""
        seconds, busy, own = np.subtract(self._now(), self._start)
        return max(0.0, float((busy - own) / (seconds * len(self._names))))

    def _now(self) -> tuple[float, float, float]:
        """The time, the seconds in which the cores were not idle, those of this program."""
        busy = 0
        for line in Path("/proc/stat").read_text().splitlines():
            name, *ticks = line.split()
            if name in self._names:  # user, nice, system, idle, iowait, irq, softirq, steal
                busy += sum(map(int, ticks[:3])) + sum(map(int, ticks[5:8]))
        whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        own = sum(sum(resource.getrusage(who)[:2]) for who in whose)
        return time.perf_counter(), busy / os.sysconf("SC_CLK_TCK"), own


def wait(cores: Sequence[int], share: float, seconds: float) -> None:
    """Until other work takes less than a share of the cores, but not longer than that."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        watch = Watch(cores)
        time.sleep(min(1.0, seconds))
        if watch.share() < share:
            return


class References:
    """How fast all of the cores at once compute and read: the best of all samples until now."""

    def __init__(self, cores: Sequence[int]) -> None:
        self._count = len(cores)
        self._pool = ThreadPoolExecutor(self._count)
        rng = np.random.default_rng(0)
        self._a, self._b = rng.random((2, SIDE, SIDE), np.float32)
        self._out = np.empty((self._count, SIDE, SIDE), np.float32)
        self._read = np.ones((self._count, READ // 4), np.float32)
        self.product = self.read = 0.0
        """GFLOP/s and GB/s."""

    def sample(self) -> None:
        """Measure once more."""
        with threadpool_limits(1, user_api="blas"):
            self._times(WARM, lambda k: np.matmul(self._a, self._b, out=self._out[k]))
            products = self._times(SPAN, lambda k: np.matmul(self._a, self._b, out=self._out[k]))
            reads = self._times(SPAN, lambda k: np.dot(self._read[k], self._read[k]))
        self.product = max(self.product, 2e-9 * SIDE**3 * products)
        self.read = max(self.read, 1e-9 * READ * reads)

    def _times(self, seconds: float, work: Callable[[int], object]) -> float:
        """How often a second the cores together do it, were there no other work."""

        def repeat(k: int) -> float:
            count, start = 0, time.thread_time()
            while (taken := time.thread_time() - start) < seconds or not count:
                work(k)
                count += 1
            return count / taken

        return sum(self._pool.map(repeat, range(self._count)))
