"""Work on a file that nobody trusts, in a child process: where HDF5 itself crashes, that dies."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

from asyncred.errors import InputError


def isolated(path: Path, work: Callable[[], str]) -> str:
    """What ``work`` returns. Raises ValueError as it does, and where its process is killed."""
    sys.stdout.flush()
    sys.stderr.flush()
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks of a process with threads
        child = os.fork()
    if child == 0:
        os.close(read)
        with os.fdopen(write, "wb") as pipe:
            pickle.dump(_tried(work), pipe)
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        told = pipe.read()
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if ended < 0:
        raise ValueError(
            f"{path}: the process that read it was ended by {signal.Signals(-ended).name}: "
            "expected a file that HDF5 can read; this one is damaged, made to do harm, or needs "
            "more memory than there is"
        )
    kind, words = pickle.loads(told)
    if kind == "fault":
        raise RuntimeError(words)
    if kind == "wrong":
        raise InputError(words)
    return str(words)


def _tried(work: Callable[[], str]) -> tuple[str, str]:
    """What came of it: ok, wrong or fault, and the words for it."""
    try:
        return "ok", work()
    except (ValueError, OSError) as error:
        return "wrong", " ".join(str(error).split())
    except BaseException:
        return "fault", traceback.format_exc()
