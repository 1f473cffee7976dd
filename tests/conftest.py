"""Problems that several files of tests run, none of which changes them."""

import pytest

from commands import simulate


@pytest.fixture(scope="session")
def ct(tmp_path_factory):
    """Tomography: 64x64 pixels, 16 blocks, 30 views."""
    path = tmp_path_factory.mktemp("ct") / "ct.h5"
    return simulate("ct", path, "--size", "64", "--block", "16", "--views", "30")


@pytest.fixture(scope="session")
def cs(tmp_path_factory):
    """Compressive sensing: 64x64 pixels, 16 blocks, a well-posed problem that is soon solved."""
    path = tmp_path_factory.mktemp("cs") / "cs.h5"
    return simulate("cs", path, "--size", "64", "--block", "16", "--ratio", "1.5")
