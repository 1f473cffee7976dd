import numpy as np
from numpy.typing import NDArray

openmp: bool

def dense_gradient(
    A: NDArray[np.float32],
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    out: NDArray[np.float32],
    threads: int,
) -> None: ...
def dense_gradient_rows(
    A: NDArray[np.float32],
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    rows: NDArray[np.int64],
    scale: float,
    out: NDArray[np.float32],
    threads: int,
) -> None: ...
def to_half(A: NDArray[np.float32], out: NDArray[np.uint16]) -> bool: ...
def joseph_forward(
    x: NDArray[np.float32],
    left: float,
    top: float,
    cosine: NDArray[np.float64],
    sine: NDArray[np.float64],
    first: NDArray[np.int64],
    center: float,
    spacing: float,
    pixel: float,
    out: NDArray[np.float32],
    threads: int,
) -> None: ...
def joseph_adjoint(
    r: NDArray[np.float32],
    left: float,
    top: float,
    cosine: NDArray[np.float64],
    sine: NDArray[np.float64],
    first: NDArray[np.int64],
    center: float,
    spacing: float,
    pixel: float,
    out: NDArray[np.float32],
    threads: int,
) -> None: ...
def fan_forward(
    x: NDArray[np.float32],
    left: float,
    top: float,
    cosine: NDArray[np.float64],
    sine: NDArray[np.float64],
    first: NDArray[np.int64],
    tangent: NDArray[np.float64],
    aside: float,
    distance: float,
    pixel: float,
    out: NDArray[np.float32],
    threads: int,
) -> None: ...
def fan_adjoint(
    r: NDArray[np.float32],
    left: float,
    top: float,
    cosine: NDArray[np.float64],
    sine: NDArray[np.float64],
    first: NDArray[np.int64],
    tangent: NDArray[np.float64],
    aside: float,
    distance: float,
    pixel: float,
    out: NDArray[np.float32],
    threads: int,
) -> None: ...
def fan_backprojection(
    r: NDArray[np.float32],
    left: float,
    top: float,
    cosine: NDArray[np.float64],
    sine: NDArray[np.float64],
    first: NDArray[np.int64],
    tangent: NDArray[np.float64],
    aside: float,
    distance: float,
    pixel: float,
    out: NDArray[np.float32],
    threads: int,
) -> None: ...
