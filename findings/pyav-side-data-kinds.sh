#!/usr/bin/env bash
# PyAV 18.1.0 lists a frame's side data by an enumeration of the kinds that it knows. Where FFmpeg gives
# one that is newer, `frame.side_data` raises ValueError, and nothing of it can be had, not even the display
# matrix. It needs nothing rare: FFmpeg 8 gives EXIF of JPEG frames so, as old cameras write them in AVI.
# `frame.rotation` works all the same.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install -q av==18.1.0 pillow==13.0.0
"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys
from fractions import Fraction

import av
from PIL import Image

print("PyAV", av.__version__, "libavcodec", av.library_versions["libavcodec"])
exif = Image.Exif()
exif[0x0112] = 6  # turned by 90 degrees
picture = io.BytesIO()
Image.new("RGB", (64, 48), (200, 30, 30)).save(picture, "JPEG", exif=exif)
file = io.BytesIO()
with av.open(file, "w", format="avi") as output:
    stream = output.add_stream("mjpeg", rate=25)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
    output.start_encoding()
    packet = av.Packet(picture.getvalue())
    packet.pts = packet.dts = 0
    packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 25), stream, True
    output.mux(packet)
with av.open(io.BytesIO(file.getvalue())) as container:
    frame = next(container.decode(video=0))
try:
    seen = f"{len(list(frame.side_data))} kinds"
except ValueError as error:
    seen = f"ValueError: {error}"
print("side data:", seen)
print("rotation:", frame.rotation)
same = seen.startswith("ValueError") and frame.rotation == -90
print("as found" if same else "CHANGED")
sys.exit(0 if same else 1)
PYTHON
