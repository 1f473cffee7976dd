"""How much memory a rank's process takes before it has any data, tried in a process of its own.

``python -m asyncred.commands.footprint`` reads a pickled denoiser and window on standard input and
prints the bytes: the program of a run, its libraries, ONNX Runtime and what it needs for that
window.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np

from asyncred.denoisers.onnx import DenoiserModel, OnnxDenoiser

TIMEOUT = 300.0


def process_bytes(model: DenoiserModel, window: tuple[int, int]) -> int:
    """Peak resident memory of a process that denoises one window, in bytes; without MPI's buffers.

    Raises ValueError where it cannot be tried.
    """
    command = [sys.executable, "-m", "asyncred.commands.footprint"]
    given = pickle.dumps((model, window))
    try:
        done = subprocess.run(command, input=given, capture_output=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        raise ValueError(f"{model.path}: a window of {window} takes over {TIMEOUT:g} s") from None
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["killed"]
        raise ValueError(f"{model.path}: fails on a window of {window}: {reason[0]}")
    return int(done.stdout)


def _main() -> None:
    import mpi4py

    mpi4py.rc.initialize = False  # one process of no job; only its libraries are wanted
    import asyncred.runtime.app  # noqa: F401

    model, window = pickle.load(sys.stdin.buffer)
    shape = window if model.roles.planes == 1 else (model.roles.planes, *window)
    OnnxDenoiser(model, threads=1)(np.zeros(shape, np.float32))
    print(_peak())


def _peak() -> int:
    """VmHWM; ru_maxrss would count what the parent had at the fork."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    raise RuntimeError("no VmHWM in /proc/self/status")


if __name__ == "__main__":
    _main()
