"""BLAS has one thread in every rank of every command, whatever imports what."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from commands import ASYNCRED, simulate
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

COMMANDS = {
    "run": (2, ("run", "{problem}", "-o", "result.h5", "--epochs", "2")),
    "demo": (2, ("demo", "--epochs", "1")),
    "doctor": (2, ("doctor",)),
    "check": (1, ("check", "{problem}", "-n", "2")),
    "simulate": (1, ("simulate", "ct", "other.h5", "--size", "96", "--views", "8")),
    "models": (1, ("models", "tv")),
}


@pytest.mark.ranks
@pytest.mark.parametrize("name", COMMANDS)
def test_one_blas_thread_in_every_rank(name, tmp_path):
    found = threads_of(name, tmp_path, {})
    assert found and all(pools and set(pools) == {1} for pools in found), found


def test_a_number_of_threads_that_the_user_set_stays(tmp_path):
    found = threads_of("simulate", tmp_path, {"OPENBLAS_NUM_THREADS": "2"})
    assert all(2 in pools for pools in found), found


def threads_of(name: str, folder: Path, env: dict[str, str]) -> list[list[int]]:
    """Of each process of a command, the threads of each BLAS library that it loaded."""
    ranks, words = COMMANDS[name]
    spy, work = folder / "spy", folder / "work"
    for path in (spy, work):
        path.mkdir()
    spy.joinpath("sitecustomize.py").write_text(SPY)
    problem = simulate("blur", work / "blur.h5", "--size", "64", "--block", "32")
    done = mpirun(
        ranks,
        *ASYNCRED,
        *(word.format(problem=problem) for word in words),
        timeout=120,
        cwd=work,
        env={**AS_A_USER, "PYTHONPATH": str(spy), "ASYNCRED_SPY": str(spy), **env},
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return [json.loads(path.read_text()) for path in spy.iterdir() if path.name.isdigit()]
