"""Parameters of a run: how a block is updated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from asyncred.runtime.config import checks
from asyncred.runtime.config.declare import parameter


@dataclass(frozen=True)
class UpdateConfig:
    """How a block is updated, and which comes next."""

    method: str = parameter(
        checks.Choice("async", "sync", "bc", "gm"),
        "Async-RED, Sync-RED, BC-RED (one block after the other) or GM-RED (all at once)",
        section="update",
        default="async",
    )
    kind: str = parameter(
        checks.Choice("auto", "gradient", "proximal", "anchored"),
        "gradient: the paper's; proximal: G_i preconditioned by A_i^T A_i + mu; anchored: the same "
        "with more updates of the data term than calls of the denoiser",
        name="update",
        section="update",
        default="auto",
        shown="auto: anchored, for dense compressive sensing proximal; gradient where "
        "something else that is asked for needs it",
    )
    mu: float | None = parameter(
        checks.number("a number > 0", open_low=True),
        "mu of the proximal and the anchored update",
        section="update",
        metavar="NUMBER",
        default=None,
        shown="from what the denoiser states of itself: docs/usage.md",
    )
    momentum: float | None = parameter(
        checks.number("a number >= 0 and < 1", below=1),
        "momentum of the proximal and the anchored update",
        section="update",
        metavar="BETA",
        default=None,
        shown="0.6 anchored, 0.8 for inpainting; 0.3 proximal, 0 there where the denoiser is "
        "proven nonexpansive",
    )
    inner: int | None = parameter(
        checks.integer("an integer >= 1", low=1),
        "steps of conjugate gradients of an update",
        section="update",
        metavar="STEPS",
        default=None,
        shown="2 anchored, 3 proximal",
    )
    rounds: int | None = parameter(
        checks.integer("an integer >= 0", low=0),
        "blocks that the anchored update moves by the data term alone after each call of the "
        "denoiser, besides the block of that",
        section="update",
        metavar="COUNT",
        default=None,
        shown="3; 0 for inpainting",
    )
    matrix: str = parameter(
        checks.Choice("single", "half"),
        "precision in which a dense A, or its factors, are kept",
        section="update",
        default="single",
    )
    factors: Path | None = parameter(
        checks.path,
        "file to keep the factors of a dense A in, made where it is missing: with them a proximal "
        "update costs what a gradient does, in all runs with the same A, tau and mu",
        section="update",
        metavar="FILE.h5",
        default=None,
    )
    minibatch: int | None = parameter(
        checks.integer("an integer >= 1", low=1),
        "measurements that one gradient update of a block looks at",
        section="update",
        metavar="COUNT",
        default=None,
        shown="all",
    )
    step: str | float = parameter(
        checks.step,
        "step size of the gradient update: safe, adaptive or a number",
        section="update",
        metavar="safe|adaptive|NUMBER",
        default="adaptive",
    )
    decay: float | None = parameter(
        checks.number("epochs > 0", open_low=True),
        "epochs after which the step is halved, for minibatches: gamma / (1 + epoch / decay)",
        section="update",
        metavar="EPOCHS",
        default=None,
        shown="never",
    )
    order: str = parameter(
        checks.Choice("epoch", "uniform"),
        "every block once an epoch, or drawn uniformly",
        section="expert",
        default="epoch",
    )
    seed: int = parameter(
        checks.integer("an integer >= 0", large=True),
        "of the order of blocks and of minibatches",
        section="expert",
        metavar="NUMBER",
        default=0,
    )
    refresh: float = parameter(
        checks.number("epochs >= 0"),
        "epochs between exact renewals of the residual A x - y, 0 for never",
        section="expert",
        metavar="EPOCHS",
        default=50.0,
        shown="50",
    )
