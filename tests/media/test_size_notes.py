"""Results that are larger than their source, or than lossless WebP: notes with figures."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from bsqcodec.media import size_notes
from bsqcodec.media.image.picture import Picture
from bsqcodec.media.size_notes import larger_note, lossless_note

from ..golden_files import scene


def screenshot(width: int = 640, height: int = 360) -> Picture:
    """A window with a title and lines of text."""
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, width, 16), fill=(40, 60, 160))
    for number, top in enumerate(range(24, height - 12, 14)):
        text = f"{number * 7919} The quick brown fox jumps over the lazy dog"
        draw.text((12 + number % 3, top), text, fill="black")
    return Picture(np.array(image))


def webp_bytes(picture: Picture) -> int:
    """What a user of Pillow gets."""
    file = io.BytesIO()
    Image.fromarray(picture.pixels).save(file, "WEBP", lossless=True)
    return file.tell()


def test_a_result_that_is_larger() -> None:
    note = "the result is larger than its source: 1500 bytes, not 1000"
    assert larger_note(1500, 1000) == note
    assert larger_note(1000, 1000) is larger_note(999, 1000) is larger_note(1, None) is None


def test_a_screenshot_that_webp_holds_in_a_quarter() -> None:
    picture = screenshot()
    size = webp_bytes(picture)
    note = lossless_note(picture, 4 * size)
    assert note is not None
    assert note.startswith(
        f"lossless WebP would hold this picture in {size} bytes, not {4 * size}:"
    )
    assert lossless_note(picture, 4 * size - 1) is None
    assert lossless_note(picture, 100 * size) is not None


@pytest.mark.parametrize("kind", ["grey", "alpha", "large", "narrow", "tall"])
def test_screenshots_of_every_kind(kind: str) -> None:
    picture = screenshot(*{"large": (2000, 1100), "narrow": (640, 60)}.get(kind, (640, 360)))
    if kind == "grey":
        picture.pixels = np.ascontiguousarray(picture.pixels[..., 1])
    if kind == "tall":
        picture.pixels = np.ascontiguousarray(picture.pixels[:, :90])
    if kind == "alpha":
        picture.alpha = np.full(picture.pixels.shape[:2], 90, np.uint8)
    bits = 1.0
    coded = int(bits * picture.width * picture.height / 8)
    assert lossless_note(picture, max(coded, 8 * webp_bytes(picture))) is not None


def test_metadata_would_be_in_the_webp_too() -> None:
    picture = screenshot()
    size = webp_bytes(picture)
    picture.exif, picture.xmp = bytes(size), bytes(size)
    coded = 4 * size + 2 * size
    assert lossless_note(picture, coded) is None
    assert lossless_note(picture, coded - 2 * size, strip=True) is not None
    found = lossless_note(picture, 12 * size)
    assert found is not None and f"in {3 * size} bytes" in found


def test_small_results_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(size_notes, "_sample", None)
    assert lossless_note(screenshot(64, 32), 999) is None


def test_a_side_that_webp_cannot_hold() -> None:
    assert lossless_note(Picture(np.full((2, 16384, 3), 7, np.uint8)), 10**6) is None


def seen_at_a_look(picture: Picture, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether no WebP is made of a picture, whatever the size of the result."""
    monkeypatch.setattr(size_notes, "_size", None)
    pixels = picture.width * picture.height
    return all(lossless_note(picture, bits * pixels // 80) is None for bits in (2, 10, 40, 80))


def test_textures_are_seen_at_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    assert seen_at_a_look(Picture(scene(600, 800)), monkeypatch)


def test_photographs_are_seen_at_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(os.environ.get("BSQCODEC_DATA", "absent"), "kodak")
    if not folder.is_dir():
        pytest.skip("BSQCODEC_DATA names no folder with kodak/ in it")
    for path in sorted(folder.glob("*.png")):
        with Image.open(path) as image:
            assert seen_at_a_look(Picture(np.array(image.convert("RGB"))), monkeypatch), path
