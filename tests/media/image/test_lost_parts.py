"""Gain maps, motion photos and the like: a note says that they were dropped, XMP claims no more."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bsqcodec.media.image.image_reader import read_picture
from bsqcodec.media.image.xmp import drop_claims, turned_xmp

CASES = Path(__file__).parents[2] / "cases"
GAIN_MAP_NOTE = "the gain map for HDR screens was dropped"
SAMPLES = np.random.default_rng(9).integers(0, 256, (16, 24, 3), np.uint8)

ATTRIBUTES = b"""<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 5.1.2">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:Container="http://ns.google.com/photos/1.0/container/"
    xmlns:Item="http://ns.google.com/photos/1.0/container/item/"
    xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"
    dc:format="image/jpeg">
   <dc:creator>somebody &gt; <b xmlns="u">else</b></dc:creator>
   <Container:Directory><rdf:Seq>
     <rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="Primary"/></rdf:li>
     <rdf:li rdf:parseType="Resource">
      <Container:Item Item:Semantic="GainMap" Item:Mime="image/jpeg" Item:Length="813"/>
     </rdf:li></rdf:Seq></Container:Directory>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""

ELEMENTS = b"""<x:xmpmeta xmlns:x='adobe:ns:meta/'>
 <rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>
  <rdf:Description rdf:about='' xmlns:g='http://ns.adobe.com/hdr-gain-map/1.0/'
     xmlns:xmp='http://ns.adobe.com/xap/1.0/'>
   <g:Version>1.0</g:Version><g:GainMapMax><rdf:Seq><rdf:li>2</rdf:li></rdf:Seq></g:GainMapMax>
   <xmp:CreatorTool>a camera</xmp:CreatorTool>
  </rdf:Description></rdf:RDF></x:xmpmeta>"""

MOTION = ATTRIBUTES.replace(b"GainMap", b"MotionPhoto").replace(
    b'hdrgm:Version="1.0"',
    b'xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" GCamera:MotionPhoto="1"'
    b' GCamera:MotionPhotoVersion="1" GCamera:SpecialTypeID="7"',
)
EXTENDED = (
    ELEMENTS.replace(
        b"xmlns:g='http://ns.adobe.com/hdr-gain-map/1.0/'",
        b"xmlns:xmpNote='http://ns.adobe.com/xmp/note/' xmpNote:HasExtendedXMP='0123'",
    )
    .replace(b"<g:Version>1.0</g:Version>", b"")
    .replace(b"<g:GainMapMax><rdf:Seq><rdf:li>2</rdf:li></rdf:Seq></g:GainMapMax>", b"")
)


def jpeg(xmp: bytes | None = None, *, segments: bytes = b"", **options: object) -> bytes:
    """A JPEG with XMP, and more segments behind its start marker."""
    file = io.BytesIO()
    Image.fromarray(SAMPLES).save(file, "JPEG", xmp=xmp, **options)
    data = file.getvalue()
    return data[:2] + segments + data[2:]


@pytest.mark.parametrize("name", ["uhdr_mpo.jpg", "uhdr_nompf.jpg"])
def test_an_ultra_hdr_jpeg(name: str) -> None:
    picture = read_picture(CASES / name)
    assert len(picture.notes) == 1 and picture.notes[0].startswith(GAIN_MAP_NOTE)
    assert picture.xmp is None or b"hdrgm" not in picture.xmp
    with Image.open(CASES / name) as image:
        np.testing.assert_array_equal(picture.pixels, np.asarray(image))


@pytest.mark.parametrize("xmp", [ATTRIBUTES, ELEMENTS], ids=["attributes", "elements"])
def test_what_else_the_xmp_says_stays(xmp: bytes) -> None:
    picture = read_picture(jpeg(xmp) + jpeg())
    assert len(picture.notes) == 1 and picture.notes[0].startswith(GAIN_MAP_NOTE)
    assert picture.xmp is not None
    for claim in (b"hdrgm", b"hdr-gain-map", b"GainMap", b"Container", b"Item"):
        assert claim not in picture.xmp
    for kept in (
        (b"somebody &gt; <b", b'dc:format="image/jpeg"')
        if xmp is ATTRIBUTES
        else (b"<xmp:CreatorTool>a camera</xmp:CreatorTool>",)
    ):
        assert kept in picture.xmp
    assert drop_claims(picture.xmp) == (picture.xmp, set())


def test_a_gain_map_by_iso_21496() -> None:
    name = b"urn:iso:std:iso:ts:21496:-1\0" + bytes(4)
    segment = b"\xff\xe2" + struct.pack(">H", 2 + len(name)) + name
    picture = read_picture(jpeg(segments=segment) + jpeg())
    assert len(picture.notes) == 1 and picture.notes[0].startswith(GAIN_MAP_NOTE)


def test_a_motion_photo() -> None:
    picture = read_picture(jpeg(MOTION) + b"\0\0\0\x18ftypmp42")
    assert picture.notes == ["the video of this motion photo was dropped"]
    assert picture.xmp is not None and b"Motion" not in picture.xmp
    assert b'GCamera:SpecialTypeID="7"' in picture.xmp


def test_extended_xmp() -> None:
    picture = read_picture(jpeg(EXTENDED))
    assert len(picture.notes) == 1 and "its XMP names more" in picture.notes[0]
    assert picture.xmp is not None and b"HasExtendedXMP" not in picture.xmp
    assert b"a camera" in picture.xmp


def test_an_mpo_of_two_views_is_noted_as_before() -> None:
    file = io.BytesIO()
    views = [Image.fromarray(SAMPLES), Image.fromarray(SAMPLES[::-1].copy())]
    views[0].save(file, "MPO", save_all=True, append_images=views[1:])
    assert read_picture(file.getvalue()).notes == [
        "the file holds 2 pictures; only the first is kept"
    ]


def test_a_gain_map_that_only_its_own_xmp_names() -> None:
    """As in the JPEG files of iPhones."""
    xmp = ELEMENTS.replace(b"ns.adobe.com/hdr-gain-map", b"ns.apple.com/HDRGainMap")
    file = io.BytesIO()
    second = Image.fromarray(SAMPLES[::2, ::2].copy())
    second.encoderinfo = {"xmp": xmp}
    Image.fromarray(SAMPLES).save(file, "MPO", save_all=True, append_images=[second])
    data = file.getvalue()
    if b"HDRGainMap" not in data:  # what Pillow writes of a second picture differs by version
        data += xmp
    picture = read_picture(data)
    assert len(picture.notes) == 1 and picture.notes[0].startswith(GAIN_MAP_NOTE)


def test_plain_xmp_is_not_touched() -> None:
    xmp = ELEMENTS.replace(b"hdr-gain-map", b"another")
    assert drop_claims(xmp) == (xmp, set())
    picture = read_picture(jpeg(xmp))
    assert (picture.xmp, picture.notes) == (xmp, [])


@pytest.mark.parametrize(
    "damaged",
    [
        ATTRIBUTES[:-60],
        ATTRIBUTES.replace(b"</Container:Directory>", b""),
        b'<!DOCTYPE x [<!ENTITY a "b">]>' + ELEMENTS,
        ELEMENTS.decode().encode("utf-16"),
    ],
)
def test_damaged_xmp_that_claims_something_goes(damaged: bytes) -> None:
    kept, kinds = drop_claims(damaged)
    claims = b"hdr-gain-map" in damaged
    assert (kept is None) == claims and bool(kinds) == claims


def test_random_damage_never_raises() -> None:
    random = np.random.default_rng(4)
    for whole in (ATTRIBUTES, ELEMENTS, MOTION):
        for _ in range(300):
            damaged = bytearray(whole)
            for at in random.integers(0, len(whole), 2):
                damaged[at] = random.integers(0, 256)
            drop_claims(bytes(damaged))
            turned_xmp(bytes(damaged), 6)


def test_xmp_of_a_turned_picture() -> None:
    xmp = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/"'
        b' xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
        b' tiff:Orientation="6" exif:PixelXDimension="4000" exif:PixelYDimension="3000">'
        b"<tiff:ImageWidth>4000</tiff:ImageWidth><tiff:ImageLength>3000</tiff:ImageLength>"
        b"<xmp:Thumbnails><rdf:Alt><rdf:li>base64</rdf:li></rdf:Alt></xmp:Thumbnails>"
        b"</rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    turned = turned_xmp(xmp, 6)
    assert b'tiff:Orientation="1"' in turned and b"Thumbnails" not in turned
    assert b'exif:PixelXDimension="3000" exif:PixelYDimension="4000"' in turned
    assert b"<tiff:ImageWidth>3000</tiff:ImageWidth><tiff:ImageLength>4000</tiff:" in turned
    upside_down = turned_xmp(xmp, 3)
    assert b'exif:PixelXDimension="4000"' in upside_down
    assert b'tiff:Orientation="1"' in upside_down
