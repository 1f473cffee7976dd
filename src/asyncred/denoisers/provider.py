"""Where the denoiser runs: an ONNX Runtime execution provider and its device, never another one."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnxruntime as ort

EXECUTION: Mapping[str, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
"""What ONNX Runtime calls the providers that a user may ask for."""


@dataclass(frozen=True)
class Provider:
    """One of ``EXECUTION``, and the GPU for CUDA."""

    name: str = "cpu"
    device: int = 0
    """Among the GPUs that the process sees, from 0."""

    @property
    def words(self) -> str:
        """For people and for the result file."""
        return f"{self.name}:{self.device}" if self.name == "cuda" else self.name

    def open(
        self, source: str | bytes, options: ort.SessionOptions, threads: int
    ) -> ort.InferenceSession:
        """A session of a file or of a serialized model, here or nowhere.

        Raises ValueError where the provider does not start: with its libraries missing ONNX Runtime
        would take the CPU, and say so in its log at most.
        """
        name = EXECUTION[self.name]
        providers = [(name, self._options(threads))]
        try:
            session = ort.InferenceSession(source, options, providers=providers, enable_fallback=0)
        except Exception as error:  # ONNX Runtime raises classes of its own
            if self.name == "cpu":
                raise
            raise ValueError(f"{name} does not start: {_line(error)}") from None
        found = session.get_providers()
        if found[0] != name:
            raise ValueError(
                f"{name} does not start, ONNX Runtime took {found[0]}: are its libraries there? "
                "--provider cpu runs without"
            )
        return session

    def _options(self, threads: int) -> dict[str, str]:
        """float32 stays float32 (no TF32), so that tiles differ from the whole by rounding only.

        cuDNN picks its algorithm by rule: trying all would take long for every shape of window.
        """
        if self.name == "cuda":
            return {
                "device_id": str(self.device),
                "use_tf32": "0",
                "cudnn_conv_algo_search": "HEURISTIC",
            }
        if self.name == "openvino":
            return {"device_type": "CPU", "precision": "FP32", "num_of_threads": str(threads)}
        return {}


CPU = Provider()


def choose_provider(
    asked: str, *, offered: Sequence[str], devices: int, local_rank: int
) -> Provider:
    """The provider of a rank, ``local_rank`` among those of its node, which share its GPUs in turn.

    ``asked`` is auto or a name in ``EXECUTION``, ``offered`` what ONNX Runtime has, ``devices`` the
    number of GPUs that the process sees. Raises ValueError where what was asked for is missing.
    """
    if asked == "auto":
        asked = "cuda" if EXECUTION["cuda"] in offered and devices else "cpu"
    if EXECUTION[asked] not in offered:
        raise ValueError(
            f"--provider is {asked!r}, but this ONNX Runtime offers {', '.join(offered)}"
        )
    if asked == "cuda" and not devices:
        raise ValueError("--provider is 'cuda', but this process sees no CUDA device")
    return Provider(asked, local_rank % devices if asked == "cuda" else 0)


def find_provider(asked: str, local_rank: int) -> Provider:
    """``choose_provider`` on this machine. Raises ValueError."""
    offered = ort.get_available_providers()
    devices = cuda_devices() if EXECUTION["cuda"] in offered else 0
    return choose_provider(asked, offered=offered, devices=devices, local_rank=local_rank)


def fast_at_int8() -> bool:
    """Whether this CPU multiplies 8-bit integers faster than floats, as far as Linux says."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        return False
    return not {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp"}.isdisjoint(flags)


def cuda_devices() -> int:
    """How many GPUs the CUDA driver shows this process, by CUDA_VISIBLE_DEVICES; 0 without one."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
