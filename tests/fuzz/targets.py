"""What is done with each mutated file. Allowed is that it is decoded,
or one of bsqcodec's errors."""

from __future__ import annotations

import io
import json
import os
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch

from bsqcodec.batch.journal import Journal
from bsqcodec.cli.main import main
from bsqcodec.errors import BsqError
from bsqcodec.format.image_container import Colour
from bsqcodec.format.video_file_reader import SideBytes, VideoFileReader
from bsqcodec.format.video_gop import Gop
from bsqcodec.format.video_walk import DamagedGop
from bsqcodec.image.describe_picture import describe_picture, format_picture_lines
from bsqcodec.media.image.image_writer import write_picture
from bsqcodec.media.side.side_tracks import list_tracks
from bsqcodec.media.video.video_files import OutputOptions
from bsqcodec.models import weight_files
from bsqcodec.models.weight_store import ENVIRONMENT
from bsqcodec.options import DecodeOptions
from bsqcodec.video.decode_file import decode_video_file
from bsqcodec.video.describe_video import describe_video, format_video_lines

from ..hostile import noise_for, resealed, sealed
from ..injuries import injured
from .bsq_targets import BSQ_TARGETS
from .material import Material
from .odd_texts import changed_weights, noise_text, odd_json
from .target import MAX_PIXELS, Pipe, Target, check_message, decode_frames, expect
from .video_changes import changed_video
from .video_parts import sealed_video

# Pictures -----------------------------------------------------------------------------------------


def mended_picture(material: Material, rng: Random) -> bytes:
    parts = rng.choice(material.pictures)
    return sealed(parts) if rng.randrange(20) == 0 else resealed(parts, rng)


def injured_picture(material: Material, rng: Random) -> bytes:
    return injured([sealed(parts) for parts in material.pictures], rng)


FORMATS = ("png", "png", "jpg", "webp", "tif", "avif", "jp2", "bmp", "ppm", "tga")


def decode_picture(material: Material, data: bytes, rng: Random) -> str:
    options: dict[str, Any] = rng.choice(({}, {}, {"partial": True}, {"levels": 2}))
    source = rng.choice((bytes, io.BytesIO, Pipe))(data)
    decoded = material.codec.decode(source, max_pixels=MAX_PIXELS, **options)
    picture, header = decoded.picture, decoded.header
    size = (header.height, header.width)
    shape = size if header.colour is Colour.GRAY else (*size, 3)
    expect(picture.pixels.shape == shape and picture.pixels.dtype == np.uint8, "samples")
    expect(picture.alpha is None or picture.alpha.shape == size, "alpha")
    if rng.randrange(4) == 0:
        write_picture(picture, io.BytesIO(), format=rng.choice(FORMATS))
    return "cut" if decoded.truncated else "decoded"


# Videos -------------------------------------------------------------------------------------------


def mended_video(material: Material, rng: Random) -> bytes:
    return sealed_video(changed_video(rng.choice(material.videos), rng))


def injured_video(material: Material, rng: Random) -> bytes:
    files = [sealed_video(parts) for parts in material.videos]
    return injured(files, rng, counts=(1, 1, 2, 5))


def decode_video(material: Material, data: bytes, rng: Random) -> str:
    return decode_frames(material.video_codec, data, rng)


def decode_to_container(material: Material, data: bytes, rng: Random) -> str:
    container = rng.choice(("mkv", "mkv", "mp4", "mov", "y4m", "png", "gif", "webp"))
    start = duration = None
    if rng.randrange(4) == 0:
        start, duration = rng.choice((None, 0.0, 0.04)), rng.choice((None, 0.08, 1e9))
    options = OutputOptions(container=container)
    with tempfile.TemporaryDirectory(dir=material.folder) as folder:
        destination: Path | io.BytesIO = io.BytesIO()
        if container == "png" or rng.randrange(2):
            destination = Path(folder) / f"out.{container}"
        stored = decode_video_file(
            material.video_codec,
            rng.choice((io.BytesIO, Pipe))(data),
            Path(folder) / "out" if container == "png" else destination,
            options,
            DecodeOptions(
                partial=rng.randrange(2) == 0,
                start=start,
                duration=duration,
                max_pixels=MAX_PIXELS,
            ),
        )
    expect(all(note and "\n" not in note for note in stored.notes), "notes")
    return "cut" if stored.missing else "decoded"


def walk_chunks(material: Material, data: bytes, rng: Random) -> str:
    """Only the container: all chunks, the index, single groups, in any order."""
    reader = VideoFileReader(
        rng.choice((io.BytesIO, Pipe))(data),
        max_pixels=MAX_PIXELS,
        allow_partial=rng.randrange(2) == 0,
    )
    expect(all(isinstance(key, str) for key in reader.metadata), "metadata")
    index = reader.index
    for number in range(-1, min(5, len(index or ()) + 1)):
        if index is not None and rng.randrange(2):
            try:
                reader.seek_gop(number)
                next(reader.chunks(), None)
            except BsqError as error:
                check_message(error)
    for part in reader.chunks():
        expect(isinstance(part, (Gop, SideBytes, DamagedGop)), "parts")
    return "decoded"


# Facts, commands ----------------------------------------------------------------------------------


def mended_file(material: Material, rng: Random) -> bytes:
    return (mended_picture if rng.randrange(2) else mended_video)(material, rng)


def tell_facts(material: Material, data: bytes, rng: Random) -> str:
    if data[8:9] == b"\x02":
        codec = material.video_codec if rng.randrange(3) == 0 else None
        facts = describe_video(data, max_pixels=MAX_PIXELS, codec=codec)
        text = format_video_lines(facts)
    else:
        facts = describe_picture(data, max_pixels=MAX_PIXELS)
        text = format_picture_lines(facts)
    json.loads(json.dumps(facts, allow_nan=False))
    expect(all(line.isprintable() for line in text.split("\n")), "lines")
    return "decoded" if facts["problem"] is None else "cut"


def run_command(material: Material, data: bytes, rng: Random) -> str:
    """The command line, as somebody with the tiny models would run it."""
    name = "decode" if rng.randrange(3) else "info"
    with tempfile.TemporaryDirectory(dir=material.folder) as folder:
        source = Path(folder) / "file.bsq"
        source.write_bytes(data)
        arguments = [name, str(source), "--max-pixels", str(MAX_PIXELS)]
        if name == "decode":
            arguments += ["--threads", "1"] + rng.choice(([], ["--partial"]))
        out, err = io.StringIO(), io.StringIO()
        before = os.environ.get(ENVIRONMENT)
        os.environ[ENVIRONMENT] = str(material.video_codec.weights.path.parent)
        try:
            with redirect_stdout(out), redirect_stderr(err):
                status = main(arguments)
        finally:
            if before is None:
                del os.environ[ENVIRONMENT]
            else:
                os.environ[ENVIRONMENT] = before
        left = [path.name for path in Path(folder).iterdir() if path.name.startswith(".")]
    expect(status in (0, 1), f"status {status}")
    expect(all(line.isprintable() for line in err.getvalue().splitlines()), "messages")
    errors = [line for line in err.getvalue().splitlines() if "error:" in line]
    expect(len(errors) == status, f"{len(errors)} lines of errors, status {status}")
    expect("Traceback" not in err.getvalue() and not left, f"traces {left}")
    return "decoded" if status == 0 else "refused"


# Other files --------------------------------------------------------------------------------------


def injured_side(material: Material, rng: Random) -> bytes:
    return injured(material.sides, rng, counts=(1, 2, 5))


def tell_tracks(material: Material, data: bytes, rng: Random) -> str:
    list_tracks(io.BytesIO(data))
    return "decoded"


def changed_image_weights(material: Material, rng: Random) -> bytes:
    return changed_weights(material.weights, rng)


def load_weights(material: Material, data: bytes, rng: Random) -> str:
    path = material.folder / "fuzzed.safetensors"
    path.write_bytes(data)
    weights = weight_files.load(path, torch.device("cpu"))
    expect(len(weights.id) == 8, "identity")
    return "decoded"


def odd_text(material: Material, rng: Random) -> bytes:
    """JSON for index.json and for lines of a journal."""
    if rng.randrange(3) == 0:
        return noise_for(json.dumps(odd_json(rng)).encode(), rng)
    if rng.randrange(3) == 0:
        return rng.choice(("[" * 10**5, '{"default":' * 10**4, noise_text(rng))).encode()
    keys = ("default", "video", "journal", "version", "id", "source", "destination")
    return json.dumps({key: odd_json(rng) for key in keys if rng.randrange(2)}).encode()


def read_text(material: Material, data: bytes, rng: Random) -> str:
    with tempfile.TemporaryDirectory(dir=material.folder) as folder:
        before = os.environ.get(ENVIRONMENT)
        os.environ[ENVIRONMENT] = folder
        (Path(folder) / "index.json").write_bytes(data)
        (Path(folder) / ".bsqcodec-batch.jsonl").write_bytes(data + b"\n" + data)
        try:
            Journal(Path(folder), locked=True).close()
            weight_files.find_default()
        finally:
            if before is None:
                del os.environ[ENVIRONMENT]
            else:
                os.environ[ENVIRONMENT] = before
    return "decoded"


TARGETS = (
    Target("picture", 30, mended_picture, decode_picture),
    Target("injured picture", 10, injured_picture, decode_picture),
    Target("video", 30, mended_video, decode_video),
    Target("injured video", 10, injured_video, decode_video),
    Target("container", 4, mended_video, decode_to_container),
    Target("chunks", 10, mended_video, walk_chunks),
    Target("facts", 8, mended_file, tell_facts),
    Target("command", 2, mended_file, run_command),
    Target("side stream", 4, injured_side, tell_tracks),
    Target("weights", 4, changed_image_weights, load_weights),
    Target("texts", 4, odd_text, read_text),
)


BSQ_FRACTION = 0.2
"""Of the cases, how many are of the family bsq."""

KINDS = ("all", "bsq")


def chosen(seed: int, number: int, kind: str = "all") -> tuple[Target, Random]:
    """The target of a case, and its random numbers. kind: "bsq" for that family alone.

    A case of the family bsq is the same in both kinds.
    """
    rng = Random(f"bsq {seed} {number}")
    targets: tuple[Target, ...] = BSQ_TARGETS
    if rng.random() >= BSQ_FRACTION and kind == "all":
        rng, targets = Random(f"{seed} {number}"), TARGETS
    return rng.choices(targets, [target.weight for target in targets])[0], rng


def run_case(material: Material, seed: int, number: int, kind: str = "all") -> tuple[str, str]:
    """Run a case; its target and outcome. Raises what must not be raised."""
    target, rng = chosen(seed, number, kind)
    data = target.make(material, rng)
    try:
        return target.name, target.run(material, data, rng)
    except BsqError as error:
        check_message(error)
        return target.name, type(error).__name__
