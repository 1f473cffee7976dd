"""Which update a run is meant to make, and what belongs to it."""

from __future__ import annotations

from dataclasses import replace

from asyncred.bound import stated_bound
from asyncred.config import InputError, RunConfig
from asyncred.denoiser import DenoiserModel
from asyncred.files import check_writable
from asyncred.problem import Problem
from asyncred.problem.block_random import BlockRandomData

EXPANSIVE_MU, EXPANSIVE_MOMENTUM = 0.5, 0.3
"""mu / tau for a denoiser without a proof that it is nonexpansive, and momentum: by trial."""


def precise(config: RunConfig, problem: Problem) -> Problem:
    """The problem, its A kept as was asked for. Raises ValueError where it is not dense."""
    if config.matrix == "single":
        return problem
    if not isinstance(problem.data, BlockRandomData):
        raise InputError(f"--matrix half: only a dense A is kept so, found {problem.kind}")
    return replace(problem, data=replace(problem.data, half=True))


def update_of(config: RunConfig, problem: Problem, tau: float) -> str:
    """gradient or proximal. Raises ValueError where proximal cannot be had."""
    needs_gradient = {
        f"--method {config.method}": config.method in ("gm", "sync", "bc"),
        "--minibatch": config.minibatch is not None,
        "--decay": config.decay is not None,
        "--step": config.step != "adaptive",
    }
    if config.update == "auto":
        return "proximal" if tau > 0 and not any(needs_gradient.values()) else "gradient"
    if config.update == "proximal" and config.method == "gm":
        raise InputError("--update proximal goes block by block, expected no --method gm")
    if config.update == "proximal" and config.step == "safe":
        raise InputError("--update proximal has a step of 1, expected no --step safe")
    of_proximal = {"--mu": config.mu, "--momentum": config.momentum}
    if config.update == "gradient" and any(value is not None for value in of_proximal.values()):
        raise InputError(f"{', '.join(of_proximal)}: of --update proximal, found gradient")
    return config.update


def check_factors(config: RunConfig, problem: Problem, mu: float | None) -> None:
    """Whether what is to be factored can be. Raises ValueError."""
    if config.factors is None:
        return
    if not isinstance(problem.data, BlockRandomData):
        raise InputError(f"--factors: only a dense A has them, found {problem.kind}")
    if mu is None or config.minibatch is not None:
        raise InputError("--factors: for --update proximal with all measurements")
    if config.factors.resolve() == config.output.resolve():
        raise InputError(f"{config.factors}: is the output file too, expected another name")
    if not config.factors.exists():
        check_writable(config.factors, overwrite=False)


def proximal_parameters(config: RunConfig, model: DenoiserModel, tau: float) -> tuple[float, float]:
    """mu and momentum of the proximal update. Raises ValueError without a tau."""
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
