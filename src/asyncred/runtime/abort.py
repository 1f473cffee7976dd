"""The end of a job that one rank decides, whatever the others are doing."""

from __future__ import annotations

import sys
import time

from asyncred.runtime.comm import Alone, Comm

PAUSE = 0.2
"""Seconds in which mpirun passes on what this rank said: MPICH's may drop it once it is told."""


def abort(comm: Comm, code: int) -> None:
    """End all ranks of ``comm`` with this exit code."""
    sys.stdout.flush()
    sys.stderr.flush()
    if isinstance(comm, Alone):
        sys.exit(code)
    time.sleep(PAUSE)
    comm.Abort(code)
