import numpy as np
from numpy.typing import NDArray

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
