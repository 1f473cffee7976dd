"""The job is one of as many ranks as were asked for, not that many jobs of one rank."""

import os

import pytest


def test_number_of_ranks(comm):
    asked = os.environ.get("ASYNCRED_TEST_RANKS")
    if asked is None:
        pytest.skip("ASYNCRED_TEST_RANKS does not say how many")
    assert comm.size == int(asked)
