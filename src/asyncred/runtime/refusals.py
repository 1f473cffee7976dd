"""What a run refuses before anything is spent: parameters and files that do not go together."""

from __future__ import annotations

from pathlib import Path

from asyncred.errors import InputError, did_you_mean
from asyncred.files.checkpoint import previous
from asyncred.files.checkpoint_reading import read_past
from asyncred.files.problem import Problem
from asyncred.files.result import check_start, is_cut, read_completed
from asyncred.files.whole import check_writable
from asyncred.runtime.config import STARTS, FilesConfig, RunConfig


def check_start_known(start: str, problem: Problem) -> None:
    """Refuse a start that is neither a file nor a name of any. Raises ValueError."""
    if start in STARTS or Path(start).exists():
        return
    known = [*problem.data.starts, "zero"]
    raise InputError(
        f"--start is {start!r}, no such file, nor one of {', '.join(known)} ({problem.kind})"
        f"{did_you_mean(start, known)}"
    )


def check_together(config: RunConfig, problem: Problem, ranks: int) -> None:
    """Whether what is asked for fits this problem and so many ranks an image. Raises ValueError."""
    _check_ranks(config, problem, ranks)
    _check_steal(config)
    most, minibatch = problem.data.groups, config.update.minibatch
    if minibatch is not None and minibatch > most:
        raise InputError(f"--minibatch is {minibatch}, expected at most {most} (measurements)")


def check_files(config: RunConfig, problem: Problem) -> None:
    """Whether all that is to be read and written can be, the one not over the other.

    Raises ValueError.
    """
    data, files = config.data, config.files
    if files.output.resolve() == data.problem.resolve():
        raise InputError(f"{files.output}: is the problem file, expected another name")
    if data.start not in STARTS:
        dtype = problem.data.dtype
        check_start(Path(data.start), problem.grid, problem.images, dtype)
    stack = len(problem.images) > 1
    goes_on = files.resume is not None and files.output.exists()
    goes_on = goes_on and (stack or is_cut(files.output))
    check_writable(files.output, overwrite=files.overwrite or goes_on)
    factors = config.update.factors
    if factors is not None and factors.resolve() == files.output.resolve():
        raise InputError(f"{factors}: is the output file too, expected another name")
    if files.resume is not None and not stack and not files.resume.exists():
        raise InputError(f"{files.resume}: no such checkpoint")
    _check_checkpoints(config, problem)


def checkpoint_of(path: Path | None, problem: Problem, index: int) -> Path | None:
    """The file of one image's checkpoint: of a stack every image has its own."""
    if path is None or len(problem.images) == 1:
        return path
    return path.with_name(f"{path.stem}.{index:06d}{path.suffix}")


def resumable(files: FilesConfig, problem: Problem, digest: str, budget: int) -> list[bool]:
    """Which images are complete already. Raises ValueError where there is nothing to go on with."""
    grid, dtype, images = problem.grid, problem.data.dtype, problem.images
    for index in images:
        cut = checkpoint_of(files.resume, problem, index)
        if cut is not None and cut.exists():
            past = read_past(cut, grid=grid, image=index, input_sha256=digest, dtype=dtype)
            if past.updates > budget:
                raise InputError(
                    f"{cut}: has {past.updates} updates, {past.updates / len(grid):.4g} epochs, "
                    f"expected no more than {budget}, the budget: --epochs or --updates more"
                )
    if len(images) == 1 or files.resume is None or not files.output.exists():
        return [False] * len(images)
    return read_completed(
        files.output,
        images,
        grid=grid,
        dtype=dtype,
        with_truth=problem.has_truth,
        input_sha256=digest,
    )


def _check_checkpoints(config: RunConfig, problem: Problem) -> None:
    data, files = config.data, config.files
    if files.kept is None:
        return
    others = {"problem": data.problem, "output": files.output, "start": Path(data.start)}
    for index in problem.images:
        path = checkpoint_of(files.kept, problem, index)
        assert path is not None
        check_writable(path, overwrite=files.resume is not None or files.overwrite)
        for name, other in others.items():
            if other.resolve() in (path.resolve(), previous(path).resolve()):
                raise InputError(f"{path}: is the {name} file too, expected another name")


def _check_ranks(config: RunConfig, problem: Problem, ranks: int) -> None:
    blocks, method = len(problem.grid), config.update.method
    if ranks > blocks:
        raise InputError(
            f"{problem.path}: {blocks} blocks for {ranks} ranks, expected at most {blocks} ranks"
        )
    if ranks > 1 and method in ("gm", "bc"):
        raise InputError(f"--method {method} is serial: expected one rank, found {ranks}")
    if method == "gm" and config.update.minibatch is not None:
        raise InputError("--method gm takes all measurements, expected no --minibatch")
    if any(rank >= ranks for rank, _ in config.machine.slow):
        raise InputError(f"--slow: no such rank, expected 0 to {ranks - 1}")


def _check_steal(config: RunConfig) -> None:
    method, order = config.update.method, config.update.order
    if config.machine.steal == "off":
        return
    if method != "async":
        raise InputError(f"--steal on is of --method async, found --method {method}")
    if order != "epoch":
        raise InputError(f"--steal on takes the least-updated block, expected no --order {order}")
