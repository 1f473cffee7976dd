"""The commands. Wrong input: one line from one rank and exit code 2. A fault ends the whole job."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from asyncred.commands.flags import DECLARED, OF_THE_DENOISER, Command, build_parser
from asyncred.commands.parser import Parser, locally
from asyncred.errors import InputError
from asyncred.runtime.abort import abort
from asyncred.runtime.comm import LAUNCHERS, Alone, Comm, started_ranks
from asyncred.runtime.config import load_config
from asyncred.runtime.exit_codes import FAULT, INTERRUPTED

if TYPE_CHECKING:
    from asyncred.denoisers.onnx import DenoiserModel
    from asyncred.runtime.config import DenoiserConfig

PARALLEL = ("run", "demo", "doctor")
"""The commands that are started with mpirun; no other touches MPI."""


def main(argv: list[str] | None = None) -> None:
    """Run the command of ``argv`` and exit with its code."""
    arguments = sys.argv[1:] if argv is None else argv
    comm: Comm = Alone()
    try:
        if arguments and arguments[0] in PARALLEL:
            comm = _all_ranks()
            _refuse_singletons(comm)
        code = _dispatch(arguments, comm)
    except InputError as error:
        if comm.rank == 0:
            print(f"asyncred: {error}", file=sys.stderr, flush=True)
        code = 2
    except BrokenPipeError:  # of ``asyncred ... | head``
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    except SystemExit:
        raise
    except KeyboardInterrupt:
        print("asyncred: interrupted", file=sys.stderr, flush=True)
        abort(comm, INTERRUPTED)
    except BaseException:
        print(traceback.format_exc(), end="", file=sys.stderr, flush=True)
        abort(comm, FAULT)
    sys.stdout.flush()
    sys.exit(code)


def parser() -> Parser:
    """All commands, each with what it does."""
    return build_parser(COMMANDS)


def _dispatch(arguments: list[str], comm: Comm) -> int:
    options = parser().parse_args(arguments)
    command: Command = options.command
    return command(options, comm)


def _all_ranks() -> Comm:
    """All ranks of the job. Raises InputError where there are several and no MPI library."""
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        if started_ranks() == 1:
            return Alone()
        reason = " ".join(str(error).split())
        raise InputError(f"no MPI library ({reason}): load one, or pip install mpich") from None
    return MPI.COMM_WORLD


def _refuse_singletons(comm: Comm) -> None:
    """N processes that each believe to be alone would write one result N times."""
    for tasks, place in LAUNCHERS.items():
        started = int(os.environ.get(tasks, "1") or "1")
        if comm.size == 1 and started > 1:
            if os.environ.get(place, "0") != "0":
                sys.exit(2)
            raise InputError(
                f"{started} processes were started ({tasks}), but MPI sees each alone: mpirun or "
                "srun --mpi=... does not belong to the MPI library that mpi4py uses "
                "(pmi2 for MPICH, pmix for Open MPI; srun --mpi=list)"
            )


def _run(options: argparse.Namespace, comm: Comm) -> int:
    from asyncred.runtime.app import run
    from asyncred.runtime.collective import on_root

    flags = {k: v for k, v in vars(options).items() if k not in ("command", "config")}
    return run(on_root(comm, lambda: load_config(flags, options.config)), comm)


def _demo(options: argparse.Namespace, comm: Comm) -> int:
    from asyncred.commands.demo import demo

    return demo(comm, Path(options.output), epochs=options.epochs, overwrite=options.overwrite)


def _doctor(options: argparse.Namespace, comm: Comm) -> int:
    if isinstance(comm, Alone):
        raise InputError("no MPI library, which doctor examines: load one, or pip install mpich")
    from asyncred.commands.doctor import doctor

    return doctor(
        comm,
        Path(options.output),
        threads=options.threads,
        progress_thread=options.progress_thread,
    )


def _check(options: argparse.Namespace, comm: Comm) -> int:
    from asyncred.commands.check import describe
    from asyncred.commands.isolated import isolated
    from asyncred.files.problem import Asked
    from asyncred.files.whole import check_writable

    asked = Asked.of(options, ranks=options.ranks, block=options.block)

    def check() -> str:
        if options.center_picture:
            check_writable(options.center_picture, overwrite=options.overwrite)
        return describe(
            Path(options.problem),
            asked,
            _denoiser(options.denoiser, options),
            per_node=options.ranks_per_node,
            minibatch=options.minibatch,
            shades=options.range,
            strict=options.strict,
            center_picture=options.center_picture,
        )

    return locally(lambda: isolated(Path(options.problem), check))


def _denoiser(name: str | None, options: argparse.Namespace) -> DenoiserConfig:
    from asyncred.runtime.config import DenoiserConfig

    return DenoiserConfig(
        name=name,
        output=options.denoiser_output,
        range=options.denoiser_range,
        inputs=options.denoiser_inputs,
        halo=options.halo,
        align=options.align,
        sigma=options.sigma,
    )


def _model(options: argparse.Namespace) -> DenoiserModel:
    from asyncred.runtime.denoising import find_denoiser

    return find_denoiser(_denoiser(options.name, options))


def _show(options: argparse.Namespace, comm: Comm) -> int:
    from asyncred.commands.show import draw
    from asyncred.files.result import read_result
    from asyncred.files.whole import check_writable
    from asyncred.runtime.report import summary

    def show() -> str:
        result = read_result(Path(options.result), options.image)
        if not len(result.history):
            why = result.provenance.get("left_out")
            state = f"was left out: {why}" if why else "is not there yet"
            raise ValueError(f"{result.path}: row {options.image} {state}")
        picture = Path(options.output or Path(options.result).with_suffix(".png"))
        if picture.resolve() == result.path.resolve():
            raise ValueError(f"{picture}: is the result file, expected another name")
        check_writable(picture, overwrite=options.overwrite)
        draw(result, picture)
        return f"{summary(result)}\nwrote {picture}"

    return locally(show)


def _merge(options: argparse.Namespace, comm: Comm) -> int:
    from asyncred.files.result.merge import merge

    parts = [Path(part) for part in options.parts]
    return locally(lambda: merge(Path(options.output), parts, overwrite=options.overwrite))


def _export(options: argparse.Namespace, comm: Comm) -> int:
    from asyncred.files.result.export import export

    path, folder = Path(options.result), Path(options.folder)
    return locally(lambda: export(path, folder, options.format, overwrite=options.overwrite))


def _models(options: argparse.Namespace, comm: Comm) -> int:
    from asyncred.commands.models import derive_potential, describe_model, list_models

    def models() -> str:
        if options.name and options.potential:
            N = _model(options)
            return derive_potential(N, options.potential, overwrite=options.overwrite)
        if options.name:
            return describe_model(_model(options))
        if options.potential:
            raise ValueError("--potential is for one denoiser, expected NAME|FILE")
        for key in OF_THE_DENOISER:
            if getattr(options, key) != DECLARED[key].default:
                raise ValueError(f"--{DECLARED[key].name} is for one denoiser, expected NAME|FILE")
        return list_models()

    return locally(models)


def _completion(options: argparse.Namespace, comm: Comm) -> int:
    from asyncred.commands.completion import complete

    print(complete(parser(), options.shell))
    return 0


COMMANDS = {
    "run": _run,
    "demo": _demo,
    "doctor": _doctor,
    "check": _check,
    "show": _show,
    "export": _export,
    "merge": _merge,
    "models": _models,
    "completion": _completion,
}
