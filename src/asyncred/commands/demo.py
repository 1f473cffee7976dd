"""The main job on data that asyncred ships: simulate, run, show."""

from __future__ import annotations

from pathlib import Path

from asyncred.commands.show import draw
from asyncred.commands.simulate.cs import simulate_demo
from asyncred.files.result import read_result
from asyncred.files.whole import check_writable
from asyncred.runtime.app import run
from asyncred.runtime.collective import on_root
from asyncred.runtime.comm import Comm
from asyncred.runtime.config import RunConfig
from asyncred.runtime.report import summary

TOLERANCE = 2e-5
"""Step of an epoch at which the demo ends."""

BLOCKS = 9


def demo(comm: Comm, folder: Path, *, epochs: float, overwrite: bool) -> int:
    """Recover the shipped photograph from compressed measurements into ``folder``.

    The problem of the paper's code: 240x240 pixels, 9 blocks of 80x80, 4356 of 6400 measurements
    a block, 30 dB. Collective over comm.
    """
    problem, output = folder / "problem.h5", folder / "result.h5"
    picture = folder / "result.png"

    def prepare() -> str:
        if comm.size > BLOCKS:
            raise ValueError(f"demo: {comm.size} ranks, expected at most {BLOCKS} (its blocks)")
        folder.mkdir(parents=True, exist_ok=True)
        for path in (problem, output, picture):
            check_writable(path, overwrite=overwrite)
        return simulate_demo(problem, overwrite=overwrite)

    said = on_root(comm, prepare)
    if comm.rank == 0:
        print(said, flush=True)
    config = RunConfig.from_values(
        problem=problem, output=output, epochs=epochs, tol=TOLERANCE, overwrite=overwrite
    )
    code = run(config, comm)
    if comm.rank == 0:
        result = read_result(output)
        draw(result, picture)
        print(f"\n{summary(result)}\nwrote {picture}", flush=True)
    return code
