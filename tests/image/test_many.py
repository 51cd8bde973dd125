"""Lists of pictures: the same as one after the other, also where several threads share a codec."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bsqcodec.errors import TruncatedError
from bsqcodec.image import codec as codec_module
from bsqcodec.image.codec import Codec
from bsqcodec.machine.threads import set_thread_count
from bsqcodec.targets import Quality

from ..golden_files import model_path, scene

PICTURES = [
    scene(150, 140),
    scene(60, 200)[..., 0],
    np.dstack([scene(33, 47), scene(33, 47)[..., :1]]),
    scene(1, 1),
    scene(90, 90),
]


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    set_thread_count(2)
    yield
    torch.set_num_threads(before)


def test_the_files_and_pictures_are_the_same(codec: Codec) -> None:
    singly = [codec.encode(picture, Quality(70), effort=0).data for picture in PICTURES]
    together = codec.encode_many(iter(PICTURES), Quality(70), effort=0)
    assert [made.data for made in together] == singly
    assert [made.psnr > 10 for made in together] == [True] * 5
    for decoded, data in zip(codec.decode_many(singly, levels=3), singly, strict=True):
        expected = codec.decode(data, levels=3)
        np.testing.assert_array_equal(decoded.picture.pixels, expected.picture.pixels)
        assert decoded.levels_decoded == 3


def test_threads_share_a_codec(codec: Codec) -> None:
    files = [made.data for made in codec.encode_many(PICTURES)]
    expected = [codec.decode(data).picture.pixels for data in files]

    def work(turn: int) -> None:
        if turn % 2:
            assert [made.data for made in codec.encode_many(PICTURES)] == files
            return
        for decoded, pixels in zip(codec.decode_many(files), expected, strict=True):
            np.testing.assert_array_equal(decoded.picture.pixels, pixels)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(8)))


def test_weights_that_files_name_are_loaded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, golden: Path
) -> None:
    codec = Codec(model_path(), device="cpu")
    files = [made.data for made in codec.encode_many(PICTURES)]
    shutil.copytree(golden, tmp_path / "weights")
    monkeypatch.setenv("BSQCODEC_WEIGHTS", str(tmp_path / "weights"))
    codec._loaded.clear()
    loads = []

    def counted(*arguments: Any) -> Any:
        loads.append(arguments)
        return original(*arguments)

    original = codec_module.find_picture_model
    monkeypatch.setattr(codec_module, "find_picture_model", counted)
    codec.decode_many(files)
    assert len(loads) == 1


def test_a_broken_file_is_named(codec: Codec) -> None:
    files = [made.data for made in codec.encode_many(PICTURES)]
    files[3] = files[3][:20]
    with pytest.raises(TruncatedError) as caught:
        codec.decode_many(files)
    assert "item 3 of 5" in caught.value.__notes__[0]
