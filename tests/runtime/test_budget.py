"""What a rank takes of the budget at once."""

import pytest

from asyncred.runtime.budget import claim_size


@pytest.mark.parametrize(
    ("left", "taken", "mine", "ranks", "size"),
    [
        (1000, 500, 0, 4, 1),  # how fast it is nobody knows yet
        (1000, 4, 1, 4, 32),
        (100, 4, 1, 4, 12),  # half of a quarter
        (100, 400, 10, 4, 1),  # a slow one
        (1000, 400, 10, 4, 13),
        (100, 400, 390, 4, 32),
        (1, 99, 24, 4, 1),
        (0, 100, 25, 4, 1),  # of which it will get none
        (-3, 103, 25, 4, 1),
        (40, 60, 60, 1, 20),
    ],
)
def test_half_of_its_share_of_the_rest(left, taken, mine, ranks, size):
    assert claim_size(left, taken=taken, mine=mine, ranks=ranks, most=32) == size
