"""What forward models have in common whose every block touches every measurement."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from asyncred.operators.protocols import Footprint


class FullFootprint:
    """Answers a part of ``ForwardModel``; a subclass sets groups and length and has the rest.

    Of a complex image it also sets ``dtype = np.complex64``.
    """

    dtype: ClassVar[type[np.generic]] = np.float32
    groups: int
    length: int

    def footprint(self, i: int) -> Footprint:
        """Everything."""
        return Footprint(np.zeros(self.groups, np.int64), self.length)
