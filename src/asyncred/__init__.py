"""Async-RED: asynchronous block-parallel image reconstruction with deep denoisers over MPI."""

import os

# One BLAS thread a process, before anything imports NumPy: the cores of a rank are given out by
# asyncred itself, to ONNX Runtime and the kernels. With more, the threads of NumPy's BLAS spin on
# the cores of other ranks and halve their speed. A value that the user set stays.
for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

from importlib import import_module  # noqa: E402
from importlib.metadata import version  # noqa: E402
from typing import TYPE_CHECKING, Any  # noqa: E402

if TYPE_CHECKING:
    from asyncred.errors import InputError as InputError
    from asyncred.files.problem.arrays import cartesian_mri as cartesian_mri
    from asyncred.files.problem.arrays import compressive_sensing as compressive_sensing
    from asyncred.files.problem.arrays import convolution as convolution
    from asyncred.files.problem.arrays import fan_beam as fan_beam
    from asyncred.files.problem.arrays import forward_model as forward_model
    from asyncred.files.problem.arrays import inpainting as inpainting
    from asyncred.files.problem.arrays import parallel_beam as parallel_beam
    from asyncred.files.problem.arrays import sparse_matrix as sparse_matrix
    from asyncred.files.problem.arrays import superresolution as superresolution
    from asyncred.files.problem.fan_geometry import FanGeometry as FanGeometry
    from asyncred.runtime.api import load_denoiser as load_denoiser
    from asyncred.runtime.api import read_result as read_result
    from asyncred.runtime.api import run as run
    from asyncred.runtime.api import solve as solve
    from asyncred.runtime.solution import Solution as Solution

__version__ = version("asyncred")

_PUBLIC = {
    "asyncred.errors": ("InputError",),
    "asyncred.runtime.api": ("load_denoiser", "read_result", "run", "solve"),
    "asyncred.runtime.solution": ("Solution",),
    "asyncred.files.problem.arrays": (
        "cartesian_mri",
        "compressive_sensing",
        "convolution",
        "fan_beam",
        "forward_model",
        "inpainting",
        "parallel_beam",
        "sparse_matrix",
        "superresolution",
    ),
    "asyncred.files.problem.fan_geometry": ("FanGeometry",),
}
_HOME = {name: module for module, names in _PUBLIC.items() for name in names}


def __getattr__(name: str) -> Any:
    """A public name, loaded when it is asked for: commands start without what they do not need."""
    if name not in _HOME:
        raise AttributeError(f"module 'asyncred' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
