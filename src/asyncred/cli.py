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
from asyncred.config import METHODS, InputError, integer, load_config, noise_level, number

PARALLEL = ("run", "demo")
"""The commands that are started with mpirun; no other touches MPI."""

RUN_FLAGS: dict[str, str] = {
    "denoiser": "shipped denoiser or ONNX file (fast-s5)",
    "denoiser-output": "what it returns: image, noise or auto (auto: the file's metadata or a try)",
    "denoiser-range": "LOW:HIGH, the network's values for black and white (0:1)",
    "sigma": "noise level, in units of 1/255, of a network that takes one (the file's)",
    "halo": "pixels around a block, where the graph gives no bound",
    "tau": "weight of the denoiser (0.8)",
    "method": f"{', '.join(METHODS)} (async)",
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
    "backprojection) or an HDF5 file (centered, or fbp for tomography)",
    "refresh": "epochs between exact renewals of A x - y where A couples all blocks, 0 never (50)",
    "index": "which image of a problem file with several",
    "threads": "of each rank (its share of the node's cores)",
    "progress-thread": "on, off or auto: on where ranks span hosts (auto)",
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
                "srun --mpi=... does not belong to the MPI library that mpi4py uses"
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


def _simulate_cs(options: argparse.Namespace) -> int:
    from asyncred.simulate import simulate_cs

    return _locally(
        lambda: simulate_cs(
            Path(options.problem),
            image=options.image,
            size=options.size,
            block=options.block,
            ratio=options.ratio,
            noise_snr=options.noise_snr,
            seed=options.seed,
            store_matrix=options.store_matrix,
            overwrite=options.overwrite,
        )
    )


def _simulate_ct(options: argparse.Namespace) -> int:
    from asyncred.simulate import simulate_ct

    return _locally(
        lambda: simulate_ct(
            Path(options.problem),
            image=options.image,
            size=options.size,
            block=options.block,
            views=options.views,
            photons=options.photons,
            attenuation=options.attenuation,
            seed=options.seed,
            overwrite=options.overwrite,
        )
    )


def _check(options: argparse.Namespace) -> int:
    from asyncred.check import describe

    return _locally(
        lambda: describe(
            Path(options.problem),
            ranks=options.ranks,
            denoiser=options.denoiser,
            sigma=options.sigma,
            index=options.index,
        )
    )


def _show(options: argparse.Namespace) -> int:
    from asyncred.files import check_writable
    from asyncred.report import summary
    from asyncred.result import read_result
    from asyncred.show import draw

    def show() -> str:
        result = read_result(Path(options.result))
        picture = Path(options.output or Path(options.result).with_suffix(".png"))
        if picture.resolve() == result.path.resolve():
            raise ValueError(f"{picture}: is the result file, expected another name")
        check_writable(picture, overwrite=options.overwrite)
        draw(result, picture)
        return f"{summary(result)}\nwrote {picture}"

    return _locally(show)


def _models(options: argparse.Namespace) -> int:
    from asyncred.check import describe_model, list_models

    def models() -> str:
        if options.name:
            return describe_model(options.name, sigma=options.sigma)
        if options.sigma is not None:
            raise ValueError("--sigma is for one denoiser, expected NAME|FILE")
        return list_models()

    return _locally(models)


def _locally(work: Callable[[], str]) -> int:
    """Print what ``work`` returns; its ValueErrors and OSErrors are the user's."""
    try:
        print(work())
    except (ValueError, OSError) as error:
        raise InputError(" ".join(str(error).split())) from None
    return 0


def _typed(check: Callable[[Any], Any]) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        try:
            return check(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"is {text!r}, expected {error}") from None

    return convert


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="asyncred", description=asyncred.__doc__)
    parser.add_argument("--version", action="version", version=asyncred.__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands)
    demo = commands.add_parser("demo", help="the main job on data that asyncred ships (mpirun)")
    demo.add_argument("-o", "--output", default="asyncred-demo", help="folder to write to")
    demo.add_argument(
        "--epochs",
        type=_typed(number("a number > 0", open_low=True)),
        default=600.0,
        help="at most this many (600)",
    )
    demo.add_argument("--overwrite", action="store_true", help="replace an earlier demo")
    demo.set_defaults(command=_demo)
    _add_simulate(commands)
    check = commands.add_parser("check", help="validate a problem file; what a job will need")
    check.add_argument("problem", metavar="PROBLEM.h5")
    check.add_argument(
        "-n", dest="ranks", type=_typed(integer("an integer >= 1", low=1)), default=1, help="ranks"
    )
    check.add_argument("--denoiser", default="fast-s5", help=RUN_FLAGS["denoiser"])
    check.add_argument("--sigma", type=_typed(noise_level), help=RUN_FLAGS["sigma"])
    check.add_argument("--index", type=_typed(integer("an integer >= 0")), help=RUN_FLAGS["index"])
    check.set_defaults(command=_check)
    show = commands.add_parser("show", help="summary and picture of a result")
    show.add_argument("result", metavar="RESULT.h5")
    show.add_argument("-o", "--output", metavar="FILE.png", help="the picture (RESULT.png)")
    show.add_argument("--overwrite", action="store_true", help="replace an earlier picture")
    show.set_defaults(command=_show)
    models = commands.add_parser("models", help="the shipped denoisers; what an ONNX file is")
    models.add_argument("name", nargs="?", metavar="NAME|FILE")
    models.add_argument("--sigma", type=_typed(noise_level), help=RUN_FLAGS["sigma"])
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


def _add_simulate(commands: Any) -> None:
    simulate = commands.add_parser("simulate", help="write a problem file with known truth")
    kinds = simulate.add_subparsers(required=True, metavar="KIND")
    side = _typed(integer("an integer >= 1", low=1))
    positive = _typed(number("a number > 0", open_low=True))
    cs = kinds.add_parser("cs", help="block-diagonal random compressive sensing")
    _add_image(cs, side)
    cs.add_argument(
        "--ratio", type=positive, default=0.680625, help="measurements per pixel (0.680625)"
    )
    cs.add_argument("--noise-snr", type=_typed(number("dB >= -100", low=-100.0)), default=30.0)
    cs.add_argument("--store-matrix", action="store_true", help="put A itself into the file")
    cs.set_defaults(command=_simulate_cs)
    ct = kinds.add_parser("ct", help="tomography in parallel beams, with Poisson noise")
    _add_image(ct, side)
    ct.add_argument("--views", type=side, default=90, help="over 180 degrees (90)")
    ct.add_argument("--photons", type=positive, default=1e5, help="of an unweakened ray (1e5)")
    ct.add_argument(
        "--attenuation", type=positive, default=3.0, help="of the strongest ray, as a logarithm (3)"
    )
    ct.set_defaults(command=_simulate_ct)


def _add_image(kind: argparse.ArgumentParser, side: Callable[[str], Any]) -> None:
    kind.add_argument("problem", metavar="OUT.h5")
    kind.add_argument("--image", default="camera", help="picture, .npy file or camera (shipped)")
    kind.add_argument("--size", type=side, help="scale the longer side down to this many pixels")
    kind.add_argument("--block", type=side, default=80, help="side of a block (80)")
    kind.add_argument("--seed", type=_typed(integer("an integer >= 0")), default=0)
    kind.add_argument("--overwrite", action="store_true", help="replace an earlier file")
