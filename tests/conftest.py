"""Problems that several files of tests run, none of which changes them."""

import pytest

from commands import simulate


@pytest.fixture(scope="session")
def ct(tmp_path_factory):
    """Tomography: 64x64 pixels, 16 blocks, 30 views."""
    path = tmp_path_factory.mktemp("ct") / "ct.h5"
    return simulate("ct", path, "--size", "64", "--block", "16", "--views", "30")
