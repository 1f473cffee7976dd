"""How many threads the BLAS libraries of a command have, in each of its Python processes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from commands import ASYNCRED
from launch import mpirun

SPY = """
import atexit, json, os, sys

def tell():
    if "numpy" in sys.modules:
        from threadpoolctl import threadpool_info
        found = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
        path = os.path.join(os.environ["ASYNCRED_SPY"], str(os.getpid()))
        with open(path, "w") as file:
            json.dump(found, file)

atexit.register(tell)
"""
"""Runs in every Python process that has it on its path; says at its end how many threads it had."""

AS_A_USER = {"OMP_NUM_THREADS": ""}
"""Other tests set it to 1, which would hide what is looked for here."""


def spied(
    ranks: int, words: Sequence[str | Path], spy: Path, env: Mapping[str, str] | None = None
) -> tuple[subprocess.CompletedProcess[str], list[list[int]]]:
    """What a command returned, and of each of its processes the threads of each BLAS library.

    ``spy`` is a new folder, beside which the command runs.
    """
    spy.mkdir()
    spy.joinpath("sitecustomize.py").write_text(SPY)
    more = {**AS_A_USER, "PYTHONPATH": str(spy), "ASYNCRED_SPY": str(spy), **(env or {})}
    done = mpirun(ranks, *ASYNCRED, *words, timeout=120, cwd=spy.parent, env=more)
    return done, [json.loads(path.read_text()) for path in spy.iterdir() if path.name.isdigit()]


def one_thread(found: list[list[int]]) -> bool:
    """Whether there were such processes, and every library of each had one thread."""
    return bool(found) and all(pools and set(pools) == {1} for pools in found)
