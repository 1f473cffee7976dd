"""The problem file: what was measured, with which operator, and the truth where it is known.

``head`` has what all files share, one module a kind the rest: how A and y are stored. Every reader
opens the file in mode "r" and takes only its own part. Files of other programs are recognised by
what they hold (``reader.FOREIGN``).
"""

from asyncred.problem.block_random import BlockRandomData, write_block_random
from asyncred.problem.cartesian_mri import CartesianMriData, write_cartesian_mri
from asyncred.problem.convolution import ConvolutionData, write_convolution
from asyncred.problem.head import Asked
from asyncred.problem.kinds import CoupledData, Data, LocalData
from asyncred.problem.mask import MaskData, write_mask
from asyncred.problem.matrix import MatrixData, write_matrix
from asyncred.problem.parallel_beam import ParallelBeamData, write_parallel_beam
from asyncred.problem.reader import Problem, read_problem
from asyncred.problem.superresolution import SuperresolutionData, write_superresolution

__all__ = [
    "Asked",
    "BlockRandomData",
    "CartesianMriData",
    "ConvolutionData",
    "CoupledData",
    "Data",
    "LocalData",
    "MaskData",
    "MatrixData",
    "ParallelBeamData",
    "Problem",
    "SuperresolutionData",
    "read_problem",
    "write_block_random",
    "write_cartesian_mri",
    "write_convolution",
    "write_mask",
    "write_matrix",
    "write_parallel_beam",
    "write_superresolution",
]
