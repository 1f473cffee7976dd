"""What every kind of problem offers to a run, whatever its file looks like.

Local kinds hand out the data term of some blocks with its measurements; coupled ones hand out A
alone, and y by group. Either holds one image of a stack at a time: ``of`` turns to another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from asyncred.files.problem.head import Stack
from asyncred.files.problem.plausible import Shades
from asyncred.files.problem.weights import Part, Weights
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
class Anchoring:
    """What suits the anchored update of a kind of problem, by trial: benchmarks/README.md."""

    momentum: float = 0.6
    rounds: int = 3
    """Blocks that are updated by the data term alone after each call of the denoiser."""


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
    weights: Weights | None = field(default=None, kw_only=True)
    """Those in the file, where they are to be taken."""

    dtype: ClassVar[type[np.generic]] = np.float32
    """Of the image: float32 or complex64."""
    prior: ClassVar[Prior] = Prior()
    """The denoiser where nobody names one."""
    anchoring: ClassVar[Anchoring | None] = Anchoring()
    """The anchored update where nobody chooses one; None where another is better."""
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

    @property
    def floor(self) -> float | None:
        """A value that the image cannot be below, where what was measured agrees with one."""
        return None

    @property
    def weighting(self) -> str:
        """Where the weights of the measurements come from: file, counts or none."""
        return "none" if self.weights is None else "file"

    @property
    def described(self) -> str:
        """``words``, and which weights it has."""
        weighted = {"none": "", "file": ", weighted", "counts": ", weighted by counts"}
        return self.words + weighted[self.weighting]

    @property
    def one_W(self) -> bool:
        """Whether all images of a stack have the same weights."""
        return self.weights is None or not self.weights.each

    def weighed(self, weights: Weights) -> Self:
        """The same with weights, and without what these say was not measured. Raises ValueError."""
        return replace(self, weights=weights)

    def known(self, y: NDArray[Any], part: Part) -> NDArray[Any]:
        """y of some measurements, 0 where its weight is."""
        return y if self.weights is None else self.weights.hide(y, self.stack.index, part)

    def noise(self) -> float | None:
        """The noise of y, as a share of the image: of its root mean square, if y is that of pixels.

        With weights that of W^(1/2) y.

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
    mean_weights: Mapping[int, float] = field(default_factory=dict, kw_only=True)
    """By image, that of what was measured; by which weights are divided."""

    def weighed(self, weights: Weights) -> Self:
        """The same with weights. Raises ValueError where all that was measured has the weight 0."""
        data = replace(self, weights=weights)
        images = self.stack.chosen if weights.each else self.stack.chosen[:1]
        return replace(data, mean_weights={k: data.of(k)._mean_weight() for k in images})

    def part(self, i: int) -> Part:
        """The measurements that count as block i's."""
        raise NotImplementedError

    def measured_weights(self, i: int) -> NDArray[np.float32]:
        """w, as the file has it, of what was measured of block i, and nowhere else."""
        assert self.weights is not None
        return self.weights.read(self.stack.index, self.part(i))

    def weights_on(self, part: Part) -> NDArray[np.float32]:
        """w of some measurements, of mean 1 over all that were measured."""
        assert self.weights is not None
        image = self.stack.index if self.weights.each else self.stack.chosen[0]
        w = self.weights.read(self.stack.index, part) / np.float32(self.mean_weights[image])
        return np.asarray(w, np.float32)

    def weights_of(self, blocks: list[int]) -> Mapping[int, NDArray[np.float32]] | None:
        """The same by block, as the data term takes them; None without weights."""
        return None if self.weights is None else {i: self.weights_on(self.part(i)) for i in blocks}

    def _mean_weight(self) -> float:
        total, count = 0.0, 0
        for i in range(len(self.grid)):
            w = self.measured_weights(i)
            total, count = total + float(w.sum(dtype=np.float64)), count + int(np.count_nonzero(w))
        if count == 0:
            raise ValueError(
                f"{self.path}: /measurements/weights is 0 wherever y was measured, expected "
                "numbers > 0 there; --weights none leaves them out"
            )
        return total / count

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

    def weights_of(self, groups: range) -> NDArray[np.float32] | None:
        """w of some groups, of any scale, as ``y``; None where there are none."""
        if self.weights is None:
            return None
        part = slice(groups.start, groups.stop), slice(0, self.weights.shape[1])
        return self.weights.read(self.stack.index, part)

    def filtered(self, groups: range) -> NDArray[np.float32]:
        """What ``backproject`` makes a filtered backprojection of, where the kind knows one."""
        raise NotImplementedError

    def backproject(self, model: ForwardModel, i: int, r: NDArray[np.float32]) -> Image:
        """Block i of a filtered backprojection, r on its footprint; ``model`` is this kind's."""
        return model.adjoint(i, r, None)
