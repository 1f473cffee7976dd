"""Multi-coil Cartesian MRI as a run sees it, whatever file it comes from.

y and the sensitivities are whitened where they are read, on the rank that owns them: W y and W s
take the place of y and s (``noise``), so that nothing after that knows of noise or dead coils.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from asyncred.files.problem.calibration import central, phases
from asyncred.files.problem.fields import finite
from asyncred.files.problem.kinds import CoupledData, Prior
from asyncred.files.problem.kspace import of_kspace
from asyncred.files.problem.noise import FEWEST, outer, outer_rows, whitening
from asyncred.files.problem.noise_estimate import relative
from asyncred.files.problem.plausible import VALUES, Shades, spread
from asyncred.files.problem.sampling import Complex, Mask, Sampling
from asyncred.files.problem.weights import Weights
from asyncred.grid import BlockGrid, region_shape
from asyncred.operators import CartesianMri

if TYPE_CHECKING:
    from typing_extensions import Self

COILS, FEWEST_COILS = 4, 2
"""So many are looked at for what is wrong with them, if there are: of large ones the fewest."""

ALL = slice(None)

MEDIAN = math.sqrt(math.log(2))
"""The median magnitude of complex normal numbers whose root mean square is 1."""


@dataclass(frozen=True)
class MriData(CoupledData):
    """Samples of k-space, by coil, wherever they are stored.

    The image x = P u is recovered as u: a denoiser of real images sees it better without its
    smooth phase.
    """

    sampling: Sampling
    coils: int
    covariance: NDArray[Any] | None
    """Of the noise of the coils, complex [C, C]; None where it is the same in all."""
    remarks: tuple[str, ...]

    dtype = np.complex64
    prior = Prior(level=5.0)
    starts = ("zero-filled", "adjoint")
    one_A = False
    place: ClassVar[str] = "/measurements/y"
    """The dataset of k-space."""
    unit: ClassVar[str] = "image"
    """What an image of a stack is called."""

    def kspace(self, coils: slice, rows: slice, cols: slice) -> Complex:
        """A part of k-space, complex [coils, ky, kx]."""
        raise NotImplementedError

    def sensitivities(self, blocks: list[int]) -> dict[int, Complex]:
        """s_c on some blocks, complex64 [C, h, w]. Raises ValueError."""
        raise NotImplementedError

    @property
    def mask(self) -> Mask:
        """The sampled points of the image, [ky, kx]."""
        return self.sampling.mask(self.stack.index)

    @property
    def dead(self) -> tuple[int, ...]:
        """The coils that are left out."""
        return self.sampling.dead.get(self.stack.index, ())

    @property
    def whitening(self) -> Complex | None:
        """W, complex64 [C, C]; None where it is I."""
        return whitening(self.covariance, self.dead, self.coils)

    @property
    def groups(self) -> int:
        """The number of coils, of which minibatches are drawn."""
        return self.coils

    @property
    def words(self) -> str:
        """How much was measured."""
        return f"{self.coils} coil(s), {self.mask.mean():.3g} of k-space"

    @property
    def notes(self) -> tuple[str, ...]:
        """What was found in the file."""
        return self.remarks

    @property
    def name(self) -> str:
        """Where the samples are, for messages."""
        one = self.stack.images is None
        return self.place if one else f"{self.place}: {self.unit} {self.stack.index}"

    def bytes_of(self, blocks: int) -> int:
        """Memory of x, sensitivities, y, residual and what a transform takes."""
        share, n = blocks / len(self.grid), math.prod(self.grid.block_shape)
        copies = 4 + 2 * share if self.weights is None else 5 + 3 * share
        return round(8 * (blocks * n * (1 + self.coils) + self.coils * self.sampling.most * copies))

    def doubts(self, shades: Shades | None) -> tuple[str, ...]:
        """About the samples of some coils, the first among them, and the mask."""
        return of_kspace(*self._some_coils(), self.place)

    def noise(self) -> float | None:
        """By the outer samples of some coils."""
        k, mask = self._some_coils(weighted=True)
        parts = [outer(k[:, rows], mask[rows]) for rows in outer_rows(len(mask))]
        samples = np.concatenate(parts, axis=1)
        if self.weights is not None:
            samples = samples[samples != 0]
        if samples.size < FEWEST:
            return None
        sigma = float(np.median(np.abs(samples))) / MEDIAN
        found, most = relative(sigma, k[:, mask]), self.sampling.most * self.coils
        return None if found is None else found * math.sqrt(self.mask.size / most)

    def _some_coils(self, *, weighted: bool = False) -> tuple[Complex, Mask]:
        """k-space of some that live, the first among them, and the mask; in the middle."""
        most = max(FEWEST_COILS, min(COILS, VALUES // self.mask.size))
        living = [c for c in range(self.coils) if c not in self.dead]
        some = [living[k] for k in spread(len(living), most)]
        k = np.concatenate([self.kspace(slice(c, c + 1), ALL, ALL) for c in some])
        if weighted and self.weights is not None:
            k = k * np.sqrt(np.concatenate([self._weights_on(range(c, c + 1)) for c in some]))
        back = [-shift for shift in self.sampling.offset]
        return np.roll(k, back, axis=(1, 2)), np.roll(self.mask, back, axis=(0, 1))

    def check(self) -> None:
        """Read all that can be wrong. Raises ValueError."""
        for coil in range(self.coils):
            self.y(range(coil, coil + 1))

    def center(self) -> Complex:
        """The sampled centre of k-space, whitened, complex64 [C, p, q]. Raises ValueError."""
        back = [-shift for shift in self.sampling.offset]
        region = central(np.roll(self.mask, back, axis=(0, 1)))
        if any(back):
            found = np.roll(self.kspace(ALL, ALL, ALL), back, axis=(1, 2))[(ALL, *region)]
        else:
            found = self.kspace(ALL, *region)
        found = self._living(found)
        finite(self.path, f"{self.name}: its centre", found)
        return self._whitened(found.astype(np.complex64))

    def phases(self, blocks: list[int]) -> dict[int, Complex]:
        """The smooth part of the image's phase, complex64 [h, w]. Raises ValueError."""
        coils = {i: self._whitened(s) for i, s in self.sensitivities(blocks).items()}
        return phases(self.center(), coils, self.grid, blocks, self.sampling.offset)

    def model(self, blocks: list[int], *, threads: int) -> CartesianMri:
        """W A P on some blocks. Raises ValueError."""
        s, P = self.sensitivities(blocks), self.phases(blocks)
        coils = {i: self._whitened(s_i * P[i]) for i, s_i in s.items()}
        return CartesianMri(self.grid, self.mask, coils, threads=threads, most=self.sampling.most)

    def y(self, coils: range) -> NDArray[np.float32]:
        """The samples of some coils, whitened, float32 [coils, 2 n]. Raises ValueError.

        n is that of the image that has the most; after the own samples 0.
        """
        W, mask = self.whitening, self.mask
        read = slice(coils.start, coils.stop) if W is None else ALL
        samples = np.ascontiguousarray(self._living(self.kspace(read, ALL, ALL), read)[:, mask])
        first, last = (coils.start, coils.stop) if W is None else (0, self.coils)
        finite(self.path, f"{self.name}: coils {first} to {last - 1}", samples)
        if W is not None:
            samples = W[coils.start : coils.stop] @ samples
        rest = self.sampling.most - samples.shape[1]
        if rest:
            samples = np.pad(samples, ((0, 0), (0, rest)))
        return np.ascontiguousarray(samples, np.complex64).view(np.float32)

    def weighed(self, weights: Weights) -> Self:
        """The same with weights; a point without one in all coils is not sampled.

        Raises ValueError where no point is, and for weights by coil of coils that are whitened.
        """
        data = replace(self, weights=weights)
        points = data._weights_on(range(self.coils))
        if self.covariance is not None and (points != points[:1]).any():
            raise ValueError(
                f"{self.path}: /measurements/weights differ by coil, but whitened coils are "
                "mixtures: expected [ky, kx]; --weights none leaves them out"
            )
        images = self.sampling.which if weights.each else list(self.sampling.which)[:1]
        found = {k: data.of(k)._weighted_points() for k in images}
        seen = {k: found.get(k, next(iter(found.values()))) for k in self.sampling.which}
        sampling = self.sampling.within(seen)
        empty = [k for k in sampling.which if not sampling.mask(k).any()]
        if empty:
            raise ValueError(
                f"{self.path}: /measurements/weights is 0 at all sampled points of {self.unit} "
                f"{empty[0]}, expected numbers > 0; --weights none leaves them out"
            )
        return replace(data, sampling=sampling)

    def weights_of(self, coils: range) -> NDArray[np.float32] | None:
        """w of the samples of some coils as ``y``, real and imaginary parts alike, 0 after them."""
        if self.weights is None:
            return None
        w = self._weights_on(coils)[:, self.mask]
        w = np.pad(w, ((0, 0), (0, self.sampling.most - w.shape[1])))
        return np.repeat(w, 2, axis=1)

    def _weights_on(self, coils: range) -> NDArray[np.float32]:
        """w of some coils, float32 [coils, ky, kx]."""
        assert self.weights is not None
        sides = (slice(0, n) for n in self.weights.shape[1:])
        return self.weights.read(self.stack.index, (slice(coils.start, coils.stop), *sides))

    def _weighted_points(self) -> Mask:
        """Where a coil has a weight, [ky, kx]."""
        return np.asarray(self._weights_on(range(self.coils)).max(axis=0) > 0)

    def _living(self, k: Complex, coils: slice = ALL) -> Complex:
        """The same without what coils hold that are dead."""
        if not self.dead:
            return k
        dead = np.isin(np.arange(self.coils)[coils], self.dead)
        return np.where(dead[:, None, None], np.complex64(0), k)

    def _whitened(self, values: Complex) -> Complex:
        """W times values [C, h, w]."""
        W = self.whitening
        if W is None:
            return values
        return np.tensordot(W, values, axes=1).astype(np.complex64)


def one_coil(grid: BlockGrid, blocks: list[int]) -> dict[int, Complex]:
    """The sensitivity of a coil that sees everything alike, complex64 [1, h, w]."""
    return {i: np.ones((1, *region_shape(grid.block(i))), np.complex64) for i in blocks}
