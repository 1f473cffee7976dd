"""The commands. Wrong input: one line from one rank and exit code 2. A fault ends the whole job."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import asyncred
import asyncred._threads  # before anything that imports NumPy
from asyncred.arguments import locally, typed
from asyncred.config import (
    LARGEST,
    METHODS,
    InputError,
    choice,
    images,
    integer,
    load_config,
    noise_level,
    number,
)
from asyncred.simulate.flags import add_simulate

PARALLEL = ("run", "demo", "doctor")
"""The commands that are started with mpirun; no other touches MPI."""

RUN_FLAGS: dict[str, str] = {
    "denoiser": "shipped denoiser or ONNX file (fast-s5)",
    "denoiser-output": "what it returns: image, noise or auto (auto: the file's metadata or a try)",
    "denoiser-range": "LOW:HIGH, the network's values for black and white (0:1)",
    "sigma": "noise level, in units of 1/255, of a network that takes one (the file's)",
    "halo": "pixels around a block, where the graph gives no bound",
    "tau": "weight of the denoiser (cs 0.8, inpaint 0.5, MRI 0.2, superresolution 0.05, else 0.1)",
    "method": f"{', '.join(METHODS)} (async)",
    "update": "gradient (the paper's) or proximal: G_i preconditioned by A_i^T A_i + mu (gradient)",
    "mu": "of the proximal update (tau where the denoiser is proven nonexpansive, else 0.4 tau)",
    "inner": "steps of conjugate gradients of a proximal update (3)",
    "minibatch": "measurements per update and block (all)",
    "updates": "budget of block updates",
    "epochs": "budget in epochs, of one update a block each (400)",
    "tol": "stop when the relative step of an epoch is below this; noisy with minibatches (0)",
    "tol-distance": "stop when ||G||^2 / ||G0||^2 is below this (0)",
    "max-time": "stop after this many seconds of iteration",
    "step": "safe, adaptive or a number (adaptive)",
    "decay": "epochs after which the step is halved: gamma / (1 + epoch / decay), for minibatches",
    "order": "epoch or uniform (epoch)",
    "seed": "of block order and minibatches (0)",
    "start": "zero, adjoint (A^T y), centered (A^T y about a constant), fbp (filtered "
    "backprojection), zero-filled, measured, interpolated, or an HDF5 file (what suits the kind)",
    "refresh": "epochs between exact renewals of A x - y where A couples all blocks, 0 never (50)",
    "images": "K or A:B: which images of a stack, from 0, B excluded (all)",
    "range": "LOW:HIGH, the image's values for black and white (the file's, or from the start)",
    "block": "side of the blocks, where the file says none (from size and ranks)",
    "center": "bin, from 0, that sees the rotation axis (the file's, or found)",
    "threads": "of each rank (its share of the node's cores)",
    "provider": "of the denoiser: cpu, cuda, openvino or auto: CUDA where there is a GPU (auto)",
    "progress-thread": "on, off or auto: on where ranks span hosts (auto)",
    "checkpoint": "file to put the run down in, to be resumed after a time limit or a crash",
    "checkpoint-every": "minutes between checkpoints (10)",
    "resume": "checkpoint to go on from, on any number of ranks; its parameters, unless told anew",
    "ranks-per-image": "of a stack: ranks that share an image; others work on others (from sizes)",
    "report": "seconds between two samples of the history (1)",
}


class _Parser(argparse.ArgumentParser):
    """Reports wrong arguments as InputError, so that only one rank prints them."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} ({self.prog} --help)")


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
        traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        if parallel:
            from mpi4py import MPI

            MPI.COMM_WORLD.Abort(1)
        code = 1
    sys.stdout.flush()
    sys.exit(code)


def _dispatch(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
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

    from asyncred.app import run
    from asyncred.collective import on_root

    comm = MPI.COMM_WORLD
    flags = {k: v for k, v in vars(options).items() if k not in ("command", "config")}
    return run(on_root(comm, lambda: load_config(flags, options.config)), comm)


def _demo(options: argparse.Namespace) -> int:
    from mpi4py import MPI

    from asyncred.demo import demo

    return demo(
        MPI.COMM_WORLD, Path(options.output), epochs=options.epochs, overwrite=options.overwrite
    )


def _doctor(options: argparse.Namespace) -> int:
    from mpi4py import MPI

    from asyncred.doctor import doctor

    return doctor(
        MPI.COMM_WORLD,
        Path(options.output),
        threads=options.threads,
        progress_thread=options.progress_thread,
    )


def _check(options: argparse.Namespace) -> int:
    from asyncred.check import describe
    from asyncred.problem import Asked

    asked = Asked(options.images, options.ranks, options.block, options.center)
    return locally(
        lambda: describe(
            Path(options.problem),
            asked,
            denoiser=options.denoiser,
            sigma=options.sigma,
            per_node=options.ranks_per_node,
            minibatch=options.minibatch,
        )
    )


def _show(options: argparse.Namespace) -> int:
    from asyncred.files import check_writable
    from asyncred.report import summary
    from asyncred.result import read_result
    from asyncred.show import draw

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
    from asyncred.merge import merge

    parts = [Path(part) for part in options.parts]
    return locally(lambda: merge(Path(options.output), parts, overwrite=options.overwrite))


def _models(options: argparse.Namespace) -> int:
    from asyncred.check import describe_model, list_models

    def models() -> str:
        if options.name:
            return describe_model(options.name, sigma=options.sigma)
        if options.sigma is not None:
            raise ValueError("--sigma is for one denoiser, expected NAME|FILE")
        return list_models()

    return locally(models)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="asyncred", description=asyncred.__doc__)
    parser.add_argument("--version", action="version", version=asyncred.__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands)
    demo = commands.add_parser("demo", help="the main job on data that asyncred ships (mpirun)")
    demo.add_argument("-o", "--output", default="asyncred-demo", help="folder to write to")
    demo.add_argument(
        "--epochs",
        type=typed(number("a number > 0", open_low=True)),
        default=600.0,
        help="at most this many (600)",
    )
    demo.add_argument("--overwrite", action="store_true", help="replace an earlier demo")
    demo.set_defaults(command=_demo)
    doctor = commands.add_parser("doctor", help="what works here, and how fast (mpirun)")
    doctor.add_argument("-o", "--output", default=".", metavar="FOLDER", help="to write to (.)")
    doctor.add_argument(
        "--threads", type=typed(integer("an integer >= 1", low=1)), help=RUN_FLAGS["threads"]
    )
    doctor.add_argument(
        "--progress-thread",
        type=typed(choice("auto", "on", "off")),
        default="auto",
        help=RUN_FLAGS["progress-thread"],
    )
    doctor.set_defaults(command=_doctor)
    add_simulate(commands)
    check = commands.add_parser("check", help="validate a problem file; what a job will need")
    check.add_argument("problem", metavar="PROBLEM.h5")
    check.add_argument(
        "-n", dest="ranks", type=typed(integer("an integer >= 1", low=1)), default=1, help="ranks"
    )
    check.add_argument("--denoiser", default="fast-s5", help=RUN_FLAGS["denoiser"])
    check.add_argument("--sigma", type=typed(noise_level), help=RUN_FLAGS["sigma"])
    check.add_argument("--images", type=typed(images), help=RUN_FLAGS["images"])
    side = typed(integer("an integer >= 1", low=1))
    check.add_argument("--ranks-per-node", type=side, metavar="M", help="(all on one)")
    check.add_argument("--minibatch", type=side, help=RUN_FLAGS["minibatch"])
    check.add_argument("--block", type=side, help=RUN_FLAGS["block"])
    check.add_argument("--center", type=typed(number("a bin", low=-LARGEST)))
    check.set_defaults(command=_check)
    show = commands.add_parser("show", help="summary and picture of a result")
    show.add_argument("result", metavar="RESULT.h5")
    row = typed(integer("an integer >= 0"))
    show.add_argument("--image", type=row, default=0, help="which row of a stack (0)")
    show.add_argument("-o", "--output", metavar="FILE.png", help="the picture (RESULT.png)")
    show.add_argument("--overwrite", action="store_true", help="replace an earlier picture")
    show.set_defaults(command=_show)
    merge = commands.add_parser("merge", help="results of parts of a stack, made one")
    merge.add_argument("output", metavar="RESULT.h5")
    merge.add_argument("parts", metavar="PART.h5", nargs="+")
    merge.add_argument("--overwrite", action="store_true", help="replace an earlier result")
    merge.set_defaults(command=_merge)
    models = commands.add_parser("models", help="the shipped denoisers; what an ONNX file is")
    models.add_argument("name", nargs="?", metavar="NAME|FILE")
    models.add_argument("--sigma", type=typed(noise_level), help=RUN_FLAGS["sigma"])
    models.set_defaults(command=_models)
    return parser


def _add_run(commands: Any) -> None:
    run = commands.add_parser(
        "run", help="the main job (mpirun)", argument_default=argparse.SUPPRESS
    )
    run.add_argument("problem", metavar="PROBLEM.h5", nargs="?")
    run.add_argument("-o", "--output", metavar="RESULT.h5")
    run.add_argument("--config", metavar="RUN.toml", type=Path, default=None, help="flags, in TOML")
    for name, text in RUN_FLAGS.items():
        run.add_argument(f"--{name}", help=text)
    run.add_argument(
        "--slow", action="append", metavar="RANK:FACTOR", help="make a rank slower on purpose"
    )
    run.add_argument("--overwrite", action="store_true", help="replace an earlier result")
    run.set_defaults(command=_run)
