"""Training pictures: shards and folders, the cache, crops, and the transform they begin with."""

import io
import json
import logging
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from bsqcodec.training import data
from bsqcodec.training.data import Pictures, read_pictures, shards, transform_basis

from .crops import pictures_of, ways_of_lying

Pixels = npt.NDArray[np.uint8]
MakeScene = Callable[[int, int, int], Pixels]
SHAPES = [(150, 200, 1), (90, 60, 2), (40, 300, 3), (64, 64, 4)]


def test_folders_are_read_in_order_with_the_shards_in_them(
    pictures_folder: Path, make_scene: MakeScene
) -> None:
    found = list(read_pictures(pictures_folder))
    assert len(found) == 4
    for picture, shape in zip(found, SHAPES, strict=True):
        assert np.array_equal(picture, make_scene(*shape))


def test_a_shard_and_a_single_picture_are_sources_too(
    pictures_folder: Path, make_scene: MakeScene
) -> None:
    shard = list(read_pictures(pictures_folder / "c.tar"))
    single = list(read_pictures(pictures_folder / "a.png"))
    assert [p.shape[:2] for p in shard] == [(40, 300), (64, 64)]
    assert len(single) == 1 and np.array_equal(single[0], make_scene(150, 200, 1))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK"])
def test_pictures_of_all_modes_become_rgb(tmp_path: Path, mode: str, make_scene: MakeScene) -> None:
    image = Image.fromarray(make_scene(20, 30, 1)).convert(mode)
    path = tmp_path / "picture.tif"
    image.save(path)
    (found,) = read_pictures(path)
    assert found.shape == (20, 30, 3) and found.dtype == np.uint8
    assert np.array_equal(found, np.asarray(Image.open(path).convert("RGB")))


def assert_holds(pictures: Pictures, make_scene: MakeScene, shapes: list[Any]) -> None:
    assert len(pictures) == len(shapes)
    for index, shape in enumerate(shapes):
        assert np.array_equal(pictures[index], make_scene(*shape))


def write_shard(path: Path, picture: Pixels) -> None:
    """A tar file of one picture."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    with tarfile.open(path, "w") as shard:
        member = tarfile.TarInfo("picture.png")
        member.size = buffer.tell()
        shard.addfile(member, io.BytesIO(buffer.getvalue()))


def test_shards_are_known_by_name(pictures_folder: Path) -> None:
    folder = pictures_folder
    everything = {"a.png": folder / "a.png", "below/b.PNG": folder / "below" / "b.PNG"}
    everything["c.tar"] = folder / "c.tar"
    assert shards([folder]) == everything
    assert shards([folder / "c.tar", folder]) == everything
    assert list(shards([folder / "c.tar"])) == ["c.tar"]


def test_two_shards_of_one_name_are_refused(pictures_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(pictures_folder, tmp_path / "copy")
    with pytest.raises(ValueError, match=r"same name, a\.png"):
        shards([pictures_folder, tmp_path / "copy"])


def test_load_decodes_once_and_then_uses_the_cache(
    pictures_folder: Path, tmp_path: Path, make_scene: MakeScene
) -> None:
    cache = tmp_path / "deep" / "cache"
    assert_holds(Pictures.load([pictures_folder], cache), make_scene, SHAPES)
    moved = pictures_folder.rename(tmp_path / "elsewhere")
    for path in (moved / "a.png", moved / "c.tar"):
        path.write_bytes(b"not read again")
    assert_holds(Pictures.load([moved], cache), make_scene, SHAPES)
    assert_holds(Pictures.open(cache), make_scene, SHAPES)
    assert json.loads((cache / "sources.json").read_text()) == {
        "a.png": 1,
        "below/b.PNG": 1,
        "c.tar": 2,
    }


def test_shards_that_appear_later_are_appended(
    pictures_folder: Path, tmp_path: Path, make_scene: MakeScene
) -> None:
    cache = tmp_path / "cache"
    early = Pictures.load([pictures_folder], cache)
    more = [(70, 81, 5), (33, 20, 6)]
    for name, shape in zip(("0.tar", "z.tar"), more, strict=True):
        write_shard(pictures_folder / name, make_scene(*shape))
    assert_holds(Pictures.load([pictures_folder], cache), make_scene, SHAPES + more)
    assert_holds(early, make_scene, SHAPES)
    pixels = np.load(cache / "pixels.npy")
    assert pixels.dtype == np.uint8 and len(pixels) == (cache / "pixels.npy").stat().st_size - 128
    assert np.load(cache / "shapes.npy").tolist() == [list(s[:2]) for s in SHAPES + more]


@pytest.mark.parametrize("commit_every", [1, 1000])
def test_an_interrupted_decoding_goes_on(
    pictures_folder: Path,
    tmp_path: Path,
    make_scene: MakeScene,
    monkeypatch: pytest.MonkeyPatch,
    commit_every: int,
) -> None:
    monkeypatch.setattr(data, "COMMIT_EVERY", commit_every)
    cache, shard = tmp_path / "cache", pictures_folder / "c.tar"
    whole = shard.read_bytes()
    second = whole.index(b"2.png")
    shard.write_bytes(whole[: second + 700])
    with pytest.raises((OSError, tarfile.ReadError)):
        Pictures.load([pictures_folder], cache)
    if commit_every == 1:
        assert_holds(Pictures.open(cache), make_scene, SHAPES[:2])
        (pictures_folder / "a.png").write_bytes(b"not read again")
    shard.write_bytes(whole)
    assert_holds(Pictures.load([pictures_folder], cache), make_scene, SHAPES)


def test_what_is_not_counted_yet_is_overwritten(
    pictures_folder: Path, tmp_path: Path, make_scene: MakeScene
) -> None:
    """Pixels and sizes of a shard are written before its name is."""
    cache = tmp_path / "cache"
    Pictures.load([pictures_folder], cache)
    sources = cache / "sources.json"
    sources.write_text(json.dumps({"a.png": 1, "below/b.PNG": 1}))
    assert_holds(Pictures.open(cache), make_scene, SHAPES[:2])
    (pictures_folder / "c.tar").unlink()
    write_shard(pictures_folder / "d.tar", make_scene(21, 22, 7))
    assert_holds(Pictures.load([pictures_folder], cache), make_scene, [*SHAPES[:2], (21, 22, 7)])


def test_the_cache_of_other_pictures_is_refused(pictures_folder: Path, tmp_path: Path) -> None:
    Pictures.load([pictures_folder], tmp_path / "cache")
    with pytest.raises(ValueError, match=r"other pictures too \(2 shards, such as a\.png\)"):
        Pictures.load([pictures_folder / "c.tar"], tmp_path / "cache")


@pytest.mark.parametrize("sources", [None, ["pictures"]])
def test_a_cache_that_does_not_say_what_it_holds_is_taken_as_it_is(
    pictures_folder: Path,
    tmp_path: Path,
    make_scene: MakeScene,
    caplog: pytest.LogCaptureFixture,
    sources: list[str] | None,
) -> None:
    cache = tmp_path / "cache"
    Pictures.load([pictures_folder], cache)
    (cache / "sources.json").unlink()
    if sources:
        (cache / "sources.json").write_text(json.dumps(sources))
    write_shard(pictures_folder / "d.tar", make_scene(20, 20, 1))
    with caplog.at_level(logging.WARNING):
        assert_holds(Pictures.load([pictures_folder], cache), make_scene, SHAPES)
    assert "does not say what it holds" in caplog.text


def test_no_pictures_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no pictures below"):
        Pictures.load([tmp_path / "empty"], tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Pictures.load([tmp_path / "nowhere"], tmp_path / "cache")


def test_a_shard_without_pictures_is_an_error(tmp_path: Path) -> None:
    tarfile.open(tmp_path / "x.tar", "w").close()
    for _ in range(2):
        with pytest.raises(FileNotFoundError, match="no pictures in"):
            Pictures.load([tmp_path / "x.tar"], tmp_path / "cache")


def test_crops_are_pieces_of_the_picture_flipped_and_turned() -> None:
    """Each pixel names its place, so a crop's corners tell where it is from and how it lies."""
    rows, columns = np.mgrid[:60, :80].astype(np.uint8)
    picture = np.stack([rows, columns, rows + columns], axis=-1)
    crops = pictures_of(picture).crops(200, 16, np.random.default_rng(0)).numpy()
    assert crops.shape == (200, 3, 16, 16) and crops.dtype == np.uint8
    ways, places = set(), set()
    for crop in crops:
        top, left = crop[0].min(), crop[1].min()
        (way,) = ways_of_lying(crop, picture[top : top + 16, left : left + 16])
        ways.add(way)
        places.add((int(top), int(left)))
    assert len(ways) == 4
    assert len(places) > 150
    assert {top for top, _ in places} >= {0, 44} and max(left for _, left in places) <= 64


def test_pictures_are_drawn_by_their_area() -> None:
    small, large = np.zeros((20, 20, 3), np.uint8), np.full((60, 60, 3), 255, np.uint8)
    crops = pictures_of(small, large).crops(500, 16, np.random.default_rng(0))
    share = (crops.float().mean((1, 2, 3)) > 0).float().mean()
    assert float(share) == pytest.approx(0.9, abs=0.05)


@pytest.mark.parametrize("shape", [(5, 40), (40, 5), (3, 3)])
def test_small_pictures_are_padded_by_their_edge(shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    crops = pictures_of(picture).crops(20, 16, np.random.default_rng(1)).numpy()
    assert crops.shape == (20, 3, 16, 16)
    colours = {tuple(pixel) for pixel in picture.reshape(-1, 3)}
    assert {tuple(pixel) for pixel in crops.transpose(0, 2, 3, 1).reshape(-1, 3)} <= colours


def test_crops_follow_the_generator(pictures_folder: Path, tmp_path: Path) -> None:
    pictures = Pictures.load([pictures_folder], tmp_path / "cache")
    a, b, c = (pictures.crops(8, 32, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, c)


def test_transform_is_the_orthonormal_basis_of_largest_variance() -> None:
    """Pictures whose patches are sums of three known orthogonal waves of different strengths."""
    generator = np.random.default_rng(0)
    waves, _ = np.linalg.qr(generator.standard_normal((3 * 16, 3)))
    pictures = []
    for _ in range(300):
        strengths = generator.standard_normal(3) * (60, 40, 20)
        patch = 127.5 + (waves @ strengths).reshape(3, 4, 4).transpose(1, 2, 0)
        pictures.append(np.clip(np.rint(patch), 0, 255).astype(np.uint8))
    # the 4x4 pictures are patches themselves, in four orientations: 12 dimensions
    basis, scale = transform_basis(pictures_of(*pictures), 4, 24, generator)
    assert basis.shape == (24, 48) and scale.shape == (24,)
    torch.testing.assert_close(basis @ basis.T, torch.eye(24), atol=1e-5, rtol=0)
    assert torch.equal(scale, scale.sort(descending=True).values)
    assert float(scale[12:].max()) < 1 and float(scale[11]) > 2
    patches = np.stack(pictures).transpose(0, 3, 1, 2).reshape(300, 48).astype(np.float32) - 127.5
    kept = patches @ basis[:12].numpy().T
    assert (kept**2).sum() > 0.99 * (patches**2).sum()
    assert float(scale.square().sum()) == pytest.approx((patches**2).sum() / 300, rel=0.1)


def test_a_broken_picture_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "broken.png"
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "PNG")
    path.write_bytes(buffer.getvalue()[:60])
    with pytest.raises(OSError, match="truncated|broken|cannot identify"):
        list(read_pictures(path))
