"""Which update a run is meant to make, and what belongs to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from asyncred.denoisers.bound import stated_bound
from asyncred.denoisers.onnx import DenoiserModel
from asyncred.errors import InputError
from asyncred.files.problem import Problem
from asyncred.files.problem.block_random import BlockRandomData
from asyncred.files.whole import check_writable
from asyncred.runtime.config import RunConfig

EXPANSIVE_MU, EXPANSIVE_MOMENTUM = 0.5, 0.3
"""mu / tau for a denoiser without a proof that it is nonexpansive, and momentum: by trial."""


@dataclass(frozen=True)
class Proximal:
    """The proximal update of a run."""

    mu: float
    momentum: float
    factors: Path | None
    """Where its factors are, or will be; None for conjugate gradients."""


def precise(config: RunConfig, problem: Problem) -> Problem:
    """The problem, its A kept as was asked for. Raises ValueError where it is not dense."""
    if config.matrix == "single":
        return problem
    if not isinstance(problem.data, BlockRandomData):
        raise InputError(f"--matrix half: only a dense A is kept so, found {problem.kind}")
    return replace(problem, data=replace(problem.data, half=True))


def proximal_of(
    config: RunConfig, problem: Problem, model: DenoiserModel, tau: float
) -> Proximal | None:
    """The proximal update that is meant; None for the gradient's. Raises ValueError."""
    if not _is_proximal(config, tau):
        if config.factors is not None:
            raise InputError("--factors: of --update proximal, found gradient")
        return None
    if config.factors is not None:
        _check_factors(config, problem, config.factors)
    mu, momentum = _parameters(config, model, tau)
    return Proximal(mu, momentum, config.factors)


def _is_proximal(config: RunConfig, tau: float) -> bool:
    """Whether it is the proximal one. Raises ValueError where what is asked for does not fit."""
    needs_gradient = {
        f"--method {config.method}": config.method in ("gm", "sync", "bc"),
        "--minibatch": config.minibatch is not None,
        "--decay": config.decay is not None,
        "--step": config.step != "adaptive",
    }
    if config.update == "auto":
        return tau > 0 and not any(needs_gradient.values())
    if config.update == "proximal" and config.method == "gm":
        raise InputError("--update proximal goes block by block, expected no --method gm")
    if config.update == "proximal" and config.step == "safe":
        raise InputError("--update proximal has a step of 1, expected no --step safe")
    of_proximal = {"--mu": config.mu, "--momentum": config.momentum}
    if config.update == "gradient" and any(value is not None for value in of_proximal.values()):
        raise InputError(f"{', '.join(of_proximal)}: of --update proximal, found gradient")
    return config.update == "proximal"


def _check_factors(config: RunConfig, problem: Problem, path: Path) -> None:
    """Whether what is to be factored can be. Raises ValueError."""
    if not isinstance(problem.data, BlockRandomData):
        raise InputError(f"--factors: only a dense A has them, found {problem.kind}")
    if config.minibatch is not None:
        raise InputError("--factors: of all measurements, expected no --minibatch")
    if path.resolve() == config.output.resolve():
        raise InputError(f"{path}: is the output file too, expected another name")
    if not path.exists():
        check_writable(path, overwrite=False)


def _parameters(config: RunConfig, model: DenoiserModel, tau: float) -> tuple[float, float]:
    """mu and momentum. Raises ValueError without a tau."""
    if config.mu is None and tau == 0:
        raise InputError("--update proximal with --tau 0: expected --mu")
    bound = stated_bound(model)
    proven = bound is not None and bound <= 1
    mu, momentum = config.mu, config.momentum
    if mu is None:
        mu = tau if proven else EXPANSIVE_MU * tau
    if momentum is None:
        momentum = 0.0 if proven else EXPANSIVE_MOMENTUM
    return mu, momentum
