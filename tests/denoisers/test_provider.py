"""Which provider a rank's denoiser gets, and that it is never silently another."""

import numpy as np
import onnxruntime as ort
import pytest

from asyncred.denoisers.inspection import inspect_denoiser
from asyncred.denoisers.onnx import OnnxDenoiser, open_session
from asyncred.denoisers.provider import CPU, EXECUTION, Provider, choose_provider
from asyncred.files.result import read_result
from asyncred.runtime.config import RunConfig
from commands import ASYNCRED, simulate
from launch import mpirun
from networks import smoothing

CPU_ONLY = ["AzureExecutionProvider", "CPUExecutionProvider"]
GPU = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
OPENVINO = ["OpenVINOExecutionProvider", "CPUExecutionProvider"]


@pytest.mark.parametrize(
    ("asked", "offered", "devices", "local_rank", "words"),
    [
        ("auto", CPU_ONLY, 0, 0, "cpu"),
        ("auto", CPU_ONLY, 2, 0, "cpu"),
        ("auto", GPU, 0, 3, "cpu"),
        ("auto", GPU, 1, 3, "cuda:0"),
        ("auto", GPU, 4, 0, "cuda:0"),
        ("auto", GPU, 4, 6, "cuda:2"),
        ("auto", OPENVINO, 1, 0, "cpu"),
        ("cpu", GPU, 4, 1, "cpu"),
        ("cuda", GPU, 2, 1, "cuda:1"),
        ("openvino", OPENVINO, 0, 1, "openvino"),
    ],
)
def test_choice(asked, offered, devices, local_rank, words):
    found = choose_provider(asked, offered=offered, devices=devices, local_rank=local_rank)
    assert found.words == words


@pytest.mark.parametrize(
    ("asked", "offered", "devices", "words"),
    [
        ("cuda", CPU_ONLY, 1, "'cuda', but this ONNX Runtime offers Azure.*, CPUExec"),
        ("cuda", GPU, 0, "'cuda', but this process sees no CUDA device"),
        ("openvino", GPU, 1, "'openvino', but this ONNX Runtime offers Tensorrt"),
    ],
)
def test_what_is_missing_is_refused(asked, offered, devices, words):
    with pytest.raises(ValueError, match=f"--provider is {words}"):
        choose_provider(asked, offered=offered, devices=devices, local_rank=0)


def test_every_provider_can_be_asked_for():
    for name in ("auto", *EXECUTION):
        config = RunConfig.from_values(problem="p", output="r", provider=name)
        assert config.denoiser.provider == name


def test_the_cpu_session_is_one(tmp_path):
    model = inspect_denoiser(smoothing(tmp_path / "s.onnx"))
    x = np.random.default_rng(0).random((9, 11), dtype=np.float32)
    D = OnnxDenoiser(model, threads=1, provider=CPU)
    np.testing.assert_array_equal(D(x), OnnxDenoiser(model, threads=1)(x))


def test_a_session_that_runs_elsewhere_is_refused(tmp_path, monkeypatch):
    """As ONNX Runtime does where the CUDA libraries are missing: it says nothing, takes the CPU."""
    real = ort.InferenceSession

    def taking_the_cpu(source, options, *, providers, enable_fallback):
        assert providers[0][1]["device_id"] == "1" and not enable_fallback
        return real(source, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(ort, "InferenceSession", taking_the_cpu)
    path = smoothing(tmp_path / "s.onnx")
    with pytest.raises(ValueError, match=r"CUDAExecutionProvider does not start, .* took CPUExec"):
        open_session(path, 1, Provider("cuda", 1))


@pytest.mark.ranks
def test_run_says_where_it_runs_and_refuses_what_is_missing(tmp_path):
    if "CUDAExecutionProvider" in ort.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    problem, result = tmp_path / "p.h5", tmp_path / "r.h5"
    simulate("cs", problem, "--size", "64", "--block", "16")
    command = (*ASYNCRED, "run", problem, "-o", result, "--updates", "16", "--threads", "1")
    done = mpirun(2, *command, timeout=60)
    assert done.returncode == 0 and ", on cpu\n" in done.stdout, done.stderr
    found = read_result(result).provenance
    assert found["providers"] == ["cpu", "cpu"] and found["onnxruntime"] == ort.__version__
    done = mpirun(2, *command, "--overwrite", "--provider", "cuda", timeout=60)
    lines = [line for line in done.stderr.splitlines() if line.startswith("asyncred:")]
    assert done.returncode == 2 and len(lines) == 1, done.stderr
    assert "--provider is 'cuda', but this ONNX Runtime offers " in lines[0]
