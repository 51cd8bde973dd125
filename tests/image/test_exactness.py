"""The same bytes and the same integers whatever runs the prior, and no others than its own."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from bsqcodec.errors import WeightsError
from bsqcodec.format.image_container import unpack
from bsqcodec.image.codec import Codec
from bsqcodec.models.weight_store import identity
from bsqcodec.targets import Quality

from ..golden_files import EXPECTED, cases, model_path, scene

CPU = torch.device("cpu")
NAMES = list(cases())


@pytest.fixture
def restored_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("restored_threads")
def test_the_codec_sets_the_number_of_threads(golden: Path) -> None:
    for threads in (2, 1):
        Codec(model_path(), device="cpu", threads=threads)
        assert torch.get_num_threads() == threads


def test_whole_codings_do_not_depend_on_the_products(golden: Path) -> None:
    pictures = [scene(60, 90), scene(150, 140)[..., 0], scene(1, 4000)]
    found = {
        tuple(codec.encode(picture, Quality(30)).data for picture in pictures)
        for codec in [Codec(model_path(), device="cpu", int8=int8) for int8 in (True, False)]
    }
    assert len(found) == 1


@pytest.mark.parametrize(
    ("products", "environment"),
    [
        ("int8", {"OMP_NUM_THREADS": "1"}),
        ("int8", {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}),
        ("float32", {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"}),
        ("int8", {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE"}),
        ("float32", {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE"}),
    ],
    ids=["restart", "no-avx-int8", "no-avx-float32", "two-threads-int8", "two-threads-float32"],
)
def test_another_process(golden: Path, products: str, environment: dict[str, str]) -> None:
    """A restart, other numbers of threads, processors of fewer abilities; warnings are errors."""
    done = subprocess.run(
        [sys.executable, "-W", "error", Path(__file__).parents[1] / "golden_digests.py", products],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    expected = json.loads(EXPECTED.read_text())
    for name in NAMES:
        file = (golden / f"{name}.bsq").read_bytes()
        assert found[name] == [
            expected[name]["integers_sha256"],
            hashlib.sha256(file).hexdigest(),
        ]
    if set(environment) <= {"OMP_NUM_THREADS", "OMP_WAIT_POLICY"}:  # the same float arithmetic
        data = Codec(model_path(), device="cpu").encode(scene(60, 90)).data
        assert found["picture"] == [hashlib.sha256(data).hexdigest()]


def test_int8_products_that_saturate_are_not_taken(golden: Path) -> None:
    """On x86 without VNNI they add in 16 bits; this process pretends to have AVX2 at most."""
    program = (
        "import sys, torch\n"
        "from bsqcodec.models.prior.integer_blocks import int8_products_are_exact\n"
        "a = torch.full((64, 64), 127, dtype=torch.int8)\n"
        "exact = bool((torch._int_mm(a, a.t()) == 64 * 127**2).all())\n"
        "print(exact, int8_products_are_exact(torch.device('cpu')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ
        | {"PYTHONPATH": str(Path(__file__).parents[2]), "ONEDNN_MAX_CPU_ISA": "AVX2"},
        capture_output=True,
        text=True,
        check=True,
    )
    exact, taken = done.stdout.split()
    assert exact == "True" or taken == "False"


@pytest.fixture
def double_by_default() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("double_by_default")
@pytest.mark.parametrize("int8", [True, False])
def test_nothing_hangs_on_the_default_dtype(golden: Path, int8: bool) -> None:
    codec = Codec(model_path(), device="cpu", int8=int8)
    for name in NAMES:
        codec.decode((golden / f"{name}.bsq").read_bytes())  # which checks the integers


@pytest.mark.parametrize("int8", [True, False])
def test_nothing_hangs_on_the_autocast_of_the_caller(golden: Path, int8: bool) -> None:
    codec = Codec(model_path(), device="cpu", int8=int8)
    expected = codec.encode(scene(60, 90)).data
    with torch.autocast("cpu", torch.bfloat16):
        assert codec.encode(scene(60, 90)).data == expected
        for name in NAMES:
            codec.decode((golden / f"{name}.bsq").read_bytes())  # which checks the integers


def test_alone_or_after_others(codec: Codec, golden: Path) -> None:
    """A codec keeps nothing of the pictures before."""
    alone = [Codec(model_path(), device="cpu").encode(scene(n, 50)).data for n in (20, 40, 200)]
    among = [codec.encode(scene(n, 50)).data for n in (200, 40, 20)]
    assert alone == among[::-1]
    files = {name: (golden / f"{name}.bsq").read_bytes() for name in NAMES}
    first = {name: codec.decode(files[name]).picture.pixels for name in NAMES}
    for name in reversed(NAMES):
        np.testing.assert_array_equal(codec.decode(files[name]).picture.pixels, first[name])


# Other weights ------------------------------------------------------------------------------------


def stored_model() -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of the tiny model."""
    with safe_open(model_path(), "pt") as file:
        return load_file(model_path()), dict(file.metadata())


def changed(tensor: Tensor) -> Tensor:
    """The tensor with its last number changed as little as possible."""
    result = tensor.clone()
    last = result.view(-1)[-1:]
    last.copy_(torch.nextafter(last, last + 1) if tensor.is_floating_point() else last ^ 1)
    return result


@pytest.mark.parametrize(
    "name",
    [
        "prior.blocks.1.down.weight",
        "prior.blocks.0.qkv.multiplier",
        "prior.blocks.0.score_bias",
        "prior.embed_token",
        "prior.head.bias",
        "prior.planes",
        "prior.probability",
        "prior.table",
        "tokenizer.decoder.transform.weight",
        "tokenizer.log_gain.table",
    ],
)
def test_a_model_that_differs_in_one_number_refuses(
    name: str, golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors, metadata = stored_model()
    tensors[name] = changed(tensors[name])
    other_id = identity(json.loads(metadata["bsqcodec"]), tensors)[:8].hex()
    path = tmp_path / f"image-{other_id}.safetensors"
    save_file(tensors, path, metadata)
    monkeypatch.setenv("BSQCODEC_WEIGHTS", str(tmp_path))
    codec = Codec(path, device="cpu")
    data = (golden / "rgb.bsq").read_bytes()
    model_id = unpack(data).header.model_id.hex()
    with pytest.raises(WeightsError, match=f"needs the weights {model_id}"):
        codec.decode(data)
    monkeypatch.setenv("BSQCODEC_WEIGHTS", str(golden))
    assert codec.decode(data).picture.width == 131  # found by their id, beside the codec's own
