"""Telling pictures from videos, by their first bytes and no more."""

import io
from pathlib import Path

import pytest

from bsqcodec.errors import FormatError, TruncatedError, UnsupportedVersionError
from bsqcodec.format.image_container import unpack
from bsqcodec.format.magic import MAGIC, FileKind, read_kind
from bsqcodec.format.video_file_reader import VideoFileReader

from .test_image_container import GOLDEN as PICTURE
from .video_files import GOLDEN as VIDEO
from .video_files import PARTS, OnlyRead


@pytest.mark.parametrize(("data", "kind"), [(PICTURE, "PICTURE"), (VIDEO, "VIDEO")])
def test_kind_of_bytes_and_files(data: bytes, kind: str, tmp_path: Path) -> None:
    assert read_kind(data) == (FileKind[kind], data)
    assert read_kind(memoryview(data))[0] == FileKind[kind]
    path = tmp_path / "file.bsq"
    path.write_bytes(b"??" + data)
    with path.open("rb") as file:
        file.seek(2)
        assert read_kind(file) == (FileKind[kind], file)
        assert file.tell() == 2


@pytest.mark.parametrize("most", [1, 4, 1000])
def test_a_pipe_gives_the_whole_file_afterwards(most: int) -> None:
    pipe = OnlyRead(VIDEO, most)
    kind, source = read_kind(pipe)
    assert kind == FileKind.VIDEO
    assert pipe.taken == 9
    assert tuple(VideoFileReader(source).chunks()) == PARTS
    kind, source = read_kind(OnlyRead(PICTURE, most))
    assert kind == FileKind.PICTURE
    assert unpack(source) == unpack(PICTURE)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"", TruncatedError, "empty"),
        (MAGIC[:3], TruncatedError, "3 bytes in all"),
        (MAGIC, TruncatedError, "inside the header"),
        (b"\x89PNG\r\n\x1a\n\0", FormatError, "not a .bsq file"),
        (MAGIC.replace(b"\r", b"") + b"\1\2", FormatError, "text mode"),
        (MAGIC + b"\0", UnsupportedVersionError, "version 0; .* version 1 .* and 2"),
        (MAGIC + b"\3", UnsupportedVersionError, "version 3; .* version 1 .* and 2"),
    ],
)
def test_what_is_neither(data: bytes, error: type[Exception], message: str) -> None:
    stream = io.BytesIO(data)
    for source in (data, stream, OnlyRead(data)):
        with pytest.raises(error, match=message):
            read_kind(source)
    assert stream.tell() == 0
