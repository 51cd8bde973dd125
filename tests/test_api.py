"""The package's front door: lazy names, and the three functions over a codec without weights."""

import importlib.util
import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bsqcodec
from bsqcodec import api
from bsqcodec.media.image.picture import Picture
from bsqcodec.targets import BitsPerPixel, Psnr, Quality, Size, Target

SAMPLES = np.random.default_rng(6).integers(0, 256, (12, 16, 3), np.uint8)


@pytest.fixture
def fake_codec(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The command line's fake codec in the place of bsqcodec.image.codec."""
    path = Path(__file__).parent / "cli" / "fake_codec.py"
    spec = importlib.util.spec_from_file_location("bsqcodec.image.codec", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, "bsqcodec.image.codec", module)
    api._codec.cache_clear()
    yield module
    api._codec.cache_clear()


def png() -> bytes:
    file = io.BytesIO()
    Image.fromarray(SAMPLES).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("form", ["image", "array", "Picture", "bytes", "stream", "path", "str"])
def test_encode_takes_pictures_in_every_form(
    form: str, fake_codec: ModuleType, tmp_path: Path
) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(png())
    forms: dict[str, Any] = {
        "image": Image.fromarray(SAMPLES),
        "array": SAMPLES,
        "Picture": Picture(SAMPLES),
        "bytes": png(),
        "stream": io.BytesIO(png()),
        "path": path,
        "str": str(path),
    }
    data = bsqcodec.encode(forms[form], quality=30)
    np.testing.assert_array_equal(np.asarray(bsqcodec.decode(data)), SAMPLES)


def test_decode_and_describe_take_bytes_streams_and_paths(
    fake_codec: ModuleType, tmp_path: Path
) -> None:
    data = bsqcodec.encode(SAMPLES)
    path = tmp_path / "photo.bsq"
    path.write_bytes(data)
    for source in (data, io.BytesIO(data), path, str(path)):
        assert bsqcodec.decode(source).size == (16, 12)
    for source in (data, io.BytesIO(data), path, str(path)):
        assert bsqcodec.describe(source)["width"] == 16
    with pytest.raises(bsqcodec.LimitError):
        bsqcodec.describe(data, max_pixels=10)
    with pytest.raises(bsqcodec.TruncatedError):
        bsqcodec.decode(data[:-100])
    assert bsqcodec.decode(data[:-100], partial=True).size == (16, 12)


def test_the_codec_is_made_once_for_the_same_arguments(fake_codec: ModuleType) -> None:
    for _ in range(3):
        bsqcodec.encode(SAMPLES)
    assert len(fake_codec.Codec.made) == 1
    bsqcodec.encode(SAMPLES, threads=1)
    assert fake_codec.Codec.made[1] == {"weights": None, "device": "auto", "threads": 1}


@pytest.mark.parametrize(
    ("arguments", "target"),
    [
        ({}, None),
        ({"quality": 0}, Quality(0)),
        ({"bpp": 0.5}, BitsPerPixel(0.5)),
        ({"size": 2000}, Size(2000)),
        ({"size": "2k"}, Size(2000)),
        ({"psnr": 30}, Psnr(30)),
    ],
)
def test_choose_target(arguments: dict[str, Any], target: Target | None) -> None:
    assert api.choose_target(**arguments) == target


def test_two_targets_are_one_too_many() -> None:
    with pytest.raises(ValueError, match="only one of quality, bpp, size and psnr"):
        bsqcodec.encode(SAMPLES, quality=0, bpp=1)


@pytest.mark.parametrize("name", ["b.bsq", Path("b.bsq")])
def test_a_file_is_not_written_by_encode(
    name: str | Path, fake_codec: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`encode("a.jpg", "b.bsq")`: the error says how to write it."""
    monkeypatch.chdir(tmp_path)
    Path("a.png").write_bytes(png())
    with pytest.raises(TypeError, match="not 'b.bsq'; encode returns the bytes.*write_bytes"):
        bsqcodec.encode("a.png", name)  # type: ignore[arg-type]
    data = bsqcodec.encode("a.png")
    with pytest.raises(TypeError, match="decode takes one file.*save"):
        bsqcodec.decode(data, "b.png")
    assert fake_codec.Codec.made == [{"weights": None, "device": "auto", "threads": None}]
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"quality": "high"}, TypeError, "a number from 0 to 100, not 'high'"),
        ({"quality": None, "psnr": "high"}, TypeError, "a PSNR is a number, not 'high'"),
        ({"quality": 101}, ValueError, "quality 101 is outside 0..100"),
        ({"quality": True}, TypeError, "a quality is a number, not True"),
        ({"bpp": "0.5"}, TypeError, "bits per pixel is a number, not '0.5'"),
        ({"size": 1.5}, TypeError, "a size is a whole number of bytes, not 1.5"),
        ({"size": Path("x")}, TypeError, "a size is a whole number of bytes, not PosixPath"),
        ({"image": None}, TypeError, "a path, bytes or a stream, not as NoneType"),
        ({"image": ["a.png"]}, TypeError, "not as list"),
    ],
)
def test_wrong_arguments(
    arguments: dict[str, Any], error: type, message: str, fake_codec: ModuleType
) -> None:
    with pytest.raises(error, match=message):
        bsqcodec.encode(**{"image": SAMPLES} | arguments)
    assert fake_codec.Codec.made == []


def test_numbers_of_numpy_are_numbers() -> None:
    quality: Any = np.float32(50)
    assert api.choose_target(quality=quality) == Quality(50)
    sizes: tuple[Any, ...] = (np.int64(2000), 2e3, "2k")
    assert {api.choose_target(size=size) for size in sizes} == {Size(2000)}


def test_every_public_name_is_there() -> None:
    for name in bsqcodec.__all__:
        assert getattr(bsqcodec, name).__name__ == name
    assert set(bsqcodec.__all__) <= set(dir(bsqcodec))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = bsqcodec.nothing


def test_importing_the_package_imports_nothing_heavy() -> None:
    program = (
        "import sys, bsqcodec\n"
        "bsqcodec.BsqError, bsqcodec.Quality, bsqcodec.describe\n"
        "sys.exit(str({'torch', 'numpy', 'PIL', 'av', 'click'} & set(sys.modules) or ''))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(Path(bsqcodec.__file__).parents[1])},
    )
    assert done.stderr.strip() == ""
