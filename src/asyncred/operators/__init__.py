"""Forward models, one file each, and what the algorithms ask of them.

g(x) = 1/2 ||A x - y||^2 is the data term, A = [A_1 ... A_b] its operator, cut into the blocks of
the image. Two kinds of A:

- local: block i of grad g(x) depends on x no farther than a few pixels from block i. Such a model
  answers ``Operator`` itself and holds the measurements of the blocks of one rank.
- coupled: every A_i touches common measurements. Such a model is a ``ForwardModel`` and knows no
  measurements; ``asyncred.operators.coupled`` keeps the residual r = A x - y for it.

Images are float32 or complex64 [h, w]. Complex ones are vectors of real numbers here, real and
imaginary parts alike: <x, z> is the real part of the complex inner product, and A^T of a complex
A the conjugate transpose.
"""

from asyncred.operators.block_random import BlockRandom
from asyncred.operators.cartesian_mri import CartesianMri
from asyncred.operators.convolution import Convolution
from asyncred.operators.coupled import Coupled, LocalResidual
from asyncred.operators.factored import Factored, factor
from asyncred.operators.fan_beam import CurvedDetector, Fan, FanBeam, FlatDetector
from asyncred.operators.full_footprint import FullFootprint
from asyncred.operators.mask import Mask
from asyncred.operators.matrix import SparseMatrix
from asyncred.operators.parallel_beam import ParallelBeam
from asyncred.operators.protocols import Footprint, ForwardModel, Image, Operator, Rows
from asyncred.operators.superresolution import Superresolution
from asyncred.operators.weighted import Weighted

__all__ = [
    "BlockRandom",
    "CartesianMri",
    "Convolution",
    "Coupled",
    "CurvedDetector",
    "Factored",
    "Fan",
    "FanBeam",
    "FlatDetector",
    "Footprint",
    "ForwardModel",
    "FullFootprint",
    "Image",
    "LocalResidual",
    "Mask",
    "Operator",
    "ParallelBeam",
    "Rows",
    "SparseMatrix",
    "Superresolution",
    "Weighted",
    "factor",
]
