"""The operator G whose zeros Async-RED finds.

    G(x) = grad f(x) + tau (x - D(x)),    G_i(x) = U_i^T G(x)        (Sun et al. 2021, eq. 4, 6)

x image, float32 or complex64 [H, W]; f data term; D denoiser; tau its weight; i block.
"""

from __future__ import annotations

import numpy as np

from asyncred.denoisers.onnx import Denoiser
from asyncred.grid import BlockGrid, BlockWindows, within
from asyncred.operators import Image, Operator, Rows


class RedOperator:
    """G for one image, one data term and one denoiser.

    The block form needs only x on the window of block i (``BlockGrid.window``): D depends on no
    pixel farther than its halo, and block i of ``D(window)`` is block i of ``D(x)``; so with A.
    """

    def __init__(self, grid: BlockGrid, A: Operator, D: Denoiser, *, tau: float) -> None:
        self.grid, self.A, self.D, self.tau = grid, A, D, tau
        self.potentials: dict[int, float] | None = None
        """Where to put block i's share of p(x), if D(x) = x - grad p(x) tells p: then G = grad F,
        F(x) = f(x) + tau p(x)."""
        self.windows = BlockWindows(grid, max(A.halo, D.halo), D.align)

    def block(self, i: int, x_tilde: Image, rows: Rows | None = None) -> Image:
        """G_i at the window ``x_tilde`` that was read for block i; ``rows`` picks a minibatch.

        The window is ``windows[i]``.
        """
        seen = within(self.grid.window(i, self.A.halo).region, self.windows[i].region)
        G_i: Image = self.A.gradient(i, x_tilde[seen], rows) + self.tau * self.residual(i, x_tilde)
        return G_i

    def residual(self, i: int, x_tilde: Image) -> Image:
        """x_i - D_i(x): what the denoiser takes away from block i."""
        window, seen = self.windows[i], self.grid.window(i, self.D.halo, self.D.align)
        part = x_tilde[within(seen.region, window.region)]
        if self.potentials is None:
            clean = self.D(part)
        else:
            clean, p = self.D.with_potential(part)
            self.potentials[i] = float(p[seen.inner].sum(dtype=np.float64))
        out: Image = x_tilde[window.inner] - clean[seen.inner]
        return out

    def full(self, x: Image) -> Image:
        """G(x) on the whole image, the denoiser applied to it at once."""
        if self.potentials is None:
            clean = self.D(x)
        else:
            clean, p = self.D.with_potential(x)
            parts = {
                i: float(p[self.grid.block(i)].sum(dtype=np.float64)) for i in range(len(self.grid))
            }
            self.potentials.update(parts)
        G: Image = self.tau * (x - clean)
        for i in range(len(self.grid)):
            seen = self.grid.window(i, self.A.halo).region
            G[self.grid.block(i)] += self.A.gradient(i, x[seen], None)
        return G
