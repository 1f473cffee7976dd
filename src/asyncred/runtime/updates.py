"""Which update a run is meant to make, and what belongs to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from asyncred.denoisers.bound import stated_bound, stated_curvature
from asyncred.denoisers.onnx import DenoiserModel
from asyncred.errors import InputError
from asyncred.files.problem import Data, Problem
from asyncred.files.problem.block_random import BlockRandomData
from asyncred.files.problem.kinds import Anchoring
from asyncred.files.whole import check_writable
from asyncred.runtime.config import UpdateConfig

EXPANSIVE_MU, EXPANSIVE_MOMENTUM = 0.5, 0.3
"""mu / tau for a denoiser without a proof that it is nonexpansive, and momentum: by trial."""

ANCHORED_MU = 0.65
"""mu / tau of the anchored update for such a denoiser."""

INNER, ANCHORED_INNER = 3, 2
"""Steps of conjugate gradients."""

UNKNOWN = 2.0
"""What the largest eigenvalue of the Hessian of a potential is taken for, where nothing is said."""


@dataclass(frozen=True)
class Proximal:
    """The proximal or the anchored update of a run."""

    mu: float
    momentum: float
    steps: int
    """Of conjugate gradients."""
    factors: Path | None
    """Where its factors are, or will be; None for conjugate gradients."""
    rounds: int | None
    """Of the anchored update; None for the proximal one."""

    @property
    def anchored(self) -> bool:
        """Whether it is the anchored update."""
        return self.rounds is not None

    @property
    def words(self) -> str:
        """Its name."""
        return "anchored" if self.anchored else "proximal"


def precise(asked: UpdateConfig, problem: Problem) -> Problem:
    """The problem, its A kept as was asked for. Raises ValueError where it is not dense."""
    if asked.matrix == "single":
        return problem
    if not isinstance(problem.data, BlockRandomData):
        raise InputError(f"--matrix half: only a dense A is kept so, found {problem.kind}")
    return replace(problem, data=replace(problem.data, half=True))


def proximal_of(
    asked: UpdateConfig, problem: Problem, model: DenoiserModel, tau: float
) -> Proximal | None:
    """The proximal update that is meant; None for the gradient's. Raises ValueError."""
    if not _is_proximal(asked, tau):
        if asked.factors is not None:
            raise InputError("--factors: of --update proximal, found gradient")
        return None
    if asked.factors is not None:
        _check_factors(asked, problem, asked.factors)
    anchoring = _anchoring(asked, problem, tau)
    mu, momentum = _parameters(asked, model, tau, anchoring)
    if anchoring is None:
        if asked.rounds is not None:
            raise InputError("--rounds: of --update anchored, found proximal")
        return Proximal(mu, momentum, asked.inner or INNER, asked.factors, None)
    rounds = anchoring.rounds if asked.rounds is None else asked.rounds
    return Proximal(mu, momentum, asked.inner or ANCHORED_INNER, None, rounds)


def terms_of_data(data: Data) -> int:
    """How often an update by defaults applies A_i and its adjoint."""
    found = data.anchoring
    return 1 + INNER if found is None else (1 + found.rounds) * (1 + ANCHORED_INNER)


def _anchoring(asked: UpdateConfig, problem: Problem, tau: float) -> Anchoring | None:
    """The anchored update, if that is meant. Raises ValueError."""
    found = problem.data.anchoring
    if asked.kind == "anchored":
        if tau == 0:
            raise InputError("--update anchored with --tau 0: expected --update proximal --mu")
        if asked.factors is not None:
            raise InputError("--factors: of --update proximal, found anchored")
        return found or Anchoring()
    return found if asked.kind == "auto" and asked.factors is None else None


def _is_proximal(asked: UpdateConfig, tau: float) -> bool:
    """Whether it is the proximal one. Raises ValueError where what is asked for does not fit."""
    needs_gradient = {
        f"--method {asked.method}": asked.method in ("gm", "sync", "bc"),
        "--minibatch": asked.minibatch is not None,
        "--decay": asked.decay is not None,
        "--step": asked.step != "adaptive",
    }
    if asked.kind == "auto":
        return tau > 0 and not any(needs_gradient.values())
    if asked.kind == "anchored":
        for flag, given in needs_gradient.items():
            if given:
                raise InputError(f"--update anchored has its own order and step, found {flag}")
        return True
    if asked.kind == "proximal" and asked.method == "gm":
        raise InputError("--update proximal goes block by block, expected no --method gm")
    if asked.kind == "proximal" and asked.step == "safe":
        raise InputError("--update proximal has a step of 1, expected no --step safe")
    of_proximal = {
        "--mu": asked.mu,
        "--momentum": asked.momentum,
        "--inner": asked.inner,
        "--rounds": asked.rounds,
    }
    if asked.kind == "gradient" and any(value is not None for value in of_proximal.values()):
        raise InputError(f"{', '.join(of_proximal)}: of --update proximal, found gradient")
    return asked.kind == "proximal"


def _check_factors(asked: UpdateConfig, problem: Problem, path: Path) -> None:
    """Whether what is to be factored can be. Raises ValueError."""
    if not isinstance(problem.data, BlockRandomData):
        raise InputError(f"--factors: only a dense A has them, found {problem.kind}")
    if asked.minibatch is not None:
        raise InputError("--factors: of all measurements, expected no --minibatch")
    if not path.exists():
        check_writable(path, overwrite=False)


def _parameters(
    asked: UpdateConfig, model: DenoiserModel, tau: float, anchoring: Anchoring | None
) -> tuple[float, float]:
    """mu and momentum. Raises ValueError without a tau."""
    if asked.mu is None and tau == 0:
        raise InputError("--update proximal with --tau 0: expected --mu")
    bound = stated_bound(model)
    proven = bound is not None and bound <= 1
    mu, momentum = asked.mu, asked.momentum
    if mu is None:
        mu = _mu(model, tau, proven=proven, anchored=anchoring is not None)
    if momentum is None:
        momentum = 0.0 if proven else EXPANSIVE_MOMENTUM
        momentum = momentum if anchoring is None else anchoring.momentum
    return mu, momentum


def _mu(model: DenoiserModel, tau: float, *, proven: bool, anchored: bool) -> float:
    """Where nobody chose it. Momentum makes tau / 2 stable for a nonexpansive denoiser."""
    if model.has_potential:
        return _descending(model, tau)
    if proven:
        return EXPANSIVE_MU * tau if anchored else tau
    return (ANCHORED_MU if anchored else EXPANSIVE_MU) * tau


def _descending(model: DenoiserModel, tau: float) -> float:
    """mu with which the proximal update of a block lowers F(x) = f(x) + tau p(x).

    By at least mu - tau h/2 times the square of the step, h the largest eigenvalue of the Hessian
    of p (the descent lemma, with f convex). Never below what is stable for other denoisers.
    """
    h = stated_curvature(model) or UNKNOWN
    return tau * max(EXPANSIVE_MU, h / 2)
