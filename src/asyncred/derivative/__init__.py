"""The derivative of an ONNX network, from its nodes."""

from asyncred.derivative.network import Derivative, DifferentiableNetwork
from asyncred.derivative.node import Node, NoDerivativeError
from asyncred.derivative.tape import Tape

__all__ = ["Derivative", "DifferentiableNetwork", "NoDerivativeError", "Node", "Tape"]
