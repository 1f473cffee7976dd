"""What a node of an ONNX graph does to the input pixels that its input depends on, by kind.

``receptive`` follows them through the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from asyncred.denoisers import receptive_axes as axes
from asyncred.denoisers import receptive_planes as planes
from asyncred.denoisers.receptive_node import At, Seen

# fmt: off
POINTWISE = frozenset([
    "Abs", "Acos", "Acosh", "Add", "And", "Asin", "Asinh", "Atan", "Atanh", "BatchNormalization",
    "BiasGelu", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "Cast",
    "CastLike", "Ceil", "Celu", "Clip", "Constant", "ConstantOfShape", "Cos", "Cosh",
    "DequantizeLinear", "Div", "Dropout", "Elu", "Equal", "Erf", "Exp", "FastGelu", "Floor", "Gelu",
    "Greater", "GreaterOrEqual", "HardSigmoid", "HardSwish", "Identity", "IsInf", "IsNaN",
    "LeakyRelu", "Less", "LessOrEqual", "Log", "Max", "Mean", "Min", "Mish", "Mod", "Mul", "Neg",
    "Not", "Or", "PRelu", "Pow", "QuantizeLinear", "QuickGelu", "Reciprocal", "Relu", "Round",
    "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Sub",
    "Sum", "Swish", "Tan", "Tanh", "ThresholdedRelu", "Where", "Xor",
])
# fmt: on

RULES: Mapping[str, Callable[[At, Seen], Seen]] = {
    **dict.fromkeys(["Conv", "FusedConv", "ConvInteger"], planes.conv_of(1)),
    **dict.fromkeys(["MaxPool", "AveragePool", "LpPool"], planes.conv_of(1)),
    "QLinearConv": planes.conv_of(3),
    "ConvTranspose": planes.conv_transpose,
    "Pad": planes.pad,
    **dict.fromkeys(["Resize", "Upsample"], planes.resize),
    "DepthToSpace": planes.depth_to_space,
    "SpaceToDepth": planes.space_to_depth,
    "Gather": axes.gather,
    "Slice": axes.cut,
    "Transpose": axes.transpose,
    **dict.fromkeys(["Reshape", "Squeeze", "Unsqueeze", "Flatten"], axes.reshape),
    **dict.fromkeys(["Expand", "Tile"], axes.expand),
    "MatMul": axes.matrix,
    "LayerNormalization": axes.layer_norm,
    **dict.fromkeys(["Split", "Concat"], axes.along_axis(0)),
    **dict.fromkeys(["Softmax", "LogSoftmax", "Hardmax"], axes.softmax),
    "LpNormalization": axes.along_axis(-1),
    **dict.fromkeys(["ArgMax", "ArgMin"], axes.arg),
    **dict.fromkeys(
        [f"Reduce{kind}" for kind in ("L1", "L2", "LogSum", "LogSumExp", "Max")], axes.reduced
    ),
    **dict.fromkeys([f"Reduce{kind}" for kind in ("Mean", "Min", "Prod", "Sum")], axes.reduced),
    "ReduceSumSquare": axes.reduced,
    "LRN": axes.same,
}
