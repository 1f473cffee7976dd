"""The commands. Wrong input: one line from one rank and exit code 2. A fault ends the whole job."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from asyncred.commands.arguments import locally
from asyncred.commands.flags import build_parser
from asyncred.errors import InputError
from asyncred.runtime.abort import abort
from asyncred.runtime.config import load_config

PARALLEL = ("run", "demo", "doctor")
"""The commands that are started with mpirun; no other touches MPI."""


def main(argv: list[str] | None = None) -> None:
    """Run the command of ``argv`` and exit with its code."""
    arguments = sys.argv[1:] if argv is None else argv
    parallel = bool(arguments) and arguments[0] in PARALLEL
    rank = 0
    try:
        if parallel:
            rank, size = _start_mpi()
            _refuse_singletons(size)
        code = _dispatch(arguments)
    except InputError as error:
        if rank == 0:
            print(f"asyncred: {error}", file=sys.stderr, flush=True)
        code = 2
    except SystemExit:
        raise
    except BaseException:
        print(traceback.format_exc(), end="", file=sys.stderr, flush=True)
        if parallel:
            from mpi4py import MPI

            abort(MPI.COMM_WORLD, 1)
        code = 1
    sys.stdout.flush()
    sys.exit(code)


def _dispatch(arguments: list[str]) -> int:
    options = build_parser(COMMANDS).parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    return command(options)


def _start_mpi() -> tuple[int, int]:
    """Rank and size. Raises InputError where there is no MPI library."""
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise InputError(
            f"no MPI library ({' '.join(str(error).split())}): load one, or pip install mpich"
        ) from None
    return MPI.COMM_WORLD.rank, MPI.COMM_WORLD.size


def _refuse_singletons(size: int) -> None:
    """N processes that each believe to be alone would write one result N times."""
    names = {
        "SLURM_STEP_NUM_TASKS": "SLURM_PROCID",
        "PMI_SIZE": "PMI_RANK",
        "OMPI_COMM_WORLD_SIZE": "OMPI_COMM_WORLD_RANK",
    }
    for tasks, place in names.items():
        started = int(os.environ.get(tasks, "1"))
        if size == 1 and started > 1:
            if os.environ.get(place, "0") != "0":
                sys.exit(2)
            raise InputError(
                f"{started} processes were started ({tasks}), but MPI sees each alone: mpirun or "
                "srun --mpi=... does not belong to the MPI library that mpi4py uses "
                "(pmi2 for MPICH, pmix for Open MPI; srun --mpi=list)"
            )


def _run(options: argparse.Namespace) -> int:
    from mpi4py import MPI

    from asyncred.runtime.app import run
    from asyncred.runtime.collective import on_root

    comm = MPI.COMM_WORLD
    flags = {k: v for k, v in vars(options).items() if k not in ("command", "config")}
    return run(on_root(comm, lambda: load_config(flags, options.config)), comm)


def _demo(options: argparse.Namespace) -> int:
    from mpi4py import MPI

    from asyncred.commands.demo import demo

    return demo(
        MPI.COMM_WORLD, Path(options.output), epochs=options.epochs, overwrite=options.overwrite
    )


def _doctor(options: argparse.Namespace) -> int:
    from mpi4py import MPI

    from asyncred.commands.doctor import doctor

    return doctor(
        MPI.COMM_WORLD,
        Path(options.output),
        threads=options.threads,
        progress_thread=options.progress_thread,
    )


def _check(options: argparse.Namespace) -> int:
    from asyncred.commands.check import describe
    from asyncred.files.problem import Asked

    asked = Asked(options.images, options.ranks, options.block, options.center)
    return locally(
        lambda: describe(
            Path(options.problem),
            asked,
            denoiser=options.denoiser,
            sigma=options.sigma,
            per_node=options.ranks_per_node,
            minibatch=options.minibatch,
            shades=options.range,
            strict=options.strict,
        )
    )


def _show(options: argparse.Namespace) -> int:
    from asyncred.commands.show import draw
    from asyncred.files.result import read_result
    from asyncred.files.whole import check_writable
    from asyncred.runtime.report import summary

    def show() -> str:
        result = read_result(Path(options.result), options.image)
        if not len(result.history):
            raise ValueError(f"{result.path}: row {options.image} is not there yet")
        picture = Path(options.output or Path(options.result).with_suffix(".png"))
        if picture.resolve() == result.path.resolve():
            raise ValueError(f"{picture}: is the result file, expected another name")
        check_writable(picture, overwrite=options.overwrite)
        draw(result, picture)
        return f"{summary(result)}\nwrote {picture}"

    return locally(show)


def _merge(options: argparse.Namespace) -> int:
    from asyncred.files.result.merge import merge

    parts = [Path(part) for part in options.parts]
    return locally(lambda: merge(Path(options.output), parts, overwrite=options.overwrite))


def _models(options: argparse.Namespace) -> int:
    from asyncred.commands.models import describe_model, list_models

    def models() -> str:
        if options.name:
            return describe_model(options.name, sigma=options.sigma)
        if options.sigma is not None:
            raise ValueError("--sigma is for one denoiser, expected NAME|FILE")
        return list_models()

    return locally(models)


COMMANDS = {
    "run": _run,
    "demo": _demo,
    "doctor": _doctor,
    "check": _check,
    "show": _show,
    "merge": _merge,
    "models": _models,
}
