"""The table of the tokenizer without entropy coding, with the tiny model of tests/golden."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from benchmarks import markup, metrics, ours, tokenizer
from benchmarks.datasets import DatasetError, generated_picture
from benchmarks.datasets.pictures import KODAK_NAMES
from benchmarks.judge import Judge
from bsqcodec.targets import Quality

if TYPE_CHECKING:
    from bsqcodec.image.codec import Codec


@pytest.fixture
def tiny(codec: "Codec", tiny_weights: Path) -> ours.TransformTokenizer:
    return ours.TransformTokenizer(codec)


def test_integers_and_pixels_are_those_of_the_codec(
    codec: "Codec", tiny: ours.TransformTokenizer
) -> None:
    """At effort 0 a file holds the nearest integers, so decoding it gives the same pixels."""
    pixels = np.asarray(generated_picture(150, 70))
    integers = tiny.encode(pixels, 60)
    assert integers.shape == (math.ceil(70 / 16), math.ceil(150 / 16), tiny.channels)
    decoded = tiny.decode(integers, 60, 70, 150)
    coded = codec.encode(pixels, ours_quality(60), effort=0)
    assert (decoded == codec.decode(coded.data).picture.pixels).all()
    assert tiny.coded_bits(pixels, 60) == pytest.approx(coded.ideal_bits)


def ours_quality(value: float) -> Quality:
    return Quality(value)


def test_every_integer_can_be_spelled_with_the_digits_counted(
    tiny: ours.TransformTokenizer,
) -> None:
    pixels = np.asarray(generated_picture(128, 128))
    for quality in (0, 50, 100):
        integers = np.abs(tiny.encode(pixels, quality)).max(axis=(0, 1)).astype(float)
        needed = np.ceil(np.log(2 * integers + 1) / math.log(3) - 1e-9)
        assert needed.sum() <= tiny.digits(quality)
    assert tiny.digits(100) > tiny.digits(0)


def test_a_point(tiny: ours.TransformTokenizer) -> None:
    crop = tokenizer.centre(generated_picture(200, 128), 128)
    found = tokenizer.measure(tiny, [crop, crop], 50, Judge())
    assert found.bsq_bits == 2 * found.digits
    assert found.tight_bits == pytest.approx(found.digits * math.log2(3), abs=0.01)
    assert found.raw_bpp == pytest.approx(found.bsq_bits / 256, abs=1e-4)
    assert 0 < found.static_bits < found.tight_bits
    assert 0 < found.coded_bits < found.tight_bits
    decoded = tiny.decode(tiny.encode(crop, 50), 50, 128, 128)
    assert found.psnr == pytest.approx(metrics.psnr(crop, decoded), abs=1e-3)
    assert found.lpips is None
    assert found.encode_tokens_per_second > 0


def test_static_code_of_known_channels() -> None:
    # Always the same: nothing; a fair coin: one bit; four equal values: two.
    integers = np.array([[7, 0, 0], [7, 1, 1], [7, 0, 2], [7, 1, 3]], np.int32)
    assert tokenizer.static_code(integers) == pytest.approx(3)


def test_crops_are_central() -> None:
    image = Image.new("RGB", (300, 260))
    image.putpixel((22, 2), (9, 9, 9))
    assert tokenizer.centre(image)[0, 0].tolist() == [9, 9, 9]
    with pytest.raises(DatasetError, match="200x300 has no 256x256 crop"):
        tokenizer.centre(Image.new("RGB", (200, 300)))


def test_command_and_table(tiny_weights: Path, tmp_path: Path) -> None:
    folder = tmp_path / "kodak"
    folder.mkdir()
    for name in KODAK_NAMES:
        Image.new("RGB", (768, 512), (20, 90, 60)).save(folder / f"{name}.png")
    out = tmp_path / "tokenizer.json"
    arguments = ["--data", str(folder), "--qualities", "20,80", "--out", str(out)]
    done = CliRunner().invoke(tokenizer.main, arguments)
    assert done.exit_code == 0, done.output
    document = json.loads(out.read_text())
    assert [point["quality"] for point in document["points"]] == [20, 80]
    text = markup.markdown(tokenizer.blocks(tmp_path))
    assert "twice the number of digits" in text
    assert f"| 20 | {document['points'][0]['bsq_bits']} |" in text
    assert str(tmp_path) not in out.read_text()
    assert tokenizer.blocks(folder) == []
