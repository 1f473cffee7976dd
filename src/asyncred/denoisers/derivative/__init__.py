"""The derivative of an ONNX network, from its nodes."""

from asyncred.denoisers.derivative.network import Derivative, DifferentiableNetwork
from asyncred.denoisers.derivative.node import Node, NoDerivativeError
from asyncred.denoisers.derivative.tape import Tape

__all__ = ["Derivative", "DifferentiableNetwork", "NoDerivativeError", "Node", "Tape"]
