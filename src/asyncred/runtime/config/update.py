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
        "gradient: a step against G, as in the paper; proximal: one that also solves the data "
        "term of the block; anchored: one call of the denoiser, then updates of several blocks by "
        "the data term",
        name="update",
        section="update",
        default="auto",
        shown="auto: anchored, or proximal for dense compressive sensing; gradient where another "
        "flag needs it",
    )
    mu: float | None = parameter(
        checks.number("a number > 0", open_low=True),
        "how firmly the proximal update holds a block to its old value, and the anchored one to "
        "its anchor; smaller is a longer step",
        section="update",
        metavar="NUMBER",
        default=None,
        shown="from the curvature of the denoiser's potential; without one tau / 2 to tau, by "
        "what is known of the denoiser",
    )
    momentum: float | None = parameter(
        checks.number("a number >= 0 and < 1", below=1),
        "share of the last update of a block, or of its anchor, that is added to the next one; "
        "not with --update gradient",
        section="update",
        metavar="BETA",
        default=None,
        shown="anchored 0.6, for inpainting 0.8; proximal 0.3, or 0 if the denoiser is proven "
        "nonexpansive",
    )
    inner: int | None = parameter(
        checks.integer("an integer >= 1", low=1),
        "steps of conjugate gradients inside an update",
        section="update",
        metavar="STEPS",
        default=None,
        shown="anchored 2, proximal 3",
    )
    rounds: int | None = parameter(
        checks.integer("an integer >= 0", low=0),
        "further blocks that the anchored update moves by the data term alone after each call of "
        "the denoiser",
        section="update",
        metavar="COUNT",
        default=None,
        shown="3; 0 for inpainting",
    )
    matrix: str = parameter(
        checks.Choice("single", "half"),
        "precision in which a dense A, or its factors, are stored",
        section="update",
        default="single",
    )
    factors: Path | None = parameter(
        checks.path,
        "file with factors of a dense A, made if it is missing: they make a proximal update as "
        "cheap as a gradient update, in all runs with the same A, tau and mu",
        section="update",
        metavar="FILE.h5",
        default=None,
    )
    minibatch: int | None = parameter(
        checks.integer("an integer >= 1", low=1),
        "how many measurements of a block one gradient update looks at",
        section="update",
        metavar="COUNT",
        default=None,
        shown="all",
    )
    step: str | float = parameter(
        checks.step,
        "step size of the gradient update: safe (proven), adaptive (longer), or a number",
        section="update",
        metavar="safe|adaptive|NUMBER",
        default="adaptive",
    )
    decay: float | None = parameter(
        checks.number("epochs > 0", open_low=True),
        "epochs after which the step of minibatches is halved: gamma / (1 + epoch / decay)",
        section="update",
        metavar="EPOCHS",
        default=None,
        shown="never",
    )
    order: str = parameter(
        checks.Choice("epoch", "uniform"),
        "each block once an epoch in random order, or blocks drawn independently",
        section="expert",
        default="epoch",
    )
    seed: int = parameter(
        checks.integer("an integer >= 0", large=True),
        "seed of the random order of blocks and of minibatches",
        section="expert",
        metavar="NUMBER",
        default=0,
    )
    refresh: float = parameter(
        checks.number("epochs >= 0"),
        "epochs after which the shared residual A x - y is computed anew; 0 for never",
        section="expert",
        metavar="EPOCHS",
        default=50.0,
        shown="50",
    )
