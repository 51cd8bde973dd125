"""Crops gathered on the device are crops as the host cuts them."""

from collections import Counter

import numpy as np
import numpy.typing as npt
import pytest
import torch

from bsqcodec.training.data import Pictures, padded
from bsqcodec.training.device_pictures import DevicePictures

from .crops import pictures_of, ways_of_lying

Pixels = npt.NDArray[np.uint8]
CPU = torch.device("cpu")
SIZE = 16
SHAPES = [(60, 80), (17, 16), (16, 40), (9, 50), (50, 9), (5, 5)]


def map_of_places(height: int, width: int, number: int) -> Pixels:
    """A picture whose pixels tell their row, their column and the picture's number."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.full_like(rows, number)], axis=-1).astype(np.uint8)


@pytest.fixture(scope="module")
def maps() -> Pictures:
    return pictures_of(*(map_of_places(*shape, number) for number, shape in enumerate(SHAPES)))


def test_every_crop_is_one_that_the_host_could_cut(maps: Pictures) -> None:
    count = 6000
    cut = DevicePictures(maps, SIZE, CPU).crops(count, SIZE, np.random.default_rng(0))
    assert cut.shape == (count, 3, SIZE, SIZE) and cut.dtype == torch.uint8
    assert cut.is_contiguous()
    ways: Counter[str] = Counter()
    places: Counter[tuple[int, int, int]] = Counter()
    for crop in cut.numpy():
        number, top, left = int(crop[2, 0, 0]), int(crop[0].min()), int(crop[1].min())
        source = padded(maps[number], SIZE)
        found = ways_of_lying(crop, source[top : top + SIZE, left : left + SIZE])
        assert found
        ways[found[0]] += number == 0  # larger than a crop, so that no two ways look the same
        places[number, top, left] += 1
    total = ways.total()
    assert len(ways) == 4
    assert all(n / total == pytest.approx(0.25, abs=0.03) for n in ways.values())

    area = np.array([h * w for h, w in SHAPES])
    for number, (height, width) in enumerate(SHAPES):
        drawn = sum(n for place, n in places.items() if place[0] == number)
        assert drawn / count == pytest.approx(area[number] / area.sum(), abs=0.02)
        tops = {top for k, top, _ in places if k == number}
        lefts = {left for k, _, left in places if k == number}
        assert tops == set(range(max(height - SIZE, 0) + 1))
        assert lefts == set(range(max(width - SIZE, 0) + 1))
    # every place of the largest is as likely as any other
    mean = sum(n for place, n in places.items() if place[0] == 0) / (45 * 65)
    assert max(n for place, n in places.items() if place[0] == 0) < 10 * mean


def test_a_single_crop_size_fits_the_padding(maps: Pictures) -> None:
    with pytest.raises(ValueError, match="crops of 8"):
        DevicePictures(maps, SIZE, CPU).crops(1, 8, np.random.default_rng(0))


def test_crops_follow_the_generator(maps: Pictures) -> None:
    pictures = DevicePictures(maps, SIZE, CPU)
    a, b, c = (pictures.crops(8, SIZE, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, c)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_cuts_the_same_crops(maps: Pictures) -> None:
    cuda = torch.device("cuda")
    here, there = (
        DevicePictures(maps, SIZE, device).crops(64, SIZE, np.random.default_rng(1))
        for device in (CPU, cuda)
    )
    assert there.device.type == "cuda" and torch.equal(here, there.cpu())
