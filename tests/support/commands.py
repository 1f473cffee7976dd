"""Commands of asyncred as people start them, which must succeed."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import h5py

from asyncred.commands.cli import main
from asyncred.files.result import Result, read_result
from launch import mpirun

ASYNCRED = (sys.executable, "-m", "asyncred")
THREADS = ("--threads", "1")
"""More do not pay on blocks as small as those of tests, and take the cores of other tests."""


def simulate(kind: str, path: Path, *flags: str | Path) -> Path:
    """Write a problem; in this process, which has loaded already what the command needs."""
    try:
        main(["simulate", kind, str(path), *map(str, flags)])
    except SystemExit as ended:
        assert ended.code == 0
    return path


def stacked(problem: Path, factors: Sequence[float] = (1, 1, 1)) -> Path:
    """Make a problem file that of a stack: what was measured, and the truth, times each factor."""
    with h5py.File(problem, "r+") as file:
        for key in ("measurements/y", "truth"):
            values = file[key][:]
            del file[key]
            file[key] = np.stack([factor * values for factor in factors])
    return problem


def reconstruct(problem: Path, ranks: int, *flags: str | Path, row: int = 0) -> Result:
    """Run it, over any earlier result beside it, and read an image."""
    output = problem.with_name("result.h5")
    command = ("run", problem, "-o", output, "--overwrite", *THREADS, *flags)
    done = mpirun(ranks, *ASYNCRED, *command, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return read_result(output, row)


def reconstruct_all(problem: Path, ranks: int, *runs: Sequence[str | Path]) -> list[Result]:
    """Results of several runs, each with flags of its own, one after another by the same ranks."""
    outputs = [problem.with_name(f"result-{k}.h5") for k in range(len(runs))]
    commands = [
        ("run", problem, "-o", output, "--overwrite", *THREADS, *flags)
        for output, flags in zip(outputs, runs, strict=True)
    ]
    ends = several(ranks, *commands)
    assert [code for code, _ in ends] == [0] * len(runs), ends
    return [read_result(output) for output in outputs]


def several(
    ranks: int, *commands: Sequence[str | Path], cwd: Path | None = None
) -> list[tuple[int, str]]:
    """Exit code and stderr of each of some commands, run one after another by the same ranks."""
    words = [[str(word) for word in command] for command in commands]
    program = Path(__file__).with_name("several.py")
    done = mpirun(ranks, sys.executable, program, json.dumps(words), timeout=180, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    said = re.split(r"^exit code (\d+)\n", done.stderr, flags=re.MULTILINE)
    found = [(int(code), text) for text, code in zip(said[::2], said[1::2], strict=False)]
    assert len(found) == len(commands), done.stderr
    return found


def refused(ranks: int, *commands: Sequence[str | Path]) -> list[str]:
    """The one line that each of some commands ends with, with exit code 2."""
    lines = []
    for code, said in several(ranks, *commands):
        found = [line for line in said.splitlines() if line.startswith("asyncred: ")]
        assert code == 2 and len(found) == 1 and "Traceback" not in said, said
        lines += found
    return lines
