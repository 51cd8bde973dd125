"""Every anchor writes real files that read back, and its knob turns the right way."""

import numpy as np
import pytest
from PIL import Image

from benchmarks import anchors, metrics
from benchmarks.anchors import ANCHORS, PACKAGES, Jpeg2000, StillCodec, missing
from benchmarks.anchors.base import bpp_of, encode_near, save
from benchmarks.colour import rgb_to_deep_frame
from benchmarks.datasets import generated_picture

MAGIC = {
    "jpeg": (0, b"\xff\xd8\xff"),
    "jpeg2000": (4, b"jP  \r\n\x87\n"),
    "webp": (8, b"WEBPVP8 "),
    "avif": (4, b"ftypavif"),
    "jpegxl-7": (0, b"\xff\x0a"),
    "jpegxl-9": (0, b"\xff\x0a"),
    "vvc": (0, b"\0\0\0\x01"),
}


@pytest.fixture(params=sorted(ANCHORS))
def anchor(request: pytest.FixtureRequest) -> StillCodec:
    if reason := missing(request.param):
        pytest.skip(reason)
    return ANCHORS[request.param]()


@pytest.mark.parametrize("size", [(128, 96), (97, 131)])
def test_round_trip(anchor: StillCodec, size: tuple[int, int]) -> None:
    image = generated_picture(*size)
    if anchor.name == "vvc" and size[0] % 2:
        with pytest.raises(ValueError, match="even sides"):
            anchor.encode(image, anchor.settings[-1])
        return
    data = anchor.encode(image, anchor.settings[-1])
    offset, magic = MAGIC[anchor.name]
    assert data[offset : offset + len(magic)] == magic
    decoded = anchor.decode(data)
    assert decoded.shape == (size[1], size[0], 3)
    assert decoded.dtype == np.uint8
    assert metrics.psnr(np.asarray(image), decoded) > 30


def test_a_larger_setting_is_larger_and_better(anchor: StillCodec) -> None:
    image = generated_picture(160, 128)
    assert list(anchor.settings) == sorted(anchor.settings)
    assert len(anchor.settings) >= 5
    sizes, qualities = [], []
    for setting in (anchor.settings[0], anchor.settings[2], anchor.settings[-1]):
        data = anchor.encode(image, setting)
        sizes.append(len(data))
        qualities.append(metrics.psnr(np.asarray(image), anchor.decode(data)))
    assert sizes == sorted(set(sizes))
    assert qualities == sorted(set(qualities))


def test_the_same_picture_gives_the_same_file(anchor: StillCodec) -> None:
    image = generated_picture(64, 64)
    setting = anchor.settings[3]
    assert anchor.encode(image, setting) == anchor.encode(image, setting)


def test_versions_are_known(anchor: StillCodec) -> None:
    versions = anchor.versions()
    assert len(versions) >= 2
    assert "unknown" not in versions.values()


def test_encode_near_is_just_below_the_rate(anchor: StillCodec) -> None:
    image = generated_picture(320, 256)
    low, high = anchor.settings[1], anchor.settings[-2]
    wanted = bpp_of(anchor.encode(image, low), image) + bpp_of(anchor.encode(image, high), image)
    setting, data = encode_near(anchor, image, wanted / 2)
    assert data == anchor.encode(image, setting)
    assert 0.85 * wanted / 2 < bpp_of(data, image) <= wanted / 2


def test_encode_near_an_impossible_rate_is_the_coarsest(anchor: StillCodec) -> None:
    image = generated_picture(64, 48)
    setting, data = encode_near(anchor, image, 1e-6)
    assert setting == anchor.setting_range[0]
    assert data == anchor.encode(image, setting)


def test_jpeg2000_decorrelates_colours() -> None:
    # Greys in RGB: with mct=1 nearly all bits go to one component, and quality rises by far.
    grey = generated_picture(256, 192).convert("L").convert("RGB")
    anchor = Jpeg2000()
    options = {**anchor.options(), "quality_layers": [24 / 0.5]}
    without = save(grey, "JPEG2000", {**options, "mct": 0})
    data = anchor.encode(grey, 0.5)
    assert len(data) <= len(without) * 1.02
    reference = np.asarray(grey)
    gain = metrics.psnr(reference, anchor.decode(data)) - metrics.psnr(
        reference, anchor.decode(without)
    )
    assert gain > 2


def test_jpeg2000_meets_its_rate() -> None:
    image = generated_picture(512, 384)
    assert bpp_of(Jpeg2000().encode(image, 0.4), image) == pytest.approx(0.4, rel=0.02)


def test_avif_files_keep_full_chroma() -> None:
    # Single red columns on blue: 4:2:0 would smear them over their neighbours.
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[..., 2], pixels[:, ::4] = 200, (200, 0, 0)
    anchor = ANCHORS["avif"]()
    decoded = anchor.decode(anchor.encode(Image.fromarray(pixels), 90))
    assert metrics.psnr(pixels, decoded) > 30


def test_an_anchor_without_its_package_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(anchors, "find_spec", lambda name: None)
    assert missing("vvc") == "vvc needs imageio-ffmpeg: pip install bsqcodec[rivals]"
    assert [missing(name) for name in ANCHORS if name not in PACKAGES] == [None] * 4


def test_vvc_keeps_more_than_8_bits() -> None:
    # A slope of a fifth of a level a pixel: coded with 8 bits it would come back in steps.
    if reason := missing("vvc"):
        pytest.skip(reason)
    slope = np.repeat(np.linspace(100, 125, 128)[None], 64, axis=0)
    frame = rgb_to_deep_frame(np.rint(slope)[..., None].repeat(3, 2).astype(np.uint8), "bt601")
    assert len(np.unique(frame[:64])) > 22 and frame.max() > 255
    anchor = ANCHORS["vvc"]()
    picture = Image.fromarray(np.rint(slope)[..., None].repeat(3, 2).astype(np.uint8))
    decoded = anchor.decode(anchor.encode(picture, 60))
    assert metrics.psnr(np.asarray(picture), decoded) > 50
