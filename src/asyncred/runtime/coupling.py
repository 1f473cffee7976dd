"""The data term of a coupled forward model on all ranks: its norm, its start, its residual.

r = A x - y,    c = 1 / ||A||^2 the weight of the data term
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from asyncred.files.problem import CoupledData
from asyncred.operators import CartesianMri, Coupled, ForwardModel, Image
from asyncred.operators.cartesian_mri import zero_filled
from asyncred.operators.spectrum import SAFETY, largest_eigenvalue
from asyncred.runtime.comm import Comm
from asyncred.runtime.weighting import Weighting

if TYPE_CHECKING:
    from asyncred.runtime.windows import AnyResidual

ITERATIONS = 50
CHANGE = 1e-3
"""Power iteration ends where ||A||^2 rises by less than this share, or after ITERATIONS."""

Array = NDArray[np.float32]
Blocks = Mapping[int, Image]


class Coupling:
    """What the ranks do together about a coupled data term. Every method is collective.

    ``shapes`` maps the blocks of this rank to height and width. ``data`` is of one image; ``turn``
    takes another, whose A is the same. With weights A and y are W^(1/2) A and W^(1/2) y in all that
    follows, but for the starts that invert A: fbp, zero-filled.
    """

    def __init__(
        self,
        residual: AnyResidual,
        model: ForwardModel,
        data: CoupledData,
        shapes: Mapping[int, tuple[int, int]],
        weighting: Weighting | None = None,
    ) -> None:
        self._comm: Comm = residual.comm
        self._residual, self._data, self._shapes = residual, data, shapes
        self._plain, self._weighting = model, weighting
        self._model = model if weighting is None else weighting.model
        self.weight = 1.0  # of the data term, once the norm of A is known

    def turn(self, data: CoupledData) -> None:
        """Take the measurements of another image."""
        self._data = data

    def operator(self) -> Coupled:
        """The data term with the weight 1 / ||A||^2."""
        norm = self.norm_squared()
        weight = self.weight = 1 / norm if norm > 0 else 1.0
        norms = {i: weight * self._block_norm_squared(i) for i in self._shapes}
        return Coupled(self._model, self._residual, weight=weight, norms=norms, norm=weight * norm)

    def norm_squared(self) -> float:
        """||A||^2, by power iteration."""
        v: Blocks = {
            i: np.random.default_rng(i).random(shape, np.float32).astype(self._model.dtype)
            for i, shape in self._shapes.items()
        }
        found = 0.0
        for _ in range(ITERATIONS):
            length = np.sqrt(self._square(v))
            if length == 0:
                return 0.0
            self._project({i: v_i / np.float32(length) for i, v_i in v.items()})
            before, found = found, self._residual_square()
            if found <= before * (1 + CHANGE):
                break
            v = self._backproject(self._model)
        return SAFETY * found

    @property
    def shape(self) -> tuple[int, int]:
        """Of r: groups and their length."""
        return self._model.groups, self._model.length

    def residual(self) -> tuple[int, Array]:
        """The first of the own groups, and r there, as it is. Not collective."""
        return self._residual.own.start, self._residual.local()

    def restore(self, r: Array) -> None:
        """r <- what ``residual`` returned."""
        self._residual.fill(lambda groups: r)

    def filtered_backprojection(self) -> dict[int, Image]:
        """As the kind of problem filters the measurements, and backprojects them."""
        self._residual.fill(self._data.filtered)
        read, back = self._residual.read, self._data.backproject
        return {i: back(self._plain, i, read(i, None)) for i in self._shapes}

    def adjoint(self) -> dict[int, Image]:
        """A^T y as it is."""
        self._residual.fill(self._y)
        return self._backproject(self._model)

    def zero_filled(self) -> dict[int, Image]:
        """A^T y over the squares of the sensitivities, which are 1 where nobody whitened them."""
        self._residual.fill(self._data.y)
        model = self._plain
        z = self._backproject(model)
        assert isinstance(model, CartesianMri), "the only kind that has this start"
        squares = {i: model.squares(i) for i in z}
        own = max((float(found.max()) for found in squares.values()), default=0.0)
        most = max(self._comm.allgather(own))
        return {i: zero_filled(z_i, squares[i], most) for i, z_i in z.items()}

    def zero(self) -> dict[int, Image]:
        """Nothing."""
        return {i: np.zeros(shape, self._model.dtype) for i, shape in self._shapes.items()}

    def backprojection(self) -> dict[int, Image]:
        """s A^T y with the s that makes ||A x - y|| smallest."""
        z = self.adjoint()
        square = self._square(z)
        self._project(z)
        image = self._residual_square()
        scale = np.float32(square / image if image > 0 else 0.0)
        return {i: scale * z_i for i, z_i in z.items()}

    def energy(self) -> float:
        """||y||^2."""
        return float(self._comm.allreduce(_square(self._y(self._residual.own))))

    def refresh(self, x: Blocks) -> float:
        """r <- A x - y, computed anew; how far r had drifted from that, relative to ||y||."""
        self._comm.Barrier()
        drifted, squares = self._residual.local(), np.zeros(2)

        def minus_y(groups: range) -> Array:
            y = self._y(groups)
            squares[1] = _square(y)
            return -y

        self._residual.fill(minus_y)
        self._add(x)
        squares[0] = _square(self._residual.local() - drifted)
        difference, y = self._comm.allreduce(squares)
        return float(np.sqrt(difference / y)) if y > 0 else 0.0

    def _project(self, x: Blocks) -> None:
        """r <- A x."""
        self._residual.fill(lambda groups: np.float32(0))
        self._add(x)

    def _add(self, x: Blocks) -> None:
        for i, x_i in x.items():
            self._residual.add(i, self._model.forward(i, x_i, None))
        self._residual.ready()

    def _backproject(self, model: ForwardModel) -> dict[int, Image]:
        read = self._residual.read
        return {i: model.adjoint(i, read(i, None), None) for i in self._shapes}

    def _y(self, groups: range) -> Array:
        """W^(1/2) y of the own groups."""
        y = self._data.y(groups)
        return y if self._weighting is None else self._weighting.roots * y

    def _block_norm_squared(self, i: int) -> float:
        h, w = self._shapes[i]

        dtype = np.dtype(self._model.dtype)

        def normal(v: Array) -> Array:
            projected = self._model.forward(i, v.view(dtype).reshape(h, w), None)
            return self._model.adjoint(i, projected, None).ravel().view(np.float32)

        n = h * w * dtype.itemsize // 4  # a complex number is two real ones
        return largest_eigenvalue(normal, n, np.random.default_rng(i))

    def _square(self, x: Blocks) -> float:
        return float(self._comm.allreduce(sum(_square(x_i) for x_i in x.values())))

    def _residual_square(self) -> float:
        return float(self._comm.allreduce(_square(self._residual.local())))


def _square(x: Image) -> float:
    return float(np.sum(np.square(np.abs(x), dtype=np.float64)))


STARTS: Mapping[str, Callable[[Coupling], dict[int, Image]]] = {
    "fbp": Coupling.filtered_backprojection,
    "adjoint": Coupling.backprojection,
    "zero-filled": Coupling.zero_filled,
    "zero": Coupling.zero,
}
"""What a run can start from, by name."""
