"""Commands of asyncred as people start them, which must succeed."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from asyncred.files.result import Result, read_result
from launch import mpirun

ASYNCRED = (sys.executable, "-m", "asyncred")


def simulate(kind: str, path: Path, *flags: str | Path) -> Path:
    """Write a problem."""
    done = mpirun(1, *ASYNCRED, "simulate", kind, path, *flags, timeout=60)
    assert done.returncode == 0, done.stderr
    return path


def reconstruct(problem: Path, ranks: int, *flags: str | Path, row: int = 0) -> Result:
    """Run it, over any earlier result beside it, and read an image."""
    output = problem.with_name("result.h5")
    command = ("run", problem, "-o", output, "--overwrite", *flags)
    done = mpirun(ranks, *ASYNCRED, *command, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return read_result(output, row)


def several(
    ranks: int, *commands: Sequence[str | Path], cwd: Path | None = None
) -> list[tuple[int, str]]:
    """Exit code and stderr of each of some commands, run one after another by the same ranks."""
    words = [[str(word) for word in command] for command in commands]
    program = Path(__file__).with_name("several.py")
    done = mpirun(ranks, sys.executable, program, json.dumps(words), timeout=120, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    said = re.split(r"^exit code (\d+)\n", done.stderr, flags=re.MULTILINE)
    found = [(int(code), text) for text, code in zip(said[::2], said[1::2], strict=False)]
    assert len(found) == len(commands), done.stderr
    return found
