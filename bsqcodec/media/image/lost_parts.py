"""What a picture file holds beside its picture: each part is named in a note,
and not claimed on."""

from __future__ import annotations

from typing import Any, BinaryIO, Final

from PIL import Image

from bsqcodec.media.image.item_facts import ItemFacts
from bsqcodec.media.image.metadata import Metadata
from bsqcodec.media.image.xmp import GAIN_MAP_SPACES, drop_claims

_ISO_GAIN_MAP: Final = b"urn:iso:std:iso:ts:21496:-1"
"""ISO 21496-1, in an APP2 segment of JPEG."""
_NOTES: Final = {
    "gain map": "the gain map for HDR screens was dropped; the picture is kept as others show it",
    "motion photo": "the video of this motion photo was dropped",
    "other pictures or data": "its XMP names more pictures or data in the file: they were dropped",
}
_DEPTH_NOTE: Final = "the depth map was dropped"


def drop_lost_parts(
    image: Image.Image,
    file: BinaryIO | None,
    metadata: Metadata,
    facts: ItemFacts | None,
    notes: list[str],
) -> None:
    """Note gain maps, motion photos and depth maps of a loaded image; cut claims out of its XMP.

    file: what the image was opened from. facts: of the boxes of a HEIF or AVIF file.
    """
    kinds: set[str] = set()
    if metadata.xmp is not None:
        metadata.xmp, kinds = drop_claims(metadata.xmp)
    segments: Any = getattr(image, "applist", ())
    if any(name == "APP2" and data.startswith(_ISO_GAIN_MAP) for name, data in segments):
        kinds.add("gain map")
    if image.format == "MPO" and file is not None and _names_gain_map(file):
        kinds.add("gain map")
    auxiliary = [*map(str, image.info.get("aux", ()))]
    if facts is not None:
        auxiliary += facts.auxiliary
    if (facts is not None and facts.gain_map) or any("gainmap" in n.lower() for n in auxiliary):
        kinds.add("gain map")
    if kinds & {"gain map", "motion photo"}:
        kinds.discard("other pictures or data")
        notes[:] = [note for note in notes if not _counts_pictures(image, note)]
    notes += [text for kind, text in _NOTES.items() if kind in kinds]
    if image.info.get("depth_images") or any("depth" in urn.lower() for urn in auxiliary):
        notes.append(_DEPTH_NOTE)


def _names_gain_map(file: BinaryIO) -> bool:
    """Whether a JPEG of several pictures says that one is a gain map, which that one's XMP does."""
    file.seek(0)
    data = file.read()
    return any(name.encode() in data for name in GAIN_MAP_SPACES)


def _counts_pictures(image: Image.Image, note: str) -> bool:
    """Whether a note tells of the second picture of a file, which is the gain map."""
    return getattr(image, "n_frames", 1) == 2 and note.startswith("the file holds 2 pictures")
