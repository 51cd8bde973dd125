"""`bsqcodec decode` for a picture: decoding, writing, reporting."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bsqcodec.cli.codecs import Codecs
from bsqcodec.cli.console import Console, format_bytes
from bsqcodec.cli.decode_video import DecodingSettings
from bsqcodec.cli.jobs import Job, display_name, display_target
from bsqcodec.format.byte_source import SupportsRead
from bsqcodec.format.memory_limit import memory_limit
from bsqcodec.format.rewind import is_seekable, seekable
from bsqcodec.media.files import is_standard_stream, open_output
from bsqcodec.media.formats import OutputFormat
from bsqcodec.options import DecodeOptions

if TYPE_CHECKING:
    from bsqcodec.image.codec import Decoded

_LOST_ALPHA: Final = "; transparency, if there was any, may be missing"
"""Alpha is the last chunk before the end, so a cut file does not tell whether it had one."""


def decode_one_picture(
    console: Console,
    job: Job,
    source: SupportsRead,
    codecs: Codecs,
    format: OutputFormat,
    settings: DecodingSettings,
    *,
    is_tokens: bool = False,
) -> None:
    """Decode the picture of a job and tell about it; raises BsqError and OSError.

    is_tokens: the source is a file of tokens.
    """
    from bsqcodec.media.image.image_writer import write_picture

    name, decoding = display_name(job.source), settings.decoding
    input_bytes: int | None
    if is_tokens:
        decoded, input_bytes = _decode_tokens(source, codecs, decoding.max_pixels)
    else:
        with console.progress(name) as progress:
            input_bytes = _check_header(job.source, source, decoding)
            decoded = codecs.picture.decode_with(source, decoding, progress=progress)
    for warning in _warnings(decoded):
        console.warning(f"{name}: {warning}")
    with open_output(job.target, force=settings.force) as file:
        notes = write_picture(decoded.picture, file, format=format.name)
    for note in notes:
        console.warning(f"{display_target(job.target)}: {note}")
    if settings.as_json:
        facts = _facts(job, decoded, format.name, input_bytes, notes)
        console.record(facts, data_on_stdout=job.to_stdout)
    else:
        _sum_up(console, job, decoded, input_bytes)


def _warnings(decoded: Decoded) -> list[str]:
    """Sentences on what is missing of a picture."""
    result = list(decoded.notes)
    if decoded.truncated:
        lost = "" if decoded.picture.alpha is not None else _LOST_ALPHA
        result.append(
            f"the file is incomplete;"
            f" {decoded.levels_decoded} of {decoded.header.levels} levels were decoded{lost}"
        )
    for rows in decoded.filled_rows:
        result.append(
            f"rows {rows.start} to {rows.stop - 1} are damaged; what is missing of them"
            " was filled in by the model and may not be as it was"
        )
    return result


def _decode_tokens(source: SupportsRead, codecs: Codecs, max_pixels: int) -> tuple[Decoded, int]:
    """The picture of a file of tokens, and the file's size in bytes."""
    from bsqcodec.format.token_file import unpack_tokens

    data = source.read(-1) or b""
    tokens = unpack_tokens(data, max_pixels=max_pixels)
    return codecs.picture.decode_tokens(tokens), len(data)


def _check_header(source: str, stream: SupportsRead, decoding: DecodeOptions) -> int | None:
    """Refuse what is no .bsq file, and a crop that is not inside, before the weights are loaded.

    Returns the size of a file.
    """
    from bsqcodec.format.image_container import unpack_header

    if is_standard_stream(source) or not is_seekable(stream):
        return None
    header = unpack_header(
        stream,
        max_pixels=decoding.max_pixels,
        max_memory=memory_limit(decoding.max_memory),
    )
    if decoding.crop is not None:
        decoding.crop.check(header.width, header.height)
    seekable(stream).seek(0)
    return Path(source).stat().st_size


def _facts(
    job: Job, decoded: Decoded, format_name: str, input_bytes: int | None, notes: list[str]
) -> dict[str, Any]:
    """What --json reports of one picture."""
    picture = decoded.picture
    return {
        "input": job.source,
        "output": job.target,
        "width": picture.width,
        "height": picture.height,
        "colour": "gray" if picture.is_grey else "rgb",
        "alpha": picture.alpha is not None,
        "format": format_name,
        "look": decoded.look,
        "input_bytes": input_bytes,
        "levels": decoded.header.levels,
        "levels_decoded": decoded.levels_decoded,
        "truncated": decoded.truncated,
        "filled_rows": [[rows.start, rows.stop - 1] for rows in decoded.filled_rows],
        "seconds": decoded.seconds,
        "render_seconds": decoded.render_seconds,
        "notes": notes,
    }


def _sum_up(console: Console, job: Job, decoded: Decoded, input_bytes: int | None) -> None:
    """The line a picture."""
    picture = decoded.picture
    colour = ("grey" if picture.is_grey else "RGB") + ("" if picture.alpha is None else " + alpha")
    size = f"{format_bytes(input_bytes)}, " if input_bytes is not None else ""
    console.summary(
        f"{display_name(job.source)} -> {display_target(job.target)}:"
        f" {picture.width}x{picture.height} {colour}, {size}"
        f"{decoded.levels_decoded} of {decoded.header.levels} levels, {decoded.seconds:.2f} s"
    )
    console.detail(
        f"{decoded.seconds - decoded.render_seconds:.2f} s of reading and entropy decoding,"
        f" {decoded.render_seconds:.2f} s of rendering"
    )
