"""What one rank works with: for all images; for one, from its start or where it was cut."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from asyncred.denoisers.onnx import Denoiser
from asyncred.denoisers.provider import Provider
from asyncred.denoisers.values import Complex, Parts, Ranged, without_phases
from asyncred.files.checkpoint import Past
from asyncred.files.checkpoint_reading import read_blocks, read_past, read_residual
from asyncred.files.identity import Inputs
from asyncred.files.problem.plausible import marked, said, settle
from asyncred.operators import Image, Operator
from asyncred.red.bounds import clipped
from asyncred.red.operator import RedOperator
from asyncred.red.proximal import FactoredRed, ProximalRed
from asyncred.runtime.collective import on_all, on_root
from asyncred.runtime.config import RunConfig
from asyncred.runtime.placement import Placement, Team
from asyncred.runtime.plan import Plan, truth_blocks
from asyncred.runtime.refusals import checkpoint_of
from asyncred.runtime.shades import OTHERWISE, Pair, Values, bounds_of, decide, together, values_of
from asyncred.runtime.terms import CoupledTerm, ImageTerm, LocalTerm
from asyncred.runtime.updates import Proximal


@dataclass(frozen=True)
class Denoisers:
    """The denoisers of this rank, of gray pictures in [0, 1]."""

    main: Denoiser
    draft: Denoiser | None
    """A cheaper one for large steps."""
    providers: list[Provider]
    """What each rank's denoiser runs on."""


@dataclass(frozen=True)
class Setup:
    """What one rank works with for all images."""

    config: RunConfig
    plan: Plan
    team: Team
    term: LocalTerm | CoupledTerm
    denoisers: Denoisers
    inputs: Inputs
    """The input files as this rank has found them."""

    @property
    def images(self) -> range:
        """Those that are asked for."""
        return self.plan.problem.images


@dataclass(frozen=True)
class Job:
    """What one rank works with for one image."""

    config: RunConfig
    plan: Plan
    team: Team
    denoisers: Denoisers
    index: int
    """Which image of the problem."""
    term: ImageTerm
    truth: Mapping[int, Image]
    shades: tuple[float, float]
    """The image's values for black and white."""
    bounds: Pair | None
    """What x is kept between, if by anything."""
    seconds: float
    """The time limit."""
    past: Past
    """What was done before the run was cut."""
    resumed: Mapping[int, Image] | None = None
    """The own blocks where it was cut."""
    velocity: Mapping[int, Image] = field(default_factory=dict)
    """Their momentum there."""
    anchors: Mapping[int, Image] = field(default_factory=dict)
    """Their anchors there, where the update has such."""
    checkpoint: Path | None = None
    """Where to put it down."""
    potentials: dict[int, float] | None = None
    """Of the blocks as of their last update, where the denoiser tells them."""

    @property
    def placement(self) -> Placement:
        """What this rank owns and may use."""
        return self.team.placement

    notes: tuple[str, ...] = ()
    """What its start told of the values of black and white, if that is worth a line."""

    @property
    def own(self) -> list[int]:
        """The blocks of this rank."""
        return self.placement.own

    @property
    def minibatch(self) -> bool:
        """Whether an update looks at a part of the measurements."""
        return self.config.update.minibatch is not None

    @property
    def updates_before(self) -> dict[int, int]:
        """How often each block that this rank may update was updated before the run was cut."""
        return {i: int(self.past.per_block[i]) for i in self.placement.reach}

    @property
    def anchored(self) -> Proximal | None:
        """The anchored update, if it is that."""
        proximal = self.plan.proximal
        return proximal if proximal is not None and proximal.anchored else None

    @property
    def momentum(self) -> float:
        """0 for the gradient's update."""
        return self.plan.proximal.momentum if self.plan.proximal else 0.0

    @property
    def longest_step(self) -> float:
        """A bound of gamma: ``asyncred.red.stepsize``."""
        step = self.config.update.step
        if not isinstance(step, str):
            return step
        return 1.0 if self.plan.proximal else 1 / self.plan.tau

    def dressed(self, D: Denoiser) -> Denoiser:
        """A denoiser of gray pictures in [0, 1] for images of this one's values."""
        D = D if self.shades == (0.0, 1.0) else Ranged(D, *self.shades)
        if np.dtype(self.plan.problem.data.dtype).kind != "c":
            return D
        return Complex(D) if self.plan.model.roles.planes == 2 else Parts(D)

    def operator(self, A: Operator, D: Denoiser) -> RedOperator:
        """G with a dressed denoiser, or the direction of the proximal update in its place."""
        grid, tau, proximal = self.plan.problem.grid, self.plan.tau, self.plan.proximal
        if proximal is None or proximal.anchored:
            G = RedOperator(grid, A, D, tau=tau)
        elif proximal.factors is not None:
            G = FactoredRed(grid, A, D, tau=tau, mu=proximal.mu)
        else:
            G = ProximalRed(
                grid,
                A,
                D,
                tau=tau,
                mu=proximal.mu,
                steps=proximal.steps,
                bounds=self.bounds,
            )
        G.potentials = self.potentials
        return G


def make_job(setup: Setup, index: int, seconds: float) -> Job:
    """What this rank works with for one image of the stack. Collective. Raises InputError."""
    config, plan, team = setup.config, setup.plan, setup.team
    comm, own = team.comm, team.placement.own
    known = on_all(comm, lambda: truth_blocks(plan.problem, own, index))
    term = setup.term.turn(index)
    truth = without_phases(known, term.phases)
    parts = comm.allgather(values_of(list(term.x0.values()), len(plan.problem.grid)))
    start = together([part for some in parts for part in some])
    shades, notes = on_all(comm, lambda: _shades(setup, index, start))
    job = Job(
        config,
        plan,
        team,
        setup.denoisers,
        index,
        term,
        truth,
        shades,
        bounds_of(
            config.data.bounds,
            shades,
            start,
            potential=plan.has_potential and plan.tau > 0,
            floor=plan.problem.data.floor,
        ),
        seconds,
        Past.nothing(len(plan.problem.grid)),
        checkpoint=checkpoint_of(config.files.kept, plan.problem, index),
        potentials={} if plan.has_potential else None,
        notes=notes,
    )
    cut = checkpoint_of(config.files.resume, plan.problem, index)
    job = job if cut is None or not on_root(comm, cut.exists) else _resumed(job, cut)
    on_all(comm, setup.inputs.check)  # after all that is read for this image
    return _within(job) if job.bounds is not None else job


def _shades(setup: Setup, index: int, start: Values) -> tuple[Pair, tuple[str, ...]]:
    """An image's values of black and white, and what is to be said of them. Raises ValueError."""
    problem, config = setup.plan.problem, setup.config
    name = "the start" if len(setup.images) == 1 else f"image {index}: the start"
    found = decide(problem, config.data.range, start, name=name)
    doubts = settle(problem.path, said(found.doubt), strict=config.data.strict)
    low, high = found.shades
    notes = [f"{note}, {low:.4g} and {high:.4g}; {OTHERWISE}" for note in said(found.note)]
    return found.shades, (*notes, *marked(doubts))


def _within(job: Job) -> Job:
    """The same job from the nearest x within its bounds. Collective."""
    bounds, x0, resumed = job.bounds, job.term.x0, job.resumed
    assert bounds is not None
    now = x0 if resumed is None else resumed
    nearest = {i: clipped(x_i, *bounds) for i, x_i in now.items()}
    moved = any((nearest[i] != now[i]).any() for i in now)
    if not job.team.comm.allreduce(int(moved)):
        return job
    if job.term.coupling is not None:
        job.term.coupling.refresh(nearest)
    if resumed is not None:
        return replace(job, resumed=nearest)
    return replace(job, term=replace(job.term, x0=nearest))


def _resumed(job: Job, path: Path) -> Job:
    """The same job where the run was cut. Collective. Raises InputError."""
    comm, plan, problem = job.team.comm, job.plan, job.plan.problem
    past = on_root(
        comm,
        lambda: read_past(
            path,
            grid=problem.grid,
            image=job.index,
            input_sha256=plan.sha256,
            dtype=problem.data.dtype,
        ),
    )
    blocks = on_all(comm, lambda: read_blocks(path, problem.grid, job.own))
    coupling = job.term.coupling
    if coupling and past.ranks == comm.size == 1:
        coupling.restore(on_all(comm, lambda: read_residual(path, range(problem.data.groups))))
    elif coupling:
        coupling.refresh(blocks.x)
    return replace(
        job, past=past, resumed=blocks.x, velocity=blocks.velocity, anchors=blocks.anchor
    )
