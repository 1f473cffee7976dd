"""The command lines: commands, their flags and what is said of them; not what they do."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import asyncred
from asyncred.commands.arguments import typed
from asyncred.commands.simulate.flags import add_simulate
from asyncred.errors import InputError
from asyncred.runtime.checks import (
    LARGEST,
    choice,
    images,
    integer,
    noise_level,
    number,
    value_range,
)
from asyncred.runtime.config import METHODS

Command = Callable[[argparse.Namespace], int]
Commands = Any
"""What argparse adds commands to."""

RUN_FLAGS: dict[str, str] = {
    "denoiser": "shipped denoiser or ONNX file (fast-s5)",
    "denoiser-output": "what it returns: image, noise or auto (auto: the file's metadata or a try)",
    "denoiser-range": "LOW:HIGH, the network's values for black and white (0:1)",
    "sigma": "noise level, in units of 1/255, of a network that takes one (the file's)",
    "halo": "pixels around a block, where the graph gives no bound",
    "tau": "weight of the denoiser (cs 0.8, inpaint 0.5, MRI 0.2, superresolution 0.05, else 0.1)",
    "method": f"{', '.join(METHODS)} (async)",
    "update": "gradient (the paper's), proximal: G_i preconditioned by A_i^T A_i + mu, or auto: "
    "proximal where it is faster, and what else is asked for allows it (auto)",
    "mu": "of the proximal update (tau where the denoiser is proven nonexpansive, else 0.5 tau)",
    "momentum": "of the proximal update (0 where the denoiser is proven nonexpansive, else 0.3)",
    "inner": "steps of conjugate gradients of a proximal update (3)",
    "matrix": "single or half: precision in which a dense A, or its factors, are kept (single)",
    "factors": "file to keep the factors of a dense A in, made where it is missing: with them a "
    "proximal update costs what a gradient does, in all runs with the same A, tau and mu",
    "continuation": "epochs of denoising that is strong at first: D(k x) / k, k from 0.1 to 1 (0)",
    "draft": "cheaper denoiser for the first, large steps, none, or auto: with the proximal update "
    "the 8-bit twin of a shipped one, where this CPU is fast at it (auto)",
    "minibatch": "measurements per update and block (all)",
    "updates": "budget of block updates",
    "epochs": "budget in epochs, of one update a block each (400)",
    "tol": "stop when the relative step of an epoch is below this; noisy with minibatches (0; 1e-4 "
    "where no budget is told and the update is proximal)",
    "tol-distance": "stop when ||G||^2 / ||G0||^2 is below this (0)",
    "max-time": "stop after this many seconds of iteration",
    "step": "safe, adaptive or a number (adaptive)",
    "decay": "epochs after which the step is halved: gamma / (1 + epoch / decay), for minibatches",
    "order": "epoch or uniform (epoch)",
    "steal": "on or off: ranks of a node take its least-updated block, whoever owns it (off)",
    "seed": "of block order and minibatches (0)",
    "start": "zero, adjoint (A^T y), centered (A^T y about a constant), fbp (filtered "
    "backprojection), zero-filled, measured, interpolated, tv (every block alone, by total "
    "variation), or an HDF5 file (what suits the kind and the update)",
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


STRICT = "refuse a problem about which there are doubts (lines that begin with !!)"


class Parser(argparse.ArgumentParser):
    """Reports wrong arguments as InputError, so that only one rank prints them."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} ({self.prog} --help)")


def build_parser(commands: Mapping[str, Command]) -> argparse.ArgumentParser:
    """All commands; ``command`` of what is parsed is one of these, by name."""
    parser = Parser(prog="asyncred", description=asyncred.__doc__)
    parser.add_argument("--version", action="version", version=asyncred.__version__)
    added = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, add in _ADD.items():
        add(added).set_defaults(command=commands[name])
    add_simulate(added)
    return parser


def _add_run(commands: Commands) -> argparse.ArgumentParser:
    run: argparse.ArgumentParser = commands.add_parser(
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
    run.add_argument("--strict", action="store_true", help=STRICT)
    run.add_argument("--overwrite", action="store_true", help="replace an earlier result")
    return run


def _add_demo(commands: Commands) -> argparse.ArgumentParser:
    demo: argparse.ArgumentParser = commands.add_parser(
        "demo", help="the main job on data that asyncred ships (mpirun)"
    )
    demo.add_argument("-o", "--output", default="asyncred-demo", help="folder to write to")
    epochs = typed(number("a number > 0", open_low=True))
    demo.add_argument("--epochs", type=epochs, default=600.0, help="at most this many (600)")
    demo.add_argument("--overwrite", action="store_true", help="replace an earlier demo")
    return demo


def _add_doctor(commands: Commands) -> argparse.ArgumentParser:
    doctor: argparse.ArgumentParser = commands.add_parser(
        "doctor", help="what works here, and how fast (mpirun)"
    )
    doctor.add_argument("-o", "--output", default=".", metavar="FOLDER", help="to write to (.)")
    doctor.add_argument("--threads", type=_count, help=RUN_FLAGS["threads"])
    thread = typed(choice("auto", "on", "off"))
    text = RUN_FLAGS["progress-thread"]
    doctor.add_argument("--progress-thread", type=thread, default="auto", help=text)
    return doctor


def _add_check(commands: Commands) -> argparse.ArgumentParser:
    check: argparse.ArgumentParser = commands.add_parser(
        "check", help="validate a problem file; what a job will need"
    )
    check.add_argument("problem", metavar="PROBLEM.h5")
    check.add_argument("-n", dest="ranks", type=_count, default=1, help="ranks")
    check.add_argument("--ranks-per-node", type=_count, metavar="M", help="(all on one)")
    check.add_argument("--denoiser", default="fast-s5", help=RUN_FLAGS["denoiser"])
    kinds = {
        "sigma": noise_level,
        "images": images,
        "minibatch": integer("an integer >= 1", low=1),
        "block": integer("an integer >= 1", low=1),
        "center": number("a bin", low=-LARGEST),
        "range": value_range,
    }
    for name, kind in kinds.items():
        check.add_argument(f"--{name}", type=typed(kind), help=RUN_FLAGS[name])
    check.add_argument("--strict", action="store_true", help=STRICT)
    return check


def _add_show(commands: Commands) -> argparse.ArgumentParser:
    show: argparse.ArgumentParser = commands.add_parser(
        "show", help="summary and picture of a result"
    )
    show.add_argument("result", metavar="RESULT.h5")
    row = typed(integer("an integer >= 0"))
    show.add_argument("--image", type=row, default=0, help="which row of a stack (0)")
    show.add_argument("-o", "--output", metavar="FILE.png", help="the picture (RESULT.png)")
    show.add_argument("--overwrite", action="store_true", help="replace an earlier picture")
    return show


def _add_merge(commands: Commands) -> argparse.ArgumentParser:
    merge: argparse.ArgumentParser = commands.add_parser(
        "merge", help="results of parts of a stack, made one"
    )
    merge.add_argument("output", metavar="RESULT.h5")
    merge.add_argument("parts", metavar="PART.h5", nargs="+")
    merge.add_argument("--overwrite", action="store_true", help="replace an earlier result")
    return merge


def _add_models(commands: Commands) -> argparse.ArgumentParser:
    models: argparse.ArgumentParser = commands.add_parser(
        "models", help="the shipped denoisers; what an ONNX file is"
    )
    models.add_argument("name", nargs="?", metavar="NAME|FILE")
    models.add_argument("--sigma", type=typed(noise_level), help=RUN_FLAGS["sigma"])
    return models


_ADD: Mapping[str, Callable[[Commands], argparse.ArgumentParser]] = {
    "run": _add_run,
    "demo": _add_demo,
    "doctor": _add_doctor,
    "check": _add_check,
    "show": _add_show,
    "merge": _add_merge,
    "models": _add_models,
}
_count = typed(integer("an integer >= 1", low=1))
