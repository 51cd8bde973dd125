"""Training pictures: shards and folders, the cache, crops, and the transform they begin with."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from bsqcodec.training.data import Pictures, read_pictures, transform_basis

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


def test_load_decodes_once_and_then_uses_the_cache(
    pictures_folder: Path, tmp_path: Path, make_scene: MakeScene
) -> None:
    cache = tmp_path / "deep" / "cache"
    first = Pictures.load([pictures_folder], cache)
    again = Pictures.load([tmp_path / "no longer here" / pictures_folder.name], cache)
    for pictures in (first, again):
        assert len(pictures) == 4
        for index, shape in enumerate(SHAPES):
            assert np.array_equal(pictures[index], make_scene(*shape))


def test_the_cache_of_other_pictures_is_refused(pictures_folder: Path, tmp_path: Path) -> None:
    Pictures.load([pictures_folder], tmp_path / "cache")
    with pytest.raises(ValueError, match="other pictures"):
        Pictures.load([tmp_path / "others"], tmp_path / "cache")


def test_no_pictures_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no pictures below"):
        Pictures.load([tmp_path / "empty"], tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def pictures_of(*arrays: Pixels) -> Pictures:
    pixels = np.concatenate([a.reshape(-1) for a in arrays])
    return Pictures(pixels, np.array([a.shape[:2] for a in arrays]))


def test_crops_are_pieces_of_the_picture_flipped_and_turned() -> None:
    """Each pixel names its place, so a crop's corners tell where it is from and how it lies."""
    rows, columns = np.mgrid[:60, :80].astype(np.uint8)
    picture = np.stack([rows, columns, rows + columns], axis=-1)
    crops = pictures_of(picture).crops(200, 16, np.random.default_rng(0)).numpy()
    assert crops.shape == (200, 3, 16, 16) and crops.dtype == np.uint8
    ways, places = set(), set()
    for crop in crops:
        top, left = crop[0].min(), crop[1].min()
        piece = picture[top : top + 16, left : left + 16].transpose(2, 0, 1)
        turned = np.rot90(piece, axes=(1, 2))
        variants = {
            "as is": piece,
            "flipped": piece[:, :, ::-1],
            "turned": turned,
            "both": turned[:, :, ::-1],
        }
        (way,) = (name for name, variant in variants.items() if np.array_equal(crop, variant))
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
