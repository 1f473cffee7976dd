"""How much of the budget of updates a rank takes at once.

Ranks take of one counter until nothing is left. Much at once spares messages; but what a slow rank
has taken, all others wait for at the end.
"""

from __future__ import annotations

CLAIM = 32
"""Updates that a rank may take at once, if it owns no more blocks."""


def claim_size(left: int, *, taken: int, mine: int, ranks: int, most: int) -> int:
    """How many of the ``left`` updates a rank takes, at least 1, ``most`` at most.

    All ranks took ``taken`` so far, this one ``mine``. One update at first; then half of what this
    rank would make of the rest if it went on to have the same share of all.
    """
    if mine == 0:
        return 1
    share = (1 + mine) / (ranks + taken)
    return max(1, min(most, int(left * share / 2)))
