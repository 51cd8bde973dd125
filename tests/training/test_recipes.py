"""scripts/recipes: every stage runs, at a tiny size, on generated pictures,
and makes weights that code.

The scripts run as they are. Their interpreter is a small program that hands each command to this
process, which saves importing torch in every stage.
"""

from __future__ import annotations

import io
import json
import os
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from safetensors.torch import save_file

from bsqcodec.image.codec import Codec
from bsqcodec.models.video_weight_files import load as load_video
from bsqcodec.models.weight_files import load
from bsqcodec.targets import Quality
from bsqcodec.training import bsq, searched
from bsqcodec.video.codec import VideoCodec
from bsqcodec.video.video_model import BsqVideoModel

from ..encoder.test_lpips import random_weights
from ..tiny_models import PRIOR, TOKENIZER
from ..video.scenes import ListReader, clip
from .commands import checkpoint, small

Train = Callable[..., None]

RECIPES = Path(__file__).parents[2] / "scripts" / "recipes"
FORWARD = """\
#!/usr/bin/env bash
printf '%s\\n' "$(printf '%q ' "$@")" > requests
read -r status < replies
exit "$status"
"""
PICTURE_STAGES = [
    *["tokenizer"] * 4,
    *("prior", "joint", "prior", "tokenizer", "export", "searched", "tokenizer", "export"),
]
LOOK_STAGES = ["tokenizer", "export-look"]
VIDEO_LOOK_STAGES = ["video", "export-look"]
VIDEO_STAGES = ["video", "video", "inter", "video", "inter", "export-video"]
BSQ_STAGES = ["bsq", "bsq", "bsq", "bit-prior", "bsq-video", "export-bsq"]
SIZE = {k: v for k, v in asdict(TOKENIZER).items() if not k.endswith("_blocks")}
INTER = {"width": 32, "heads": 2, "hidden": 32, "blocks": 1, "bands": [[16]], "depths": [1, 0]}
TINY = {
    "SCALE": "1e-5",
    "OPTIONS": "--crop 128 --batch 2 --threads 1 --no-compile",
    "TOKENIZER": "".join(f"{json.dumps(k)}: {json.dumps(v)}, " for k, v in SIZE.items()),
    "PRIOR": small(PRIOR),
    "CROPS": "--count 2 --crop 128 --threads 1",
    "INTER": json.dumps(INTER),
    "MOVING": "2",
}


def run(train: Train, script: str, *arguments: str) -> list[str]:
    """Run a recipe in the current folder with its commands in this process; the trainers' names.

    A command that fails here fails in the script, which then ends with its status.
    """
    folder = Path.cwd()
    program = folder / "forward"
    program.write_text(FORWARD)
    program.chmod(0o755)
    for name in ("requests", "replies"):
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)
    environment = {**os.environ, **TINY, "PYTHON": str(program)}
    names = []
    with subprocess.Popen([str(RECIPES / script), *arguments], env=environment) as process:
        while (request := next_request(folder / "requests", process)) is not None:
            module, *words = request[1:]
            assert (request[0], module) == ("-m", "bsqcodec.training")
            names.append(words[0])
            try:
                train(*words)
            except BaseException:
                (folder / "replies").write_text("1\n")
                process.wait()
                raise
            (folder / "replies").write_text("0\n")
    assert process.returncode == 0
    return names


def next_request(path: Path, process: subprocess.Popen[bytes]) -> list[str] | None:
    """The next command of the script, split into words; None once the script has ended."""
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    text = b""
    try:
        while not text.endswith(b"\n"):
            ended = process.poll() is not None
            try:
                text += os.read(reader, 1 << 16)
            except BlockingIOError:
                pass
            if ended and not text:
                return None
    finally:
        os.close(reader)
    return shlex.split(text.decode())


def test_the_recipes_from_pictures_to_coded_videos(
    folder: Path, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searched, "PART", 2)
    save_file(random_weights(), folder / "lpips.safetensors")
    monkeypatch.setitem(TINY, "LPIPS", "lpips.safetensors")
    names = run(train, "pictures.sh", "data", "held_out", "runs", "out")
    assert names == [*PICTURE_STAGES, *LOOK_STAGES]
    (image,) = (folder / "out").glob("image-*.safetensors")
    codec = Codec(image, device="cpu")
    picture = clip(1)[0]
    encoded = codec.encode(picture, Quality(60), verify=True)
    assert codec.decode(encoded.data).picture.pixels.shape == picture.shape
    monkeypatch.setenv("BSQCODEC_WEIGHTS", "out")
    shown = codec.decode(encoded.data, look="natural")
    assert shown.look == "natural" and shown.picture.pixels.shape == picture.shape

    names = run(train, "video.sh", "data", "runs", "out")
    assert names == [*VIDEO_STAGES, *VIDEO_LOOK_STAGES]
    (video,) = (folder / "out").glob("video-*.safetensors")
    assert load_video(video, codec.device).image.id == load(image, codec.device).id
    frames, sink = clip(3), io.BytesIO()
    video_codec = VideoCodec(video, device="cpu")
    video_codec.encode(ListReader(frames), sink)
    decoded = list(video_codec.decode(sink.getvalue()).frames())
    assert [frame.pixels.shape for frame in decoded] == [frame.shape for frame in frames]
    natural = video_codec.decode(sink.getvalue(), look="natural")
    assert [frame.pixels.shape for frame in natural.frames()] == [f.shape for f in frames]

    runs = sorted((folder / "runs").glob("inter-*"))
    steps = [checkpoint(path)["count"] for path in runs]
    run(train, "video.sh", "data", "runs", "out")  # every stage is done
    assert [checkpoint(path)["count"] for path in runs] == steps
    assert list((folder / "out").glob("video-*")) == [video]


def test_the_recipe_of_bsq(folder: Path, train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file(random_weights(), folder / "lpips.safetensors")
    monkeypatch.setattr(bsq, "START_CROPS", 60)
    monkeypatch.setattr(bsq, "ADVERSARIAL_ALONE", 0.0)
    sizes = {
        "NETWORK": "--width 64 --encoder-blocks 1 --decoder-blocks 1",
        "SHORT": "--bits 6",
        "DEPTHS": "--bits 12 --depths 6 12",
        "PRIOR": '{"lattices": [2, 2], "width": 32, "heads": 2, "blocks": 1, "hidden": 32,'
        ' "earlier_frames": 1, "earlier_blocks": 1}',
        "OPTIONS": "--batch 2 --crop 128 --threads 1 --no-compile",
    }
    for name, value in sizes.items():
        monkeypatch.setitem(TINY, name, value)
    names = run(train, "bsq.sh", "data", "held_out", "lpips.safetensors", "runs", "weights")
    assert names == BSQ_STAGES
    (path,) = (folder / "weights").glob("bsq-*.safetensors")
    codec = VideoCodec(path, device="cpu")
    assert isinstance(codec.model, BsqVideoModel) and codec.model.model.depths == (6, 12)
    sink = io.BytesIO()
    codec.encode(ListReader(clip(3)), sink)
    codec.verify(sink.getvalue(), 3)
    assert json.loads((folder / "weights/index.json").read_text()) == {"bsq": path.stem[4:]}
    assert codec.model.model.weights.tokenizer.config.earlier_frames == 2
    for stage in ("short", "tokenizer", "adversarial", "prior", "frames"):
        assert checkpoint(folder / "runs" / stage)["count"] >= 1


@pytest.mark.parametrize("lpips", ["", "lpips.safetensors"])
def test_all_recipes_in_one_command(
    tmp_path: Path, lpips: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each family's runs have a folder of their own, since both have a stage of the name prior."""
    monkeypatch.chdir(tmp_path)
    commands: list[tuple[str, ...]] = []

    def pretend(*words: str) -> None:
        commands.append(words)
        names = {"export": "default", "export-look": "0a-natural", "export-video": "video"}
        if words[0] in names:
            folder = Path(words[words.index("--out") + 1])
            folder.mkdir(exist_ok=True, parents=True)
            (folder / "image-0a.safetensors").touch()
            index = folder / "index.json"
            known = json.loads(index.read_text()) if index.exists() else {}
            index.write_text(json.dumps(known | {names[words[0]]: "0a"}))

    monkeypatch.setitem(TINY, "LPIPS", lpips)
    names = run(pretend, "all.sh", "data", "held_out", "runs", "out", "clips.tar")
    looks, frames, bsq_stages = (
        (LOOK_STAGES, VIDEO_LOOK_STAGES, BSQ_STAGES) if lpips else ([], [], [])
    )
    assert names == [*PICTURE_STAGES, *looks, *VIDEO_STAGES, *frames, *bsq_stages]
    outputs = [words[words.index("--out") + 1] for words in commands]
    assert {words[0] for words, out in zip(commands, outputs, strict=True) if out == "out"} == {
        *("export", "export-video"),
        *(["export-look", "export-bsq"] if lpips else []),
    }
    assert len(set(outputs) - {"out"}) == len([out for out in outputs if out != "out"])
    priors = {words[words.index("--config") + 1] for words in commands if words[0] == "bit-prior"}
    assert not priors & {TINY["PRIOR"]}


def test_a_stage_that_fails_ends_the_recipe(folder: Path, train: Train) -> None:
    (folder / "empty").mkdir()
    with pytest.raises((SystemExit, ValueError, FileNotFoundError)):
        run(train, "pictures.sh", "empty", "held_out", "runs", "out")
    assert not (folder / "out").exists()


@pytest.mark.parametrize("script", sorted(RECIPES.glob("*.sh")), ids=lambda path: path.name)
def test_a_recipe_is_complete(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    assert "..." not in text.replace("CLIPS...", "").replace("ARGUMENT...", "")
    subprocess.run(["bash", "-n", str(script)], check=True)
