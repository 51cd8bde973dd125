"""Where memory runs out: one line and an exit status, whatever was under way."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import SafetensorError

from bsqcodec.batch.work import Failure
from bsqcodec.errors import FormatError, LimitError, WeightsError
from bsqcodec.image.codec import Codec
from bsqcodec.machine.memory import check_address_space, is_out_of_memory, memory_guard
from bsqcodec.models import video_weight_files, weight_files, weight_store
from bsqcodec.video.codec import VideoCodec

from ..golden_files import model_path, scene
from ..video.scenes import ListReader, clip, coded

resource = pytest.importorskip("resource", reason="this system has no limits for a process")

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]
TORCH_LINUX = (
    "[enforce fail at alloc_cpu.cpp:122] err == 0. DefaultCPUAllocator: can't allocate memory"
)
TORCH_WINDOWS = "DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."
MEBI = 2**20


def test_each_library_says_it_in_its_own_way() -> None:
    for error in (
        MemoryError(),
        RuntimeError(f"{TORCH_LINUX}: you tried to allocate 9 bytes. Error code 12"),
        RuntimeError(TORCH_WINDOWS),
        RuntimeError("std::bad_alloc"),
        RuntimeError("can't start new thread"),
        torch.OutOfMemoryError("CUDA out of memory."),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        SafetensorError("Error while opening: Cannot allocate memory (os error 12)"),
        av.error.MemoryError(errno.ENOMEM, "Cannot allocate memory", "a.mkv"),
    ):
        assert is_out_of_memory(error), error
    for other in (
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        OSError(errno.ENOSPC, "No space left on device"),
        BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"),
        ValueError("out of memory"),
        FormatError("not enough memory"),
        KeyboardInterrupt(),
    ):
        assert not is_out_of_memory(other), other


def test_the_guard_names_what_for_and_lets_others_pass() -> None:
    message = "there is not enough memory for this picture"
    with pytest.raises(LimitError, match=message) as caught, memory_guard("this picture"):
        raise RuntimeError(TORCH_LINUX)
    assert isinstance(caught.value.__cause__, RuntimeError)
    for error in (RuntimeError("odd"), WeightsError("wrong"), LimitError("large")):
        with pytest.raises(type(error), match=str(error)), memory_guard("this picture"):
            raise error


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError(TORCH_LINUX)])
@pytest.mark.parametrize("where", ["safe_open", "IntegerPrior"])
def test_weights_that_do_not_fit_the_memory_are_not_called_wrong(
    golden: Path,
    video_weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    error: Exception,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    for module, path in ((weight_files, model_path()), (video_weight_files, video_weights)):
        with monkeypatch.context() as patch:
            patch.setattr(weight_store if where == "safe_open" else module, where, fail)
            with pytest.raises(LimitError, match="not enough memory for the weights"):
                module.load(path, CPU)


def failing(error: Exception) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def test_pictures_and_videos_raise_a_limit_error(
    codec: Codec, video_codec: VideoCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = codec.encode(scene(20, 30)).data
    video = coded(video_codec, ListReader(clip(3)))
    monkeypatch.setattr(torch, "where", failing(RuntimeError(TORCH_LINUX)))
    monkeypatch.setattr(torch, "cat", failing(RuntimeError(TORCH_LINUX)))
    for work, what in (
        (lambda: codec.encode(scene(20, 30)), "picture"),
        (lambda: codec.decode(data), "picture"),
        (lambda: coded(video_codec, ListReader(clip(3))), "video"),
        (lambda: list(video_codec.decode(video).frames()), "video"),
    ):
        with pytest.raises(LimitError, match=f"not enough memory for this {what}"):
            work()


def test_a_batch_reports_it_as_an_error_of_the_file() -> None:
    from bsqcodec.batch import work

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "_code", failing(RuntimeError(TORCH_LINUX)))
        outcome = work.attempt(None, lambda *_: None)  # type: ignore[arg-type]
    assert isinstance(outcome, Failure)
    assert isinstance(outcome.error, LimitError)


# Real limits --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(codec: Codec, video_codec: VideoCodec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A large picture and a video of large frames, and both coded."""
    folder = tmp_path_factory.mktemp("large")
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    picture = Image.fromarray(noise).resize((3000, 2000), Image.Resampling.BICUBIC)
    picture.save(folder / "large.jpg")
    (folder / "picture.bsq").write_bytes(codec.encode(np.asarray(picture)).data)
    small = picture.resize((1280, 720))
    for number in range(2):
        small.rotate(number).save(folder / f"frame{number}.png")
    frames = [np.asarray(small.rotate(number)) for number in range(2)]
    (folder / "video.bsq").write_bytes(coded(video_codec, ListReader(frames)))
    return folder


COMMANDS = {
    "encode picture": ["encode", "large.jpg", "-o", "out.bsq"],
    "decode picture": ["decode", "picture.bsq", "-o", "out.png"],
    "encode video": ["encode", "frame%d.png", "-o", "out.bsq"],
    "decode video": ["decode", "video.bsq", "-o", "out.mkv"],
    "batch": ["batch", "--workers", "1", "large.jpg", "out"],
}


def run(arguments: list[str], folder: Path, weights: Path, mebibytes: int) -> tuple[int, str]:
    """(exit status, standard error) of the command with this much address space."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (mebibytes * MEBI, mebibytes * MEBI))

    done = subprocess.run(
        [sys.executable, "-c", "from bsqcodec.cli.main import main; raise SystemExit(main())"]
        + [arguments[0], "-f", "--threads", "1", *arguments[1:]],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "BSQCODEC_WEIGHTS": str(weights)},
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


def limits() -> Iterator[int]:
    """MiB, from what Python alone takes to what suffices for everything but the work."""
    yield from (100, 640, 720, 800)


@pytest.mark.skipif(sys.platform != "linux", reason="limits of address space are Linux's")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_without_enough_memory_ends_in_one_line(
    folder: Path, video_weights: Path, command: str
) -> None:
    ends = {}
    for mebibytes in limits():
        status, errors = run(COMMANDS[command], folder, video_weights.parent, mebibytes)
        ends[mebibytes] = status, errors
        if status == 0:
            break
        lines = errors.splitlines()
        assert status == 1, ends
        assert "Traceback" not in errors and "does not fit this version" not in errors, ends
        named = [line for line in lines if line.startswith("bsqcodec: error: ")]
        assert named and all("memory" in line for line in named), ends
        assert len(lines) == 1 or command == "batch", ends
    assert len(ends) > 2


def test_the_room_for_torch_is_looked_at_before_it_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (300 * MEBI, -1))
    check_address_space()  # torch and NumPy are there
    monkeypatch.delitem(sys.modules, "torch")
    with pytest.raises(LimitError, match="not enough memory to load torch.* 300 MiB"):
        check_address_space()
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, -1))
    check_address_space()
