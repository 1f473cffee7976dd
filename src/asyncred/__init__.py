"""Async-RED: asynchronous block-parallel image reconstruction with deep denoisers over MPI."""

import os

# One BLAS thread a process, before anything imports NumPy: the cores of a rank are given out by
# asyncred itself, to ONNX Runtime and the kernels. With more, the threads of NumPy's BLAS spin on
# the cores of other ranks and halve their speed. A value that the user set stays.
for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

from importlib.metadata import version  # noqa: E402

__version__ = version("asyncred")
