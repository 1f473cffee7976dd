"""Async-RED: asynchronous block-parallel image reconstruction with deep denoisers over MPI."""

from importlib.metadata import version

__version__ = version("asyncred")
