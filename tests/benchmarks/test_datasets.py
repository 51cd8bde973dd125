"""Data sets by their published names, and pictures made here."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.datasets import (
    DatasetError,
    PictureFile,
    generated_picture,
    mosaic,
    open_folder,
    open_kodak,
)
from benchmarks.datasets.base import digest_of
from benchmarks.datasets.pictures import KODAK_NAMES, KODAK_SIZES


def make_kodak(folder: Path) -> None:
    folder.mkdir(parents=True)
    for index, name in enumerate(KODAK_NAMES):
        size = KODAK_SIZES[index % 2]
        Image.new("RGB", size, (index, 2 * index, 3 * index)).save(folder / f"{name}.png")


def test_kodak_from_its_folder_or_the_one_above(tmp_path: Path) -> None:
    make_kodak(tmp_path / "kodak")
    direct, above = open_kodak(tmp_path / "kodak"), open_kodak(tmp_path)
    assert direct == above
    assert direct.name == "kodak"
    assert [picture.name for picture in direct.items][::23] == ["kodim01", "kodim24"]


def test_kodak_without_a_folder_says_how_to_give_one() -> None:
    with pytest.raises(DatasetError, match="--data or in BSQCODEC_DATA.*r0k.us"):
        open_kodak(None)


def test_kodak_names_what_is_missing(tmp_path: Path) -> None:
    make_kodak(tmp_path / "kodak")
    (tmp_path / "kodak" / "kodim07.png").unlink()
    (tmp_path / "kodak" / "kodim09.png").unlink()
    with pytest.raises(DatasetError, match="2 of 24 .* kodim07.png, kodim09.png; .*r0k.us"):
        open_kodak(tmp_path)


def test_kodak_checks_the_size(tmp_path: Path) -> None:
    make_kodak(tmp_path / "kodak")
    generated_picture(384, 256).save(tmp_path / "kodak" / "kodim03.png")
    with pytest.raises(DatasetError, match="kodim03.png is 384x256"):
        open_kodak(tmp_path)


def test_a_folder_of_pictures(folder_of_two: Path) -> None:
    (folder_of_two / "notes.txt").write_text("no picture")
    Image.new("L", (7, 5), 9).save(folder_of_two / "grey.PNG")
    found = open_folder(folder_of_two)
    assert found.name == "pair"
    assert [picture.name for picture in found.items] == ["a.png", "b.png", "grey.PNG"]
    grey = found.items[2].load()
    assert (grey.mode, grey.size, grey.getpixel((0, 0))) == ("RGB", (7, 5), (9, 9, 9))


@pytest.mark.parametrize("make", [False, True])
def test_a_folder_without_pictures(tmp_path: Path, make: bool) -> None:
    folder = tmp_path / "empty"
    if make:
        folder.mkdir()
    with pytest.raises(DatasetError, match="no pictures" if make else "no such folder"):
        open_folder(folder)


def test_an_unreadable_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_text("text")
    with pytest.raises(DatasetError, match="bad.png: not a readable picture"):
        digest_of(open_folder(tmp_path).hashes())


def test_pictures_carry_no_metadata(tmp_path: Path) -> None:
    generated_picture(20, 20).save(tmp_path / "p.png", icc_profile=b"profile", dpi=(72, 72))
    assert open_folder(tmp_path).items[0].load().info == {}


def test_hash_is_of_pixels_not_of_files(tmp_path: Path) -> None:
    image = generated_picture(20, 30)
    hashes = []
    for level in (0, 9):
        image.save(tmp_path / "p.png", compress_level=level)
        hashes.append(digest_of(open_folder(tmp_path).hashes()))
    assert hashes[0] == hashes[1]
    generated_picture(20, 30, seed=1).save(tmp_path / "p.png")
    assert digest_of(open_folder(tmp_path).hashes()) != hashes[0]


def test_part_of_a_set_has_another_name(folder_of_two: Path) -> None:
    whole = open_folder(folder_of_two)
    part = whole.first(1)
    assert (part.name, len(part.items)) == ("pair-first1", 1)
    assert whole.first(2) is whole


def test_part_by_name(folder_of_two: Path) -> None:
    part = open_folder(folder_of_two).only("b*", "bs")
    assert (part.name, [picture.name for picture in part.items]) == ("bs", ["b.png"])
    with pytest.raises(DatasetError, match=r"pair has nothing that matches c\*"):
        open_folder(folder_of_two).only("c*", "cs")


def test_hash_of_a_set_is_of_names_and_samples(folder_of_two: Path) -> None:
    whole = open_folder(folder_of_two)
    assert list(whole.hashes()) == ["a.png", "b.png"]
    assert digest_of(whole.hashes()) != digest_of(whole.first(1).hashes())
    renamed = PictureFile("c.png", folder_of_two / "a.png")
    assert renamed.sha256() == whole.hashes()["a.png"]


def test_generated_pictures_are_repeatable_and_busy() -> None:
    first, again, other = (generated_picture(96, 64, seed) for seed in (0, 0, 1))
    assert first.tobytes() == again.tobytes() != other.tobytes()
    assert np.asarray(first).std() > 10


def test_mosaic_fills_any_size() -> None:
    red, blue = Image.new("RGB", (30, 20), "red"), Image.new("RGB", (20, 30), "blue")
    tiled = mosaic([red, blue], 70, 50)
    assert tiled.size == (70, 50)
    corners = [tiled.getpixel(at) for at in ((0, 0), (30, 0), (60, 0), (0, 20), (69, 49))]
    r, b = (255, 0, 0), (0, 0, 255)
    assert corners == [r, b, r, b, r]
