"""One decision of the networks' precision, each path of it forced, and what it never changes."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from bsqcodec.errors import MachineError
from bsqcodec.machine import precision
from bsqcodec.machine.precision import ENVIRONMENT, autocast, network_dtype
from bsqcodec.video.codec import VideoCodec

from ..video.scenes import ListReader, clip, coded, psnr
from .dtypes import recorded_dtypes

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]
FRAMES, HEIGHT, WIDTH = 4, 48, 80

AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
"""What makes torch and its oneDNN take a processor for one that has AVX2 only."""


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A processor with AMX and no settings that hide it; the test may take things away."""
    for name in (ENVIRONMENT, "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    return monkeypatch


def test_instructions_for_bfloat16_decide(processor: pytest.MonkeyPatch) -> None:
    assert network_dtype(CPU) is torch.bfloat16
    processor.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert network_dtype(CPU) is torch.bfloat16
    processor.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert network_dtype(CPU) is torch.float32


def test_a_torch_that_cannot_tell_has_float32(processor: pytest.MonkeyPatch) -> None:
    processor.delattr(torch.cpu, "_is_amx_tile_supported")
    processor.delattr(torch.cpu, "_is_avx512_bf16_supported")
    assert network_dtype(CPU) is torch.float32


@pytest.mark.parametrize("name", ["ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"])
@pytest.mark.parametrize(
    ("cap", "dtype"),
    [
        ("SSE41", torch.float32),
        ("AVX2", torch.float32),
        ("avx2_vnni_2", torch.float32),
        ("AVX512_CORE", torch.float32),
        ("AVX512_CORE_VNNI", torch.float32),
        ("AVX512_CORE_BF16", torch.bfloat16),
        ("AVX512_CORE_AMX", torch.bfloat16),
        ("AVX10_1_512_AMX", torch.bfloat16),
        ("ALL", torch.bfloat16),
        ("DEFAULT", torch.bfloat16),
    ],
)
def test_caps_of_the_library_of_products_count(
    processor: pytest.MonkeyPatch, name: str, cap: str, dtype: torch.dtype
) -> None:
    processor.setenv(name, cap)
    assert network_dtype(CPU) is dtype


@pytest.mark.parametrize("capability", ["AVX2", "DEFAULT"])
def test_the_cap_of_torch_itself_counts(processor: pytest.MonkeyPatch, capability: str) -> None:
    processor.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert network_dtype(CPU) is torch.float32


def test_without_the_library_of_products(processor: pytest.MonkeyPatch) -> None:
    processor.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert network_dtype(CPU) is torch.float32


def test_a_gpu_that_emulates_bfloat16_has_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    asked = []

    def supported(including_emulation: bool = True) -> bool:
        asked.append(including_emulation)
        return including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert network_dtype(torch.device("cuda")) is torch.float32
    assert asked == [False]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_environment_forces(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype) -> None:
    monkeypatch.setenv(ENVIRONMENT, f" {str(dtype).removeprefix('torch.').upper()}")
    assert network_dtype(CPU) is dtype
    product = torch.ones(2, 2) @ torch.ones(2, 2)
    for outside in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=outside), autocast(CPU):
            assert (product @ product).dtype is dtype


def test_an_unknown_precision_is_an_error(
    monkeypatch: pytest.MonkeyPatch, video_weights: Path
) -> None:
    monkeypatch.setenv(ENVIRONMENT, "float16")
    with pytest.raises(MachineError, match="'float16'.*auto, bfloat16, float32"):
        VideoCodec(video_weights, device="cpu")


def codec_in(dtype: str, weights: Path, monkeypatch: pytest.MonkeyPatch) -> VideoCodec:
    """A codec of videos in a precision."""
    monkeypatch.setenv(ENVIRONMENT, dtype)
    return VideoCodec(weights, device="cpu", worker_processes=False)


@pytest.mark.parametrize("effort", [1, 2])
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_videos_in_each_precision(
    video_weights: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, effort: int
) -> None:
    codec = codec_in(dtype, video_weights, monkeypatch)
    frames = clip(FRAMES, HEIGHT, WIDTH)
    with recorded_dtypes() as seen:
        data = coded(codec, ListReader(frames), effort=effort)
        decoded = [frame.pixels for frame in codec.decode(data).frames()]
    codec.verify(io.BytesIO(data), FRAMES)
    assert min(map(psnr, decoded, frames)) > 20
    assert (torch.bfloat16 in seen) == (dtype == "bfloat16"), seen.get(torch.bfloat16)
    products = {"aten.linear.default", "aten.conv2d.default"}
    assert products & seen[getattr(torch, dtype)]


def test_one_decodes_what_the_other_coded(
    video_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same integers, which their checksums prove, and the same pixels but for rounding."""
    frames = clip(FRAMES, HEIGHT, WIDTH)
    for coder, decoder in (("bfloat16", "float32"), ("float32", "bfloat16")):
        codec = codec_in(coder, video_weights, monkeypatch)
        data = coded(codec, ListReader(frames))
        own = [frame.pixels for frame in codec.decode(data).frames()]
        other = codec_in(decoder, video_weights, monkeypatch).decode(data).frames()
        assert min(psnr(a.pixels, b) for a, b in zip(other, own, strict=True)) > 40


def on_avx2(data: str) -> None:
    """What a process does that takes its processor for one with AVX2 only."""
    assert network_dtype(CPU) is torch.float32
    codec = VideoCodec(device="cpu", threads=1, worker_processes=False)
    frames = clip(FRAMES, HEIGHT, WIDTH)
    pixels = [frame.pixels for frame in codec.decode(Path(data).read_bytes()).frames()]
    np.save("decoded.npy", np.stack(pixels))
    for effort in (1, 2):
        with recorded_dtypes() as seen:
            file = coded(codec, ListReader(frames), effort=effort)
            pixels = [frame.pixels for frame in codec.decode(file).frames()]
        assert torch.bfloat16 not in seen
        assert min(map(psnr, pixels, frames)) > 20


@pytest.mark.parametrize(
    "settings",
    [AVX2, {"ATEN_CPU_CAPABILITY": "avx2"}, {"ONEDNN_MAX_CPU_ISA": "AVX2"}],
    ids=["both", "torch", "products"],
)
def test_a_processor_with_avx2_only(
    video_codec: VideoCodec,
    tiny_video_weights: Path,
    tmp_path: Path,
    settings: dict[str, str],
) -> None:
    """All efforts work there, in float32, and what was coded here is decoded there."""
    data = coded(video_codec, ListReader(clip(FRAMES, HEIGHT, WIDTH)))
    (tmp_path / "clip.bsq").write_bytes(data)
    environment = {k: v for k, v in os.environ.items() if k != ENVIRONMENT}
    code = f"from tests.machine.{Path(__file__).stem} import on_avx2; on_avx2('clip.bsq')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(ROOT)} | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    there = np.load(tmp_path / "decoded.npy")
    here = [frame.pixels for frame in video_codec.decode(data).frames()]
    assert min(psnr(a, b) for a, b in zip(there, here, strict=True)) > 40


def test_nobody_else_decides() -> None:
    """Only one module names bfloat16, and asks what the processor has; the optimizer asks it."""
    asks = ("torch.bfloat16", "avx512_bf16", "amx_tile", "is_bf16_supported")
    found = {
        str(path.relative_to(ROOT)): [word for word in asks if word in path.read_text()]
        for path in (ROOT / "bsqcodec").rglob("*.py")
    }
    others = {name for name, words in found.items() if words}
    others -= {str(Path(precision.__file__).relative_to(ROOT)), "bsqcodec/training/optim.py"}
    assert others == set()
