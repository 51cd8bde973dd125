"""`python -m bsqcodec.training`: from a folder of pictures to weights that code one."""

import io
import json
import logging
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from bsqcodec.errors import WeightsError
from bsqcodec.image.codec import Codec
from bsqcodec.models.prior.integer import quantize_prior
from bsqcodec.models.transform.tokenizer import Tokenizer
from bsqcodec.models.video_weight_files import load as load_video
from bsqcodec.models.weight_files import load
from bsqcodec.models.weight_files import save as save_image
from bsqcodec.targets import Quality
from bsqcodec.training.checkpoints import prior_of
from bsqcodec.training.export_video import beside
from bsqcodec.training.tokenizer import start_from
from bsqcodec.video.codec import VideoCodec

from ..golden_files import model_path
from ..tiny_models import PRIOR, TOKENIZER, seeded, shake
from ..video.scenes import ListReader, clip
from .commands import BRIEF, checkpoint, log_of, moved, prior_arguments, tokenizer_arguments

MakeScene = Callable[[int, int, int], npt.NDArray[np.uint8]]
ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")


def test_from_pictures_to_a_coded_video(folder: Path, train: Callable[..., None]) -> None:
    """Decoder of predicted frames, inter prior, and both again from what they made."""
    train(*tokenizer_arguments())
    train(*prior_arguments())
    train("export", "--tokenizer", "tokenizer", "--prior", "prior", "--out", "out", "--default")
    (image,) = (folder / "out").glob("image-*.safetensors")
    shared = ["--tokenizer", "tokenizer", "--data", "data", "--cache", "cache", "--crop", "128"]
    shared += ["--clip-cache", "clips", *BRIEF]
    train("video", "--out", "predicted", "--moving", "3", "--frames", "3", *shared)
    first = log_of(folder / "predicted")[0]
    assert {"step", "loss", "s168", "s184"} <= first.keys() and np.isfinite(first["loss"])
    shape = {"width": 32, "heads": 2, "hidden": 32, "blocks": 1, "bands": [[16]], "depths": [1, 0]}
    groups = ["--inter-network", "predicted", "--group-cache", "groups", *shared]
    train("inter", "--out", "inter", "--config", json.dumps(shape), *groups)
    assert log_of(folder / "inter")[0]["relative"] > 0
    made = ["export-video", "--image", str(image), "--group-cache", "groups", "--out", "out"]
    train(*made, "--inter-network", "predicted", "--inter", "inter", "--default")
    (video,) = (folder / "out").glob("video-*.safetensors")

    train("video", "--out", "again", "--init", str(video), "--frames", "2", *shared)
    train("inter", "--out", "more", "--init", str(video), *groups)
    assert json.loads((folder / "more" / "config.json").read_text())["model"]["width"] == 32

    train(*prior_arguments("--out", "other", "--seed", "5"))
    both = ["--tokenizer", str(image), "tokenizer"]  # their mean: equal but for half precision
    train("export", *both, "--prior", "other", "--out", "others", "--default")
    (other,) = (folder / "others").glob("image-*.safetensors")
    assert other.name != image.name
    train("export-video", "--image", str(other), "--again", str(video), "--out", "others")
    (beside_other,) = (folder / "others").glob("video-*.safetensors")
    with safe_open(video, "pt") as before, safe_open(beside_other, "pt") as after:
        assert before.keys() == after.keys()
        for name in before.keys():  # noqa: SIM118
            assert torch.equal(before.get_tensor(name), after.get_tensor(name))
        assert before.metadata()["inter_run"] == after.metadata()["inter_run"] != ""
        assert json.loads(after.metadata()["bsqcodec"])["image"] == other.stem[len("image-") :]

    codec = VideoCodec(beside_other, device="cpu")
    frames, sink = clip(3), io.BytesIO()
    coded = codec.encode(ListReader(frames), sink)
    decoded = [frame.pixels for frame in codec.decode(sink.getvalue()).frames()]
    error = np.mean(
        [np.square(a - b.astype(float)).mean() for a, b in zip(decoded, frames, strict=True)]
    )
    assert 10 * np.log10(255**2 / error) == pytest.approx(coded.psnr, abs=0.05)


@pytest.mark.usefixtures("folder")
def test_networks_of_predicted_frames_go_with_their_tokenizer_only(
    video_weights: Path,
) -> None:
    """Here with one whose transform is another."""
    image = load(model_path(), CPU)
    with torch.no_grad():
        image.tokenizer.encoder.transform.weight.mul_(2)
    with pytest.raises(WeightsError, match="was made for another tokenizer"):
        beside(video_weights, image, Path("out"))


def test_networks_of_predicted_frames_stay_beside_a_larger_decoder_of_pictures(
    folder: Path, video_weights: Path
) -> None:
    image = load(model_path(), CPU)
    larger = Tokenizer(replace(image.tokenizer.config, decoder_blocks=3))
    start_from(larger, image.tokenizer)
    with seeded(1):
        shake(larger.decoder, 0.01)
    prior = prior_of(model_path())
    path = save_image(folder / "out", larger, prior.config, quantize_prior(prior))
    found = load_video(beside(video_weights, load(path, CPU), folder / "out"), CPU)
    assert len(found.image.tokenizer.decoder.blocks) == 3
    before = load_video(video_weights, CPU).inter_network.state_dict()
    after = found.inter_network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give --inter-network, --inter and --group-cache, or --again"),
        (["--again", "video", "--inter", "run"], "--again takes the place of"),
    ],
)
def test_video_weights_come_from_runs_or_from_others(
    arguments: list[str], message: str, golden: Path, train: Callable[..., None]
) -> None:
    with pytest.raises(SystemExit, match=message):
        train("export-video", "--image", str(model_path()), *arguments)


def test_from_pictures_to_a_coded_picture(
    folder: Path, train: Callable[..., None], make_scene: MakeScene
) -> None:
    train(*tokenizer_arguments("--validation", "held_out", "--validation-limit", "1"))
    tokenizer_log = log_of(folder / "tokenizer")
    assert {"step", "loss", "rmse", "s160", "s192", "s224"} <= tokenizer_log[-1].keys()
    trained = checkpoint(folder / "tokenizer")
    assert trained["count"] == tokenizer_log[-1]["step"] >= 1
    config = json.loads((folder / "tokenizer" / "config.json").read_text())
    assert config["model"] == TOKENIZER.to_dict() and config["args"]["crop"] == 128

    train(*prior_arguments("--validation", "held_out", "--quantized-from", "0.5"))
    prior_log = log_of(folder / "prior")
    assert {"step", "loss", "bpp", "s160", "s192", "s224"} <= prior_log[-1].keys()
    assert checkpoint(folder / "prior")["average"]["planes"].dtype == torch.uint8

    train("export", "--tokenizer", "tokenizer", "--prior", "prior", "--out", "out", "--default")
    (path,) = (folder / "out").glob("image-*.safetensors")
    index = json.loads((folder / "out" / "index.json").read_text())
    assert path.stem == f"image-{index['default']}"
    assert load(path, CPU).prior.config == PRIOR
    codec = Codec(path, device="cpu")
    picture = make_scene(140, 150, 9)
    encoded = codec.encode(picture, Quality(60), verify=True)
    assert encoded.psnr > 20
    assert codec.decode(encoded.data).picture.pixels.shape == picture.shape

    train(
        *("exactness", "--tokenizer", "tokenizer", "--prior", "prior", "--pictures", "held_out"),
        *("--limit", "1", "--out", "exactness.json"),
    )
    result = json.loads((folder / "exactness.json").read_text())
    assert len(result["rows"]) == 4
    assert abs(result["cost_percent"]) < 2
    assert all(row["integer_bits"] > 0 for row in result["rows"])

    train(*prior_arguments("--init", str(path), "--out", "again"))
    assert checkpoint(folder / "again")["count"] >= 1
    assert log_of(folder / "again")[-1].keys() == {
        *("step", "minutes", "loss", "bpp", "tflops", "utilisation")
    }


def test_training_goes_on_where_it_ended_and_needs_no_validation(
    folder: Path, train: Callable[..., None]
) -> None:
    train(*tokenizer_arguments())
    first = checkpoint(folder / "tokenizer")
    train(*tokenizer_arguments("--minutes", str(first["seconds"] / 60 + 0.003)))
    second = checkpoint(folder / "tokenizer")
    assert second["count"] > first["count"] and second["seconds"] > first["seconds"]
    assert moved(first, second)
    assert all(name.startswith("tokenizer.decoder.") for name in moved(first, second))


def test_a_warm_start_takes_the_weights(folder: Path, train: Callable[..., None]) -> None:
    train(*tokenizer_arguments())
    train(*tokenizer_arguments("--out", "warm", "--init", "tokenizer", "--rate", "0"))
    first, warm = checkpoint(folder / "tokenizer"), checkpoint(folder / "warm")
    for name, value in first["average"].items():
        assert torch.equal(warm["module"][name], value)


@pytest.mark.parametrize("command", ["tokenizer", "prior"])
def test_slices_resume_and_read_pictures_that_were_added(
    folder: Path, train: Callable[..., None], command: str
) -> None:
    if command == "prior":
        train(*tokenizer_arguments())
    arguments = {"tokenizer": tokenizer_arguments, "prior": prior_arguments}[command]
    limited = arguments("--minutes", "10", "--stop-after", "0")  # a step is made all the same
    train(*limited)
    first = checkpoint(folder / command)
    assert first["count"] == 1
    # noise needs more digits than all the pictures before
    noise = np.random.default_rng(0).integers(0, 2, (300, 310, 3), np.uint8) * np.uint8(255)
    Image.fromarray(noise).save(folder / "data" / "more.png")
    train(*limited)
    second = checkpoint(folder / command)
    assert second["count"] == 2 and second["seconds"] > first["seconds"]
    assert len(np.load(folder / "cache" / "shapes.npy")) == 4
    if command == "prior":
        assert torch.equal(first["module"]["planes"], second["module"]["planes"])
    assert [line["step"] for line in log_of(folder / command)] == [1, 2]


def test_pictures_may_lie_on_the_device(folder: Path, train: Callable[..., None]) -> None:
    train(*tokenizer_arguments("--data-on-device"))
    train(*prior_arguments("--data-on-device"))
    for run in ("tokenizer", "prior"):
        assert log_of(folder / run)[-1]["step"] >= 1


def test_a_profile_leaves_no_run(
    folder: Path, train: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        train(*tokenizer_arguments("--profile", "1"))
    assert "aten::convolution_backward" in caplog.text
    assert not (folder / "tokenizer").exists()


def test_the_commands_have_help(
    train: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (
        *("tokenizer", "prior", "searched", "joint", "bsq", "video", "inter"),
        *("export", "export-video", "exactness"),
    ):
        with pytest.raises(SystemExit, match="0"):
            train(command, "--help")
        assert f"bsqcodec.training {command}" in capsys.readouterr().out


def test_training_needs_neither_av_nor_constriction_nor_click() -> None:
    """A training machine may lack them."""
    program = """
import importlib, pkgutil, sys
for name in ("av", "click", "constriction", "imageio", "platformdirs", "tqdm"):
    sys.modules[name] = None
import bsqcodec.training
names = [module.name for module in pkgutil.iter_modules(bsqcodec.training.__path__)]
assert {"__main__", "tokenizer", "prior", "joint", "video", "inter"} <= set(names)
for name in names:
    importlib.import_module(f"bsqcodec.training.{name}")
try:
    import bsqcodec.entropy.range_coder
except ImportError:
    print("blocked")
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "blocked\n", "")
