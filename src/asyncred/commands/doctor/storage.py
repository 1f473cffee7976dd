"""The output folder, used by every rank as a run uses it: whole files, and one filled in place."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import h5py
from mpi4py import MPI

from asyncred.commands.doctor.findings import Finding, Part, alike
from asyncred.files.whole import InPlace, reserve, written_whole

BYTES = 4 << 20
"""Of each rank's file."""

SHOWS = 10.0
"""Seconds within which what one host wrote is to be seen on all: caches of file systems expire."""

LIMIT = 90.0


class Storage:
    """A folder of its own in ``folder``, until it is cleared. Collective over ``comm``."""

    def __init__(self, comm: MPI.Intracomm, folder: Path) -> None:
        self._comm, self._folder = comm, folder.resolve()
        self._token: str = comm.bcast(secrets.token_hex(8))
        self._own = self._folder / f".asyncred-doctor.{self._token}"
        self._shared = self._own / "shared.h5"

    def parts(self, hosts: Sequence[str]) -> list[Part[Any]]:
        """In their order; each builds on those before."""
        return [
            Part("HDF5", LIMIT, _versions, lambda told: _tell_versions(told, hosts)),
            self._part("folder", self._make, "can be written"),
            self._part("shared file system", self._see, "all ranks see the same file"),
            self._part("whole files", self._write, "written, fsynced and renamed", rate=True),
            self._part("in place", self._fill, "every rank filled its part of one HDF5 file"),
            self._part("reading", self._read, "every rank read what all had written", rate=True),
        ]

    def clear(self) -> None:
        """Remove what was written. Nobody uses it any more."""
        if self._comm.rank == 0:
            shutil.rmtree(self._own, ignore_errors=True)

    def _part(
        self, name: str, work: Callable[[], int], words: str, *, rate: bool = False
    ) -> Part[tuple[int, float]]:
        """A part that returns how many bytes it moved."""

        def measure() -> tuple[int, float]:
            start = time.perf_counter()
            return work(), time.perf_counter() - start

        def tell(told: Sequence[tuple[int, float]]) -> list[Finding]:
            seconds = max(taken for _, taken in told)
            speed = sum(moved for moved, _ in told) / 1e6 / max(seconds, 1e-9)
            told_rate = f", {speed:.3g} MB/s together" if rate else ""
            said = f"{name}: {self._folder}: {words}, {1e3 * seconds:.3g} ms at most{told_rate}"
            return [Finding(True, said)]

        return Part(name, LIMIT, measure, tell)

    def _make(self) -> int:
        """Rank 0 makes the folder and a file whose places for all ranks are reserved."""
        if self._comm.rank == 0:
            if not self._folder.is_dir():
                raise ValueError(f"{self._folder}: no such folder: make it, or -o another")
            try:
                self._own.mkdir()
            except OSError as error:
                raise ValueError(
                    f"{self._folder}: cannot be written ({error.strerror}): -o another"
                ) from None
            with written_whole(self._shared) as temporary, h5py.File(temporary, "w") as file:
                file.attrs["token"] = self._token
                reserve(file, "ranks", (self._comm.size, BYTES // 4), np.float32)
        return 0

    def _see(self) -> int:
        """Every rank sees what rank 0 wrote."""

        def seen() -> bool:
            with h5py.File(self._shared, "r") as file:
                return bool(file.attrs["token"] == self._token)

        if not _soon(seen):
            raise ValueError(
                f"{self._folder}: does not show here what rank 0 wrote: -o a folder on a file "
                "system that all hosts share"
            )
        return 0

    def _write(self) -> int:
        """A file of this rank, whole."""
        path = self._own / f"{self._comm.rank}.bin"
        with written_whole(path) as temporary:
            temporary.write_bytes(bytes(BYTES))
        if path.stat().st_size != BYTES:
            raise ValueError(f"{path}: {path.stat().st_size} bytes are there, {BYTES} were written")
        return BYTES

    def _fill(self) -> int:
        """The part of this rank in the file of all."""
        with InPlace(self._shared, ["ranks"]) as file:
            file.put("ranks", (self._comm.rank,), self._values(self._comm.rank))
            file.sync()
        return BYTES

    def _read(self) -> int:
        """This rank's own part and those beside it, of whatever host."""
        ranks = {(self._comm.rank + step) % self._comm.size for step in (-1, 0, 1)}

        def right() -> bool:
            with h5py.File(self._shared, "r") as file:
                return all(
                    np.array_equal(file["ranks"][rank], self._values(rank)) for rank in ranks
                )

        if not _soon(right):
            raise ValueError(
                f"{self._folder}: what ranks write in place into one file is not there for all: "
                "-o a folder on another file system"
            )
        return BYTES * len(ranks)

    def _values(self, rank: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        return np.full(BYTES // 4, rank + 1, np.float32)


def _soon(condition: Callable[[], bool]) -> bool:
    """Whether it holds within ``SHOWS`` seconds; a file that is not there yet does not count."""
    end = time.monotonic() + SHOWS
    while True:
        try:
            if condition():
                return True
        except (OSError, KeyError):
            pass
        if time.monotonic() > end:
            return False
        time.sleep(0.1)


def _versions() -> str:
    parallel = "with MPI" if h5py.get_config().mpi else "without MPI, which is enough"
    locking = os.environ.get("HDF5_USE_FILE_LOCKING")
    return f"{h5py.version.hdf5_version}, h5py {h5py.__version__}, {parallel}" + (
        f", HDF5_USE_FILE_LOCKING={locking}" if locking else ""
    )


def _tell_versions(told: Sequence[str], hosts: Sequence[str]) -> list[Finding]:
    return [Finding(True, f"HDF5: {'; '.join(alike(told, hosts))}")]
