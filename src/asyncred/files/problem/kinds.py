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


WEIGHT, MOST = 0.25, 8.0
"""tau of a denoiser that removes the noise there is, and the largest of one that removes less."""

HALF = 127.5
"""The root mean square of an image that is neither dark nor bright, in units of 1/255."""


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

    The more noise there is the more the denoiser weighs: by Bayes' rule as the square of the noise
    over its own (tau g = -sigma^2 log p where D is the mean of images of density p under noise of
    its level), by the best weights of six kinds at three noises each as the power 3/2:
    benchmarks/weights.py.
    """

    tau: float = 0.1
    """Where the noise is not known; this and ``least`` of a denoiser for ``level``."""
    denoiser: str = "potential"
    level: float = 10.0
    """The noise that it removes, in units of 1/255."""
    least: float = 0.01
    """The weight where there is little or no noise: with less, runs do not come to their end."""

    def weight(self, level: float | None, noise: float | None) -> float:
        """tau, of a denoiser for some level if that is known, from what ``Data.noise`` says."""
        own = level or self.level
        less = float((self.level / own) ** 1.5)
        if noise is None:
            return self.tau * less
        return min(max(WEIGHT * float((HALF * noise / own) ** 1.5), self.least * less), MOST)


@dataclass(frozen=True)
class Data:
    """What a file holds of A and y."""

    path: Path
    grid: BlockGrid
    stack: Stack

    dtype: ClassVar[type[np.generic]] = np.float32
    """Of the image: float32 or complex64."""
    prior: ClassVar[Prior] = Prior()
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

    def noise(self) -> float | None:
        """The noise of y, as a share of the image: of its root mean square, if y is that of pixels.

        Where there are more measurements than pixels it counts as much less as their mean would
        have. None where y does not tell it. Reads a bounded part of y. Raises ValueError.
        """
        return None

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
