"""What every kind of problem offers to a run, whatever its file looks like.

Local kinds hand out the data term of some blocks with its measurements; coupled ones hand out A
alone, and y by group. Either holds one image of a stack at a time: ``of`` turns to another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from asyncred.files.problem.head import Stack
from asyncred.files.problem.plausible import Shades
from asyncred.grid import BlockGrid
from asyncred.operators import ForwardModel, Image, Operator

if TYPE_CHECKING:
    from typing_extensions import Self


class LocalOperator(Operator, Protocol):
    """An ``Operator`` that holds the measurements of its blocks."""

    @property
    def bytes_to_share(self) -> int:
        """Memory that ``shared`` will want of the node for the own blocks."""
        ...

    def of(self, y: Mapping[int, Any]) -> Self:
        """The same A with other measurements; what is known of A is kept."""
        ...

    def shared(self, share: Callable[[dict[int, Any]], Mapping[int, Any]]) -> Self:
        """The same for the blocks of several ranks; ``share`` makes theirs of the own arrays."""
        ...


@dataclass(frozen=True)
class Prior:
    """The denoiser of a kind of problem where nobody names one, and its weight.

    By the median over five photographs: benchmarks/weights.py.
    """

    tau: float
    denoiser: str = "potential"
    level: float = 10.0
    """The noise that it removes, in units of 1/255."""

    def weight(self, level: float | None) -> float:
        """tau of a denoiser for another noise, if that is known: one that removes more counts less.

        The best weights of one denoiser at two levels were about as their inverse.
        """
        return self.tau * self.level / level if level else self.tau


@dataclass(frozen=True)
class Data:
    """What a file holds of A and y."""

    path: Path
    grid: BlockGrid
    stack: Stack

    dtype: ClassVar[type[np.generic]] = np.float32
    """Of the image: float32 or complex64."""
    prior: ClassVar[Prior] = Prior(0.025)
    """The denoiser where nobody names one."""
    counted: ClassVar[str] = "A, y and x"
    """What ``bytes_of`` counts."""

    @property
    def groups(self) -> int:
        """How many measurements a minibatch is drawn from, at most."""
        raise NotImplementedError

    @property
    def words(self) -> str:
        """How much was measured."""
        raise NotImplementedError

    @property
    def notes(self) -> tuple[str, ...]:
        """What was found, or taken for granted, that the user should know; a line each."""
        return ()

    def doubts(self, shades: Shades | None) -> tuple[str, ...]:
        """What makes the image's measurements, or A, look wrong, with a way out; a line each.

        ``shades`` are the values of black and white, None where the start will tell them. Reads a
        bounded part of y. Raises ValueError.
        """
        raise NotImplementedError

    def bytes_of(self, blocks: int) -> int:
        """Memory that some full blocks of a rank take, roughly, without the denoiser's."""
        raise NotImplementedError

    def check(self) -> None:
        """Read all of y and A that can be wrong. Raises ValueError."""
        raise NotImplementedError

    def phases(self, blocks: list[int]) -> Mapping[int, Image]:
        """P on some blocks, where A is that of conj(P) x; {} where it is that of x.

        |P| = 1, or 0 where x is known to be 0.
        """
        return {}

    def reference(self) -> Image | None:
        """An image that others made of better measurements, float32 [h, w], where there is one."""
        return None

    def of(self, index: int) -> Self:
        """The same for another image of the stack."""
        return replace(self, stack=replace(self.stack, index=index))


@dataclass(frozen=True)
class LocalData(Data):
    """Of a kind whose blocks share nothing but the image."""

    starts: ClassVar[Mapping[str, Callable[[Any, int], Image]]] = {}
    """By name, the method of the operator that gives block i of it; the first is the default."""

    shared_A: ClassVar[bool] = False
    """Whether A is large: ranks that need each other's blocks share it, and read only their own."""

    def operator(self, blocks: list[int], *, threads: int) -> LocalOperator:
        """The data term of some blocks; nothing of others is read. Raises ValueError."""
        raise NotImplementedError

    def measured(self, blocks: list[int]) -> Mapping[int, Any]:
        """y of some blocks, as ``LocalOperator.of`` takes it. Raises ValueError."""
        raise NotImplementedError


@dataclass(frozen=True)
class CoupledData(Data):
    """Of a kind all of whose blocks touch common measurements."""

    starts: ClassVar[tuple[str, ...]] = ("adjoint",)
    """Names among those of ``asyncred.runtime.coupling.STARTS``; the first is the default."""

    one_A: ClassVar[bool] = True
    """Whether all images of a stack have the same A; else ``model`` is asked for each."""

    def model(self, blocks: list[int], *, threads: int) -> ForwardModel:
        """A, as far as some blocks need it. Raises ValueError."""
        raise NotImplementedError

    def y(self, groups: range) -> NDArray[np.float32]:
        """Measurements of some groups, float32 [groups, length]. Raises ValueError."""
        raise NotImplementedError

    def filtered(self, groups: range) -> NDArray[np.float32]:
        """What ``backproject`` makes a filtered backprojection of, where the kind knows one."""
        raise NotImplementedError

    def backproject(self, model: ForwardModel, i: int, r: NDArray[np.float32]) -> Image:
        """Block i of a filtered backprojection, r on its footprint; ``model`` is this kind's."""
        return model.adjoint(i, r, None)
