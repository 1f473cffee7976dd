"""The data term of one rank, from the file to what the algorithms call.

In two stages: ``read_term`` finds all that can be wrong with the input; what it returns is opened
afterwards, when windows of memory are allocated that no error may leave behind. Then ``turn`` takes
one image of a stack after the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from asyncred.denoisers.values import without_phases
from asyncred.errors import BadImage
from asyncred.files.problem import CoupledData, LocalData
from asyncred.files.problem.block_random import BlockRandomData
from asyncred.files.problem.kinds import LocalOperator
from asyncred.grid import region_shape
from asyncred.operators import ForwardModel, Image, Operator
from asyncred.runtime import windows
from asyncred.runtime.collective import on_all
from asyncred.runtime.comm import Comm
from asyncred.runtime.config import STARTS
from asyncred.runtime.coupling import STARTS as COUPLED_STARTS
from asyncred.runtime.coupling import Coupling
from asyncred.runtime.factors import open_factors
from asyncred.runtime.placement import Team
from asyncred.runtime.plan import Plan, stored_blocks
from asyncred.runtime.weighting import weigh


@dataclass(frozen=True)
class ImageTerm:
    """What the algorithms work with for one image."""

    A: Operator
    x0: Mapping[int, Image]
    """The start of the own blocks."""
    coupling: Coupling | None
    """What couples the blocks of A, if anything does."""
    phases: Mapping[int, Image]
    """P of the own blocks where A and x0 are those of conj(P) x; {} where of x."""
    y_square: float
    """||y||^2 of all measurements; NaN where it is not known."""


class LocalTerm:
    """A term that shares nothing."""

    def __init__(
        self,
        data: LocalData,
        A: LocalOperator,
        plan: Plan,
        team: Team,
    ) -> None:
        self._data, self._A, self._plan, self._team = data, A, plan, team
        self._image = data.stack.index  # whose weights A has

    def open(self, stack: ExitStack) -> None:
        """Share with the ranks of the node what A has of the own blocks. Collective."""
        if self._team.node is not None:
            self._A = self._A.shared(windows.sharing(self._team.node, stack))

    def turn(self, index: int) -> ImageTerm:
        """The term of an image of the stack. Collective. Raises InputError."""
        comm, data = self._team.comm, self._data.of(index)
        reach, threads = self._team.placement.reach, self._team.placement.threads
        if data.one_W or index == self._image:
            A = self._A.of(on_all(comm, lambda: data.measured(reach)))
        else:
            self._A = A = on_all(comm, lambda: data.operator(reach, threads=threads))
            self._image = index
        x0 = on_all(comm, lambda: self._start(A, index))
        energy = sum(A.energy(i) for i in self._team.placement.own)
        return ImageTerm(A, x0, None, {}, float(comm.allreduce(energy)))

    def _start(self, A: LocalOperator, index: int) -> Mapping[int, Image]:
        data, plan, own = self._data, self._plan, self._team.placement.own
        if plan.start in data.starts:
            return {i: data.starts[plan.start](A, i) for i in own}
        if plan.start == "zero":
            shapes = {i: region_shape(data.grid.block(i)) for i in own}
            return {i: np.zeros(shape, data.dtype) for i, shape in shapes.items()}
        return stored_blocks(plan.start, plan.problem, own, index)


class CoupledTerm:
    """A term whose residual the ranks share."""

    def __init__(
        self,
        data: CoupledData,
        model: ForwardModel,
        plan: Plan,
        team: Team,
    ) -> None:
        self._data, self._model, self._plan, self._team = data, model, plan, team
        self._image = data.stack.index  # whose A it is

    def open(self, stack: ExitStack) -> None:
        """Allocate the residual, to be freed by the stack; find the norms. Collective."""
        comm, far = self._team.comm, self._team.placement.far
        self._residual = windows.residual(stack, comm, self._model, far)
        self._couple(self._model, self._data)

    def turn(self, index: int) -> ImageTerm:
        """The term of an image of the stack, its residual that of the start. Collective.

        Raises InputError.
        """
        data, plan = self._data.of(index), self._plan
        on_all(self._team.comm, lambda: _measured(data, self._team.comm))
        if index != self._image and not (data.one_A and data.one_W):
            model = self._model
            if not data.one_A:
                model = on_all(self._team.comm, lambda: _model(data, self._team))
            self._couple(model, data)
            self._image = index
        self._coupling.turn(data)
        phases = on_all(self._team.comm, lambda: data.phases(self._team.placement.own))
        if plan.start in COUPLED_STARTS:
            x0: Mapping[int, Image] = COUPLED_STARTS[plan.start](self._coupling)
        else:
            own, problem = self._team.placement.own, plan.problem
            stored = on_all(self._team.comm, lambda: stored_blocks(plan.start, problem, own, index))
            x0 = without_phases(stored, phases)
        self._coupling.refresh(x0)
        return ImageTerm(self._A, x0, self._coupling, phases, self._coupling.energy())

    def _couple(self, model: ForwardModel, data: CoupledData) -> None:
        """Take A and weights, for as many measurements as any other image has. Collective."""
        placement, residual = self._team.placement, self._residual
        shapes = {i: region_shape(data.grid.block(i)) for i in placement.own}
        weighting = weigh(residual, model, data, placement.reach)
        self._coupling = Coupling(residual, model, data, shapes, weighting)
        self._A = self._coupling.operator()


def read_term(plan: Plan, team: Team) -> LocalTerm | CoupledTerm:
    """Read A, and the first image's measurements and start, of this rank. Collective.

    Raises InputError on all ranks of the job.
    """
    data, own, everybody = plan.problem.data, team.placement.own, team.everybody
    if isinstance(data, LocalData):
        term: LocalTerm | CoupledTerm = _local(data, plan, team)
    else:
        model = on_all(everybody, lambda: _model(data, team))
        _try_first(plan, data, team)
        term = CoupledTerm(data, model, plan, team)
    if plan.start not in STARTS:
        problem = plan.problem
        on_all(everybody, lambda: stored_blocks(plan.start, problem, own, problem.images[0]))
    return term


def _try_first(plan: Plan, data: CoupledData, team: Team) -> None:
    """Read the first image's measurements. Collective. Raises InputError.

    Of a stack, one without measurements is passed over when its turn comes.
    """
    try:
        on_all(team.everybody, lambda: _measured(data, team.comm))
    except BadImage:
        if len(plan.problem.images) == 1:
            raise


def _local(data: LocalData, plan: Plan, team: Team) -> LocalTerm:
    """The data term of the blocks that this rank updates, factored where asked for. Collective."""
    placement, proximal = team.placement, plan.proximal
    if proximal is None or proximal.factors is None:
        known = placement.own if data.shared_A else placement.reach
        A = on_all(team.everybody, lambda: data.operator(known, threads=placement.threads))
    else:
        assert isinstance(data, BlockRandomData), "only a dense A has factors"
        A = open_factors(team.everybody, proximal.factors, data, placement, mu=proximal.mu)
    on_all(team.everybody, lambda: windows.check_room(team.node, A.bytes_to_share))
    return LocalTerm(data, A, plan, team)


def _model(data: CoupledData, team: Team) -> ForwardModel:
    return data.model(team.placement.reach, threads=team.placement.threads)


def _measured(data: CoupledData, comm: Comm) -> None:
    """Read what is measured of the own groups, for what is wrong with it. Raises ValueError."""
    data.y(own_groups(data, comm))
    if data.weights is not None:
        data.weights_of(own_groups(data, comm))


def own_groups(data: CoupledData, comm: Comm) -> range:
    """The groups whose residual lies with this rank."""
    first, last = (rank * data.groups // comm.size for rank in (comm.rank, comm.rank + 1))
    return range(first, last)
