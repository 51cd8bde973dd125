"""Codes of several depths from one tokenizer: qualities, targets, cut files, tokens, batches."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bsqcodec.cli.main import main
from bsqcodec.errors import FormatError, TargetError
from bsqcodec.format.image_container import pack, unpack
from bsqcodec.image.codec import Codec
from bsqcodec.models.bsq import coding
from bsqcodec.models.bsq.generation import Drawing
from bsqcodec.models.bsq.picture_model import BsqModel
from bsqcodec.targets import BitsPerPixel, Psnr, Quality, Size

from ..reference_bsq_decoder import codes_crc, decode_codes
from ..reference_decoder import ReferencePrior
from ..tiny_models import save_bsq_weights

DEPTHS = (6, 12, 18)


@pytest.fixture(scope="module")
def nested_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bsq_weights(tmp_path_factory.mktemp("weights"), DEPTHS)


@pytest.fixture(scope="module")
def codec(nested_weights: Path) -> Codec:
    return Codec(nested_weights, device="cpu")


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    y, x = np.mgrid[:70, :90]
    return np.stack((x * 3 % 256, (x + y) * 2 % 256, y), -1).astype(np.uint8)


def model_of(codec: Codec) -> BsqModel:
    assert isinstance(codec.model, BsqModel)
    return codec.model


@pytest.mark.parametrize(
    ("quality", "bits", "told"),
    [
        (0, 6, 0),
        (24, 6, 0),
        (26, 12, 50),
        (None, 12, 50),
        (74, 12, 50),
        (76, 18, 100),
        (100, 18, 100),
    ],
)
def test_a_quality_chooses_the_bits_of_a_code(
    codec: Codec, picture: np.ndarray, quality: float | None, bits: int, told: float
) -> None:
    target = None if quality is None else Quality(quality)
    encoded = codec.encode(picture, target, verify=True)
    assert encoded.quality == told and encoded.levels == bits // 6
    model = model_of(codec)
    whole = coding.bits_of_picture(model.weights.tokenizer, picture)
    signs = np.where(whole, 1, -1).astype(np.int8)
    signs[..., bits:] = 0
    expected = coding.picture_of_signs(model.weights.tokenizer, signs, 70, 90)
    decoded = codec.decode(encoded.data)
    assert np.array_equal(decoded.picture.pixels, expected) and not decoded.truncated
    assert encoded.ideal_bits == pytest.approx(
        sum(8 * len(part) for part in unpack(encoded.data).level_payloads()), rel=0.1
    )


def test_an_independent_decoder_reads_each_depth(
    codec: Codec, picture: np.ndarray, nested_weights: Path
) -> None:
    prior = ReferencePrior(nested_weights)
    for bits, quality in zip(DEPTHS, (0, 50, 100), strict=True):
        container = unpack(codec.encode(picture, Quality(quality)).data)
        assert container.header.step == (18 - bits) // 6
        signs = decode_codes(prior, 8, 90, 70, container.level_payloads())
        assert signs[:9, :12, :bits].all() and not signs[..., bits:].any()
        assert codes_crc(signs[..., :bits], 8, 90, 70) == container.symbols_crc


def test_a_file_cut_to_fewer_levels_is_one_of_fewer_bits(codec: Codec, picture: np.ndarray) -> None:
    files = [codec.encode(picture, Quality(quality)).data for quality in (0, 50, 100)]
    whole = unpack(files[-1]).level_payloads()
    for levels, data in enumerate(files, 1):
        assert unpack(data).level_payloads() == whole[:levels]
        cut = codec.decode(files[-1], levels=levels)
        assert np.array_equal(cut.picture.pixels, codec.decode(data).picture.pixels)
        assert cut.levels_decoded == levels


def test_targets_choose_among_the_depths(codec: Codec, picture: np.ndarray) -> None:
    sizes = [len(codec.encode(picture, Quality(quality)).data) for quality in (0, 50, 100)]
    assert len(set(sizes)) == 3
    for levels, size in enumerate(sizes, 1):
        assert codec.encode(picture, Size(size)).levels == levels
        assert codec.encode(picture, BitsPerPixel(8 * (size + 1) / 6300)).levels == levels
    found = codec.encode(picture, Size(sizes[1] * 2))
    assert found.levels == 3 and any("smaller than asked for" in note for note in found.notes)
    with pytest.raises(TargetError, match=f"gives is {sizes[0]} bytes, more than the"):
        codec.encode(picture, Size(sizes[0] - 1))
    figures = [codec.encode(picture, Quality(quality)).psnr for quality in (0, 50, 100)]
    for figure in figures:  # the coarsest that reaches it, whatever the order of untrained ones
        reaching = next(i for i, each in enumerate(figures, 1) if each >= figure)
        assert codec.encode(picture, Psnr(figure)).levels == reaching
    with pytest.raises(TargetError, match="80 dB is out of reach"):
        codec.encode(picture, Psnr(80))


def test_a_step_that_the_weights_do_not_have_is_refused(tmp_path: Path) -> None:
    codec = Codec(save_bsq_weights(tmp_path, (6, 18)), device="cpu")
    container = unpack(codec.encode(np.zeros((8, 8, 3), np.uint8), Quality(100)).data)
    assert container.symbols_crc is not None
    header = replace(container.header, step=1, levels=2)
    data = pack(header, container.chunks[:2], container.symbols_crc)
    with pytest.raises(FormatError, match="has a step of 1, its weights have 0 or 2"):
        codec.decode(data)


def test_tokens_of_each_depth_go_there_and_back(codec: Codec, picture: np.ndarray) -> None:
    whole = codec.tokens(picture, 18)
    assert codec.tokens(picture).bits == 12
    for bits, quality in zip(DEPTHS, (0, 50, 100), strict=True):
        tokens = codec.tokens(picture, bits)
        assert tokens.bits == bits
        assert np.array_equal(tokens.codes, whole.codes >> 18 - bits)
        data = codec.encode(picture, Quality(quality)).data
        coded = codec.coded_tokens(data)
        assert coded.bits == bits and np.array_equal(coded.codes, tokens.codes)
        rendered = codec.from_tokens(tokens).pixels
        assert np.array_equal(rendered, codec.decode(data).picture.pixels)
    with pytest.raises(ValueError, match="have 6, 12 or 18 bits, not 7"):
        codec.tokens(picture, 7)
    odd = replace(codec.tokens(picture, 6), bits=7)
    with pytest.raises(FormatError, match="have 7 bits .* have 6, 12 or 18"):
        codec.from_tokens(odd)


def test_drawn_pictures_have_the_bits_of_the_default(codec: Codec, picture: np.ndarray) -> None:
    model = model_of(codec)
    drawn = codec.generate(64, 64)
    assert drawn.pixels.shape == (64, 64, 3)
    hole = np.zeros((70, 90), bool)
    hole[20:40, 30:50] = True
    completed = codec.complete(picture, hole)
    assert np.array_equal(completed.pixels[~hole], picture[~hole])
    inside = np.ones((8, 8), bool)
    empty = np.zeros((8, 8, 18), np.int8)
    symbols = model.drawn(empty, inside, 2, Drawing())
    assert symbols.levels == 2 and symbols.values[..., :12].all()
    assert not symbols.values[..., 12:].any()


def test_commands_take_qualities_and_bits(
    nested_weights: Path,
    picture: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("BSQCODEC_WEIGHTS", str(nested_weights.parent))
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    Image.fromarray(picture).save("photos/a.png")
    assert (
        main(["encode", "photos/a.png", "-o", "a.bsq", "--model", "bsq", "-q", "100", "--json"])
        == 0
    )
    facts = json.loads(capsys.readouterr().out)
    assert facts["quality"] == 100 and facts["levels"] == 3
    assert main(["tokens", "photos/a.png", "-o", "a.npz", "--bits", "6", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bits"] == 6
    assert main(["tokens", "a.bsq", "-o", "b.npz", "--bits", "6"]) == 1
    assert "18 bits" in capsys.readouterr().err
    assert main(["tokens", "photos/a.png", "-o", "c.npz", "--bits", "7"]) == 1
    assert "have 6, 12 or 18 bits, not 7" in capsys.readouterr().err
    batch = ["batch", "photos", "coded", "--model", "bsq"]
    assert main([*batch, "-q", "100"]) == 0
    (coded,) = Path("coded").rglob("*.bsq")
    assert coded.read_bytes() == Path("a.bsq").read_bytes()
    for path in Path("coded").rglob("*"):
        if path.is_file() and path != coded:
            path.unlink()  # without the records the files themselves tell
    for quality, said in (("100", "1 done"), ("50", "another quality")):
        capsys.readouterr()
        main([*batch, "-q", quality, "--dry-run"])
        told = capsys.readouterr()
        assert said in told.out + told.err, quality
