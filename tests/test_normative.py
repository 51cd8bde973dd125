"""A decoder imports no encoder, and the list of what it imports in
docs/BITSTREAM.md is complete."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import bsqcodec
from bsqcodec.targets import Quality
from bsqcodec.video.codec import VideoCodec

from .video.scenes import ListReader, clip

PACKAGE = Path(bsqcodec.__file__).parent
DOCUMENT = Path(__file__).parent.parent / "docs" / "BITSTREAM.md"

LAYERS = ("entropy", "format", "models", "image", "video")
"""The layers whose modules the document lists."""

ENCODERS = re.compile(r"bsqcodec\.(encoder|training)(\.|$)|bsqcodec\..*encod")
"""Names of modules that only an encoder needs."""

DECODE = {
    "picture": "import bsqcodec; bsqcodec.decode({file!r})",
    "video": "import bsqcodec; print(len(list(bsqcodec.video_frames({file!r}))), file=sys.stderr)",
    "video file": "import bsqcodec; bsqcodec.decode_video({file!r}, {file!r} + '.mkv')",
    "worker process": "from bsqcodec.video.worker_process import serve",
}


@pytest.fixture(scope="module")
def files(video_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A coded picture and a coded video."""
    folder = tmp_path_factory.mktemp("coded")
    video = folder / "clip.bsq"
    with video.open("wb") as sink:
        VideoCodec(video_weights, device="cpu").encode(ListReader(clip(4)), sink, Quality(50))
    picture = folder / "picture.bsq"
    picture.write_bytes(bsqcodec.encode(clip(1)[0], weights=_image_weights(video_weights)))
    return {"picture": picture, "video": video, "video file": video, "worker process": video}


def _image_weights(video_weights: Path) -> Path:
    (found,) = video_weights.parent.glob("image-*.safetensors")
    return found


def imported(code: str, weights: Path) -> set[str]:
    """Modules of bsqcodec that code imports in a process of its own."""
    script = f"import os, sys; os.environ['BSQCODEC_WEIGHTS'] = {str(weights)!r}; {code}; "
    script += "print(*(name for name in sys.modules if name.startswith('bsqcodec')))"
    made = subprocess.run(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, check=True, cwd=PACKAGE.parent
    )
    return set(made.stdout.decode().split())


@pytest.fixture(scope="module")
def decoders(video_weights: Path, files: dict[str, Path]) -> dict[str, set[str]]:
    """What decoding imports, of each kind."""
    return {
        kind: imported(code.format(file=str(files[kind])), video_weights.parent)
        for kind, code in DECODE.items()
    }


def listed() -> tuple[set[str], set[str]]:
    """(modules, packages) that the section "Modules of a decoder" names."""
    section = DOCUMENT.read_text().split("## Modules of a decoder")[1].split("\n## ")[0]
    table = "\n".join(line for line in section.splitlines() if line.startswith("|"))
    paths = re.findall(r"`(bsqcodec/[a-z_/]+(?:\.py)?)`", table)
    names = {path.removesuffix(".py").strip("/").replace("/", ".") for path in paths}
    packages = {path.strip("/").replace("/", ".") for path in paths if path.endswith("/")}
    return names - packages, packages


def is_package(name: str) -> bool:
    return (PACKAGE.parent / name.replace(".", "/")).is_dir()


@pytest.mark.parametrize("kind", DECODE)
def test_decoding_imports_no_encoder(decoders: dict[str, set[str]], kind: str) -> None:
    assert f"bsqcodec.{'image' if kind == 'picture' else 'video'}" in decoders[kind]
    assert not {name for name in decoders[kind] if ENCODERS.match(name)}


def test_modules_of_encoders_are_told_by_their_names(video_weights: Path) -> None:
    """Coding imports them, so that the expression above is one that can find them."""
    code = "from bsqcodec.video.encode_file import encode_video_file"
    found = {name for name in imported(code, video_weights.parent) if ENCODERS.match(name)}
    assert {
        "bsqcodec.encoder.motion_estimation",
        "bsqcodec.encoder.rate_control",
        "bsqcodec.encoder.rdo",
        "bsqcodec.video.encode_frames",
        "bsqcodec.video.encoding_loop",
        "bsqcodec.video.group_encoder",
    } <= found


def test_the_document_lists_all_that_decoding_imports(decoders: dict[str, set[str]]) -> None:
    modules, packages = listed()
    found = {
        name
        for name in set().union(*decoders.values())
        if name.startswith(tuple(f"bsqcodec.{layer}." for layer in LAYERS))
        and not is_package(name)
        and name.rpartition(".")[0] not in packages
    }
    assert found == modules


def test_the_document_names_what_there_is() -> None:
    modules, packages = listed()
    assert all((PACKAGE.parent / f"{name.replace('.', '/')}.py").is_file() for name in modules)
    assert all(map(is_package, packages))
