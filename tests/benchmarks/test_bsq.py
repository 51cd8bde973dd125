"""The codec of one rate, bsqcodec with weights of the family bsq: measured, tabled, drawn."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from benchmarks import figures, markup, ours, pages, report, tables, tokenizer
from benchmarks.datasets import generated_picture
from benchmarks.datasets.pictures import KODAK_NAMES
from benchmarks.judge import Judge
from benchmarks.measures import PSNR
from benchmarks.results import RdResult
from benchmarks.run import main as run_command
from bsqcodec.errors import WeightsError
from bsqcodec.models.bsq import weight_files
from bsqcodec.models.bsq.bit_order import BitPriorConfig
from bsqcodec.models.bsq.integer_bit_prior import quantize_bit_prior
from bsqcodec.models.bsq.network import BsqConfig, BsqTokenizer

from ..tiny_models import BSQ_PRIOR, random_bit_prior, save_bsq_weights
from .synthetic import synthetic

if TYPE_CHECKING:
    from bsqcodec.image.codec import Codec

BSQ_18 = "bsq-18"


@pytest.fixture(scope="module")
def bsq_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bsq")
    save_bsq_weights(folder)
    return folder


@pytest.fixture
def bsq_weights(bsq_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes tiny weights the default ones of the family; returns their file."""
    monkeypatch.setenv("BSQCODEC_WEIGHTS", str(bsq_folder))
    (path,) = bsq_folder.glob("*.safetensors")
    return path


def single(bpp: float = 0.18) -> RdResult:
    """A result of one setting: 27 dB, MS-SSIM .96, LPIPS .02."""
    result = synthetic(BSQ_18, "bsqcodec, --model bsq")
    rows = [
        dataclasses.replace(row, setting=18.0, bpp=bpp, psnr=27.0, ms_ssim=0.96, lpips=0.02)
        for row in result.rows
        if row.setting == 20
    ]
    return dataclasses.replace(result, setting_name="bits", rows=rows)


# Measuring ----------------------------------------------------------------------------------------


def test_run_measures_the_one_setting(
    folder_of_two: Path, tmp_path: Path, bsq_weights: Path
) -> None:
    out = tmp_path / "out"
    arguments = ["--dataset", "pictures", "--data", str(folder_of_two), "--results", str(out)]
    done = CliRunner(env={"BSQCODEC_LPIPS": None}).invoke(
        run_command, [*arguments, "--codecs", BSQ_18]
    )
    assert done.exit_code == 0, done.output
    assert "bsqcodec, --model bsq: bits, bpp" in done.output
    result = RdResult.load(out / f"pair_{BSQ_18}.json")
    (mean,) = result.means()
    assert result.complete() and mean.setting == 18
    assert result.options["weights"] == bsq_weights.stem.partition("-")[2]
    assert set(result.options) == {"weights", "fingerprint"}
    assert result.peak_memory is not None and result.peak_memory["setting"] == 18
    still = ours.make_still(BSQ_18)
    assert still.options() == result.options
    image = generated_picture(200, 168, 0)
    data = still.encode(image, 18.0)
    (row,) = (row for row in result.rows if row.item == "a.png")
    assert row.bytes == len(data)
    assert still.decode(data).shape == (168, 200, 3)
    with pytest.raises(ValueError, match="no setting of 17 bits"):
        still.encode(image, 17.0)
    before = (out / f"pair_{BSQ_18}.json").read_bytes()
    CliRunner().invoke(run_command, [*arguments, "--codecs", BSQ_18])
    assert (out / f"pair_{BSQ_18}.json").read_bytes() == before


@pytest.mark.usefixtures("tiny_weights")
def test_without_weights_it_is_one_line_or_left_out(
    folder_of_two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_weights(family: str) -> Path:
        raise WeightsError(f"no weights of {family} found")

    monkeypatch.setattr("bsqcodec.image.codec.default_weights", no_weights)
    arguments = ["--dataset", "pictures", "--data", str(folder_of_two), "--limit", "1"]
    arguments += ["--results", str(tmp_path / "out"), "--no-memory"]
    done = CliRunner().invoke(run_command, [*arguments, "--codecs", BSQ_18])
    assert done.exit_code == 1
    assert done.output.strip().splitlines()[-1] == f"Error: {BSQ_18}: no weights of bsq found"
    assert "Traceback" not in done.output
    monkeypatch.setattr("benchmarks.run.STILLS", ("jpeg", BSQ_18))
    done = CliRunner().invoke(run_command, arguments)
    assert done.exit_code == 0, done.output
    assert f"left out: {BSQ_18}: no weights of bsq found" in done.output
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["pair-first1_jpeg.json"]


def test_weights_that_do_not_fit_are_refused(
    codec: "Codec", bsq_weights: Path, tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match="those of the family bsq have"):
        ours.FixedStill(BSQ_18, codec)
    with pytest.raises(WeightsError, match="one rate and no qualities"):
        ours.make_still("bsqcodec", str(bsq_weights))
    with torch.random.fork_rng(devices=[]):
        wide = BsqTokenizer(BsqConfig(8, 12, 64, 1, 1, fine_width=8, fine_convs=1))
    config = BitPriorConfig(12, 6, (2, 1), BSQ_PRIOR.width, BSQ_PRIOR.heads, 1, 64)
    prior = quantize_bit_prior(random_bit_prior(0, config))
    path = weight_files.save(tmp_path, wide, config, prior)
    with pytest.raises(WeightsError, match="spend 12 bits on each 8 x 8 pixels, bsq-18 is 18"):
        ours.make_still(BSQ_18, str(path))


# Tables and figures -------------------------------------------------------------------------------


def test_a_single_setting_is_in_the_tables_and_in_no_curve() -> None:
    two = [synthetic("webp", "WebP"), synthetic("bsqcodec", "bsqcodec", 0.8)]
    before, after = tables.document_text(two), tables.document_text([single(), *two])
    head, _, settings = after.partition("## All settings")
    assert head == before.partition("## All settings")[0]
    assert "### bsqcodec, --model bsq" in settings
    assert "| bits | bpp |" in settings
    assert "| 18 | 0.1800 | 27.00 | 31.50 | 0.9600 | 0.0200 | 12.500 | 6.250 |" in settings
    assert settings.index("--model bsq") < settings.index("### WebP")
    assert tables.summary_text([single(), *two]) == tables.summary_text(two)
    alone = tables.document_text([single()])
    assert "BD-rate" not in alone and "| 18 | 0.1800 |" in alone
    assert "at equal bpp" not in tables.summary_text([single()])


def test_a_single_setting_is_a_large_mark() -> None:
    two = [synthetic("webp", "WebP"), single()]
    axes = figures.rd_figure(two, PSNR).axes[0]
    (mark,) = (line for line in axes.lines if line.get_label() == "bsqcodec, --model bsq")
    assert np.asarray(mark.get_xdata()).tolist() == [0.18]
    assert np.asarray(mark.get_ydata()).tolist() == [27.0]
    (line,) = (line for line in axes.lines if line.get_label() == "WebP")
    assert mark.get_markersize() > 2 * line.get_markersize()
    assert (mark.get_linestyle(), line.get_linestyle()) == ("None", "-")
    assert mark.get_color() == figures.STYLES[BSQ_18][0]
    assert set(figures.all_figures([single()])) == {"psnr", "psnr_yuv", "ms_ssim", "lpips"}
    jpeg = synthetic("jpeg", "JPEG")
    speed = figures.speed_figure([jpeg, single()], PSNR)
    assert speed is not None
    labels = [line.get_label() for line in speed.axes[0].lines]
    assert "JPEG" in labels and "bsqcodec, --model bsq" not in labels


def test_it_stands_beside_the_paper_at_its_own_rate() -> None:
    kodak = [
        dataclasses.replace(r, dataset={**r.dataset, "name": "kodak"})
        for r in (single(0.1), synthetic("bsqcodec", "bsqcodec", 0.8), synthetic("webp", "WebP"))
    ]
    without, text = (markup.markdown(pages.paper_blocks(k)) for k in (kodak[1:], kodak))
    assert "| bsqcodec, --model bsq | 0.1000 | 0.9600 | 27.00 | 0.20 |" in text
    assert "Of a codec with one rate, all is of that rate" in text
    assert "Of a codec with one rate" not in without
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert [row for row in rows if "--model" not in row] == [
        line for line in without.splitlines() if line.startswith("| ")
    ]
    # dearer than anything that WebP was measured at: there is no ratio
    dear = dataclasses.replace(single(0.9), dataset=kodak[0].dataset)
    text = markup.markdown(pages.paper_blocks([dear, *kodak[1:]]))
    assert "| bsqcodec, --model bsq | 0.9000 | 0.9600 | 27.00 |  |" in text


def test_the_report_has_it() -> None:
    page = report.page({"tiny": [single(), synthetic("webp", "WebP")]}, [], [])
    assert "<h3>bsqcodec, --model bsq</h3>" in page


# The tokenizer ------------------------------------------------------------------------------------


@pytest.fixture
def tiny(bsq_weights: Path) -> ours.BsqTokenizer:
    return ours.BsqTokenizer(ours.open_codec(family="bsq"))


def test_tokens_and_pixels_are_those_of_the_codec(tiny: ours.BsqTokenizer) -> None:
    codec = ours.open_codec(family="bsq")
    pixels = np.asarray(generated_picture(150, 70))
    sub_codes = tiny.encode(pixels)
    assert sub_codes.shape == (9, 19, 3)
    assert sub_codes.min() >= 0 and sub_codes.max() < 64 and len(np.unique(sub_codes)) > 20
    encoded = codec.encode(pixels)
    codes = codec.coded_tokens(encoded.data).codes
    assert (codes == (sub_codes * np.array([4096, 64, 1])).sum(-1)).all()
    assert (tiny.decode(sub_codes, 70, 150) == codec.decode(encoded.data).picture.pixels).all()
    assert tiny.coded_bits(pixels) == pytest.approx(encoded.ideal_bits)


def test_each_depth_is_measured(tmp_path: Path) -> None:
    codec = ours.open_codec(str(save_bsq_weights(tmp_path, (6, 18))))
    (found,) = ours.bsq_tokenizers(codec)
    assert found.bits == 18  # a depth of a codec of one rate, though 6 is the default here
    crop = np.asarray(generated_picture(64, 64))
    at = ours.BsqTokenizer(codec, 6)
    assert (at.encode(crop) == found.encode(crop)[..., :1]).all()
    assert at.coded_bits(crop) == pytest.approx(codec.encode(crop).ideal_bits)
    assert found.coded_bits(crop) > 2 * at.coded_bits(crop)


def test_a_point_of_the_family(tiny: ours.BsqTokenizer) -> None:
    crop = tokenizer.centre(generated_picture(200, 128), 128)
    found = tokenizer.measure_bsq(tiny, [crop, crop], Judge())
    assert found.bits == 18 and found.raw_bpp == 0.2812
    assert 0 < found.static_bits < 18
    assert found.coded_bits == pytest.approx(tiny.coded_bits(crop) / 256, abs=0.01)
    assert found.lpips is None and found.decode_tokens_per_second > 0


def test_command_and_table(bsq_weights: Path, tmp_path: Path) -> None:
    folder = tmp_path / "kodak"
    folder.mkdir()
    for name in KODAK_NAMES:
        Image.new("RGB", (768, 512), (20, 90, 60)).save(folder / f"{name}.png")
    out = tmp_path / tokenizer.BSQ_FILE
    arguments = ["--model", "bsq", "--data", str(folder), "--out", str(out)]
    done = CliRunner().invoke(tokenizer.main, arguments)
    assert done.exit_code == 0, done.output
    document = json.loads(out.read_text())
    (point,) = document["points"]
    assert document["weights"] == bsq_weights.stem.partition("-")[2]
    text = markup.markdown(tokenizer.blocks(tmp_path))
    assert "the sub-codes of 6 bits" in " ".join(text.split())
    assert f"| 18 | 0.2812 | {point['static_bits']:.1f} |" in text
    assert str(tmp_path) not in out.read_text()
    done = CliRunner().invoke(tokenizer.main, [*arguments, "--qualities", "3"])
    assert done.exit_code == 2 and "takes no --qualities" in done.output


@pytest.mark.usefixtures("tiny_weights")
def test_the_command_without_weights_is_one_line(tmp_path: Path, golden: Path) -> None:
    folder = tmp_path / "kodak"
    folder.mkdir()
    for name in KODAK_NAMES:
        Image.new("RGB", (768, 512)).save(folder / f"{name}.png")
    other = next(golden.glob("image-*.safetensors"))
    arguments = ["--model", "bsq", "--data", str(folder), "--weights", str(other)]
    done = CliRunner().invoke(tokenizer.main, [*arguments, "--out", str(tmp_path / "t.json")])
    assert done.exit_code == 1
    assert "have no tokens that stand alone" in done.output
    assert not (tmp_path / "t.json").exists()
