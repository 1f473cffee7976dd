"""What local models have in common: they share nothing with other blocks but the image."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from asyncred.operators.protocols import Image, Rows

if TYPE_CHECKING:
    from typing_extensions import Self


class LocalModel:
    """Answers the questions of ``Operator`` about what is shared: nothing."""

    halo = 0

    @property
    def bytes_to_share(self) -> int:
        """Memory that ``shared`` will want of the node for the own blocks."""
        return 0

    def shared(self, share: Callable[[dict[int, Any]], Mapping[int, Any]]) -> Self:
        """The same for the blocks of several ranks, of which each has read the A_i of its own.

        ``share`` takes arrays of the own blocks and returns those of all ranks. Here every rank has
        read what it needs of all these blocks: nothing is shared.
        """
        return self

    def request(self, i: int, rows: Rows | None) -> None:
        """Nothing is with others."""

    def moved(self, i: int, delta: Image) -> None:
        """Nothing depends on it."""

    def misfit(self, i: int) -> float:
        """NaN: not known."""
        return math.nan

    def energy(self, i: int) -> float:
        """NaN: not known."""
        return math.nan
