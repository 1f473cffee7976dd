"""The command lines: commands, their flags and what is said of them; not what they do."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from asyncred.commands.parser import Parser, add_flag, add_sections, typed
from asyncred.commands.simulate.flags import add_simulate
from asyncred.runtime.comm import Comm
from asyncred.runtime.config import LAYOUT, PHASE, RunConfig
from asyncred.runtime.config.checks import Choice, integer, number
from asyncred.runtime.config.declare import parameters

Command = Callable[[argparse.Namespace, Comm], int]
"""What a command does with its options and all ranks of the job; its exit code."""

Commands = Any
"""What argparse adds commands to."""

DECLARED = parameters(RunConfig)

OF_THE_DENOISER = (
    "sigma",
    "denoiser_output",
    "denoiser_range",
    "denoiser_inputs",
    "halo",
    "align",
)
"""What ``check`` and ``models`` take of it as ``run`` does."""

SHELLS = ("bash", "zsh")
FORMATS = ("tiff", "png", "npy", "nifti")


OF_CHECK = (
    "denoiser",
    *OF_THE_DENOISER,
    "images",
    "minibatch",
    "block",
    "size",
    "center",
    "views",
    "zingers",
    "rings",
    "air",
    *PHASE,
    "noise_scan",
    "weights",
    *LAYOUT,
    "range",
    "strict",
    "follow_links",
)
"""Parameters of a run that ``check`` takes too."""


def build_parser(commands: Mapping[str, Command]) -> Parser:
    """All commands; ``command`` of what is parsed is one of these, by name."""
    parser = Parser(
        prog="asyncred",
        description="Recovers large images from indirect measurements with Async-RED over MPI.",
        examples=("mpirun -n 2 asyncred demo", "asyncred run --help"),
    )
    parser.add_argument("--version", action="version", version=version("asyncred"))
    added = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, add in _ADD.items():
        add(added).set_defaults(command=commands[name])
    add_simulate(added)
    return parser


def _add_run(commands: Commands) -> Parser:
    run: Parser = commands.add_parser(
        "run",
        usage="mpirun -n RANKS asyncred run PROBLEM.h5 -o RESULT.h5 [flags]",
        help="recover the images of a problem: the main command (start with mpirun)",
        description="Recovers the images of a problem. Results appear whole or not at all.",
        examples=(
            "mpirun -n 4 asyncred run problem.h5 -o result.h5",
            "mpirun -n 4 asyncred run problem.h5 -o result.h5 --tau 0.2 --max-time 30m",
        ),
    )
    run.add_argument(
        "problem", metavar="PROBLEM.h5", nargs="?", default=argparse.SUPPRESS, help=_text("problem")
    )
    run.add_argument(
        "-o", "--output", metavar="RESULT.h5", default=argparse.SUPPRESS, help=_text("output")
    )
    run.add_argument(
        "--config",
        metavar="RUN.toml",
        type=Path,
        default=None,
        help="file with parameters, under the names of the flags; a flag wins over the file",
    )
    add_sections(run, DECLARED, ("problem", "output"))
    return run


def _add_demo(commands: Commands) -> Parser:
    demo: Parser = commands.add_parser(
        "demo",
        help="try everything on a photograph that asyncred ships (start with mpirun)",
        description="Recovers a photograph from compressed measurements of it.",
        examples=("mpirun -n 2 asyncred demo", "mpirun -n 4 asyncred demo -o folder --overwrite"),
    )
    demo.add_argument(
        "-o",
        "--output",
        metavar="FOLDER",
        default="asyncred-demo",
        help="folder to write to [asyncred-demo]",
    )
    epochs = typed(number("a number > 0", open_low=True))
    demo.add_argument(
        "--epochs", type=epochs, default=600.0, metavar="COUNT", help="at most this many [600]"
    )
    demo.add_argument("--overwrite", action="store_true", help="replace an earlier demo")
    return demo


def _add_doctor(commands: Commands) -> Parser:
    doctor: Parser = commands.add_parser(
        "doctor",
        help="say what works on this machine, and how fast (start with mpirun)",
        description="Tries whether this machine can run a job, and prints one finding a line. !! "
        "marks what to mend; the exit code is then 1.",
        examples=("mpirun -n 4 asyncred doctor", "mpirun -n 4 asyncred doctor -o /scratch/me"),
    )
    doctor.add_argument(
        "-o", "--output", default=".", metavar="FOLDER", help="folder to try writing to [.]"
    )
    for key in ("threads", "progress_thread"):
        add_flag(doctor, DECLARED[key], checked=True)
    return doctor


def _add_check(commands: Commands) -> Parser:
    check: Parser = commands.add_parser(
        "check",
        help="look at a problem file, and say what a job with it will need",
        description="Reads a problem as a run would. Says what it found, what looks wrong, and "
        "how much memory and time a job will need.",
        examples=(
            "asyncred check problem.h5 -n 4",
            "asyncred check problem.h5 -n 64 --ranks-per-node 16",
            "asyncred check scan.nxs --center-picture axis.png",
        ),
    )
    check.add_argument("problem", metavar="PROBLEM.h5", help=_text("problem"))
    check.add_argument(
        "-n", dest="ranks", type=_count, default=1, metavar="RANKS", help="ranks of the job [1]"
    )
    check.add_argument(
        "--ranks-per-node",
        type=_count,
        metavar="COUNT",
        help="how many ranks of the job are on one node [all]",
    )
    check.add_argument(
        "--center-picture",
        metavar="OUT.png",
        type=Path,
        help="draw one slice about several rotation axes, side by side",
    )
    check.add_argument("--overwrite", action="store_true", help="replace an earlier picture")
    for key in OF_CHECK:
        add_flag(check, DECLARED[key], checked=True)
    return check


def _add_show(commands: Commands) -> Parser:
    show: Parser = commands.add_parser(
        "show",
        help="summarise and draw a result",
        description="Prints a summary of one image of a result, and draws it.",
        examples=("asyncred show result.h5", "asyncred show result.h5 --image 7 -o seven.png"),
    )
    show.add_argument("result", metavar="RESULT.h5", help="result file of a run")
    row = typed(integer("an integer >= 0"))
    show.add_argument(
        "--image",
        type=row,
        default=0,
        metavar="ROW",
        help="which image of a stack, counted from 0 [0]",
    )
    show.add_argument("-o", "--output", metavar="FILE.png", help="the picture [RESULT.png]")
    show.add_argument("--overwrite", action="store_true", help="replace an earlier picture")
    return show


def _add_export(commands: Commands) -> Parser:
    export: Parser = commands.add_parser(
        "export",
        help="write the images of a result as TIFF, PNG, NumPy or NIfTI files",
        description="Writes the images of a result into a folder. All formats but png keep "
        "the values.",
        examples=(
            "asyncred export result.h5 slices/",
            "asyncred export result.h5 pictures/ --format png",
        ),
    )
    export.add_argument("result", metavar="RESULT.h5", help="result file of a run")
    export.add_argument("folder", metavar="FOLDER", help="folder to write to")
    export.add_argument(
        "--format",
        type=typed(Choice(*FORMATS)),
        default=FORMATS[0],
        metavar="|".join(FORMATS),
        help="tiff and png write a file for each image, npy and nifti one file [tiff]",
    ).choices = FORMATS
    export.add_argument("--overwrite", action="store_true", help="replace earlier files")
    return export


def _add_merge(commands: Commands) -> Parser:
    merge: Parser = commands.add_parser(
        "merge",
        help="make one result from results of parts of a stack",
        description="Makes one result of the parts that the jobs of an array wrote.",
        examples=(
            "asyncred merge whole.h5 part-0.h5 part-1.h5",
            "asyncred merge whole.h5 parts/part-?.h5 --overwrite",
        ),
    )
    merge.add_argument("output", metavar="RESULT.h5", help="result file to write")
    merge.add_argument("parts", metavar="PART.h5", nargs="+", help="results of parts")
    merge.add_argument("--overwrite", action="store_true", help="replace an earlier result")
    return merge


def _add_models(commands: Commands) -> Parser:
    models: Parser = commands.add_parser(
        "models",
        help="list the shipped denoisers, or examine one",
        description="Lists the shipped denoisers. Of one, or of an ONNX file of yours, prints its "
        "halo, cost, quality, and how far it is from nonexpansive.",
        examples=("asyncred models", "asyncred models mine.onnx --denoiser-range -1:1"),
    )
    models.add_argument(
        "name", nargs="?", metavar="NAME|FILE", help="shipped denoiser, or ONNX file"
    )
    for key in OF_THE_DENOISER:
        add_flag(models, DECLARED[key], checked=True)
    models.add_argument(
        "--potential",
        metavar="D.onnx",
        type=Path,
        help="from this network N write the denoiser D.onnx that has a potential",
    )
    models.add_argument("--overwrite", action="store_true", help="replace an earlier D.onnx")
    return models


def _add_completion(commands: Commands) -> Parser:
    completion: Parser = commands.add_parser(
        "completion",
        help="print what makes a shell complete commands and flags",
        description="Prints what makes a shell complete the commands and flags of asyncred.",
        examples=(
            "asyncred completion bash > ~/.local/share/bash-completion/completions/asyncred",
            "asyncred completion zsh > ~/.zfunc/_asyncred",
        ),
    )
    completion.add_argument("shell", choices=SHELLS, metavar="SHELL", help="bash or zsh")
    return completion


def _text(key: str) -> str:
    return DECLARED[key].help


_ADD: Mapping[str, Callable[[Commands], Parser]] = {
    "run": _add_run,
    "demo": _add_demo,
    "doctor": _add_doctor,
    "check": _add_check,
    "show": _add_show,
    "export": _add_export,
    "merge": _add_merge,
    "models": _add_models,
    "completion": _add_completion,
}
_count = typed(integer("an integer >= 1", low=1))
