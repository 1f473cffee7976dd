"""The problem file: what was measured, with which operator, and the truth where it is known.

``head`` has what all files share, one module a kind the rest: how A and y are stored. Every reader
opens the file in mode "r" and takes only its own part. Files of other programs are recognised by
what they hold (``reader.FOREIGN``).
"""

from asyncred.files.problem.block_random import BlockRandomData, write_block_random
from asyncred.files.problem.cartesian_mri import CartesianMriData, write_cartesian_mri
from asyncred.files.problem.convolution import ConvolutionData, write_convolution
from asyncred.files.problem.fan_beam import FanBeamData, write_fan_beam
from asyncred.files.problem.fan_geometry import FanGeometry
from asyncred.files.problem.head import Asked, Corrections, Places
from asyncred.files.problem.kinds import CoupledData, Data, LocalData
from asyncred.files.problem.mask import MaskData, write_mask
from asyncred.files.problem.matrix import MatrixData, write_matrix
from asyncred.files.problem.parallel_beam import ParallelBeamData, write_parallel_beam
from asyncred.files.problem.reader import Problem, read_problem
from asyncred.files.problem.superresolution import SuperresolutionData, write_superresolution

__all__ = [
    "Asked",
    "BlockRandomData",
    "CartesianMriData",
    "ConvolutionData",
    "Corrections",
    "CoupledData",
    "Data",
    "FanBeamData",
    "FanGeometry",
    "LocalData",
    "MaskData",
    "MatrixData",
    "ParallelBeamData",
    "Places",
    "Problem",
    "SuperresolutionData",
    "read_problem",
    "write_block_random",
    "write_cartesian_mri",
    "write_convolution",
    "write_fan_beam",
    "write_mask",
    "write_matrix",
    "write_parallel_beam",
    "write_superresolution",
]
