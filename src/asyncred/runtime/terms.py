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

from mpi4py import MPI

from asyncred.denoisers.values import without_phases
from asyncred.files.problem import CoupledData, LocalData
from asyncred.files.problem.block_random import BlockRandomData
from asyncred.files.problem.kinds import LocalOperator
from asyncred.grid import region_shape
from asyncred.operators import ForwardModel, Image, Operator
from asyncred.runtime.collective import on_all
from asyncred.runtime.config import STARTS
from asyncred.runtime.coupling import STARTS as COUPLED_STARTS
from asyncred.runtime.coupling import Coupling
from asyncred.runtime.factors import open_factors
from asyncred.runtime.placement import Placement
from asyncred.runtime.plan import Plan, stored_blocks
from asyncred.shared import SharedResidual, check_room, sharing


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


class LocalTerm:
    """A term that shares nothing."""

    def __init__(
        self,
        node: MPI.Intracomm | None,
        data: LocalData,
        A: LocalOperator,
        plan: Plan,
        placement: Placement,
    ) -> None:
        self._node, self._data, self._A = node, data, A
        self._plan, self._placement = plan, placement

    def open(self, comm: MPI.Intracomm, stack: ExitStack) -> None:
        """Share with the ranks of the node what A has of the own blocks. Collective over comm."""
        self._comm = comm
        if self._node is not None:
            self._A = self._A.shared(sharing(self._node, stack))

    def turn(self, index: int) -> ImageTerm:
        """The term of an image of the stack. Collective. Raises InputError."""
        data, reach = self._data.of(index), self._placement.reach
        A = self._A.of(on_all(self._comm, lambda: data.measured(reach)))
        return ImageTerm(A, on_all(self._comm, lambda: self._start(A, index)), None, {})

    def _start(self, A: LocalOperator, index: int) -> Mapping[int, Image]:
        data, plan, own = self._data, self._plan, self._placement.own
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
        comm: MPI.Intracomm,
        data: CoupledData,
        model: ForwardModel,
        plan: Plan,
        placement: Placement,
    ) -> None:
        self._comm, self._data, self._model = comm, data, model
        self._plan, self._placement = plan, placement
        self._image = data.stack.index  # whose A it is

    def open(self, comm: MPI.Intracomm, stack: ExitStack) -> None:
        """Allocate the residual, to be freed by the stack; find the norms. Collective over comm."""
        self._residual = SharedResidual(comm, self._model, far=self._placement.far)
        stack.enter_context(self._residual)
        self._couple(self._model)

    def turn(self, index: int) -> ImageTerm:
        """The term of an image of the stack, its residual that of the start. Collective.

        Raises InputError.
        """
        data, plan = self._data.of(index), self._plan
        on_all(self._comm, lambda: data.y(own_groups(data, self._comm)))
        if not data.one_A and index != self._image:
            self._couple(on_all(self._comm, lambda: _model(data, self._placement)))
            self._image = index
        self._coupling.turn(data)
        phases = on_all(self._comm, lambda: data.phases(self._placement.own))
        if plan.start in COUPLED_STARTS:
            x0: Mapping[int, Image] = COUPLED_STARTS[plan.start](self._coupling)
        else:
            own, problem = self._placement.own, plan.problem
            stored = on_all(self._comm, lambda: stored_blocks(plan.start, problem, own, index))
            x0 = without_phases(stored, phases)
        self._coupling.refresh(x0)
        return ImageTerm(self._A, x0, self._coupling, phases)

    def _couple(self, model: ForwardModel) -> None:
        """Take A, whose measurements are as many as those of any other image. Collective."""
        shapes = {i: region_shape(self._data.grid.block(i)) for i in self._placement.own}
        self._coupling = Coupling(self._residual, model, self._data, shapes)
        self._A = self._coupling.operator()


def read_term(
    everybody: MPI.Intracomm,
    comm: MPI.Intracomm,
    node: MPI.Intracomm | None,
    plan: Plan,
    placement: Placement,
) -> LocalTerm | CoupledTerm:
    """Read A, and the first image's measurements and start, of this rank. Collective.

    ``comm`` are the ranks that share an image, ``node`` those of them that update each other's
    blocks. Raises InputError on all ranks of ``everybody``.
    """
    data, own = plan.problem.data, placement.own
    if isinstance(data, LocalData):
        term: LocalTerm | CoupledTerm = _local(everybody, node, data, plan, placement)
    else:
        model = on_all(everybody, lambda: _model(data, placement))
        on_all(everybody, lambda: data.y(own_groups(data, comm)))
        term = CoupledTerm(comm, data, model, plan, placement)
    if plan.start not in STARTS:
        problem = plan.problem
        on_all(everybody, lambda: stored_blocks(plan.start, problem, own, problem.images[0]))
    return term


def _local(
    everybody: MPI.Intracomm,
    node: MPI.Intracomm | None,
    data: LocalData,
    plan: Plan,
    placement: Placement,
) -> LocalTerm:
    """The data term of the blocks that this rank updates, factored where asked for. Collective."""
    threads, proximal = placement.threads, plan.proximal
    if proximal is None or proximal.factors is None:
        known = placement.own if data.shared_A else placement.reach
        A = on_all(everybody, lambda: data.operator(known, threads=threads))
    else:
        assert isinstance(data, BlockRandomData), "only a dense A has factors"
        A = open_factors(everybody, proximal.factors, data, placement, mu=proximal.mu)
    on_all(everybody, lambda: check_room(node, A.bytes_to_share))
    return LocalTerm(node, data, A, plan, placement)


def _model(data: CoupledData, placement: Placement) -> ForwardModel:
    return data.model(placement.reach, threads=placement.threads)


def own_groups(data: CoupledData, comm: MPI.Intracomm) -> range:
    """The groups whose residual lies with this rank."""
    first, last = (rank * data.groups // comm.size for rank in (comm.rank, comm.rank + 1))
    return range(first, last)
