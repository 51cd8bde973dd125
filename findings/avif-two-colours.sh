#!/usr/bin/env bash
# An AVIF names its colour twice: in the container (colr box, which counts, by ISO/IEC 23008-12) and
# in the AV1 sequence header. Where the two differ, PyAV's stream says what the container does, but
# the frames that are decoded from it say what the sequence header does: a picture in PQ looks like
# one in sRGB to code that asks the frame. Pillow tells of neither (no profile, nothing in `info`).
# One would expect that a frame's tags are those of its stream.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install -q av==18.1.0 pillow==13.0.0
"$folder/venv/bin/python" - <<'PYTHON'
import io
import struct
import sys

import av
import PIL
from PIL import Image

print("PyAV", av.__version__, "Pillow", PIL.__version__)
file = io.BytesIO()
Image.linear_gradient("L").convert("RGB").save(file, "AVIF")
data = bytearray(file.getvalue())
at = data.index(b"nclx") + 4
data[at : at + 4] = struct.pack(">2H", 9, 16)  # BT.2020, PQ
with av.open(io.BytesIO(bytes(data))) as container:
    context = container.streams.video[0].codec_context
    stream = int(context.color_primaries), int(context.color_trc)
    frame = next(container.decode(video=0))
    decoded = int(frame.color_primaries), int(frame.color_trc)
info = dict(Image.open(io.BytesIO(bytes(data))).info)
print("the colr box says (9, 16), the stream", stream, "and the frame", decoded)
print("Pillow's info:", info)
same = stream == (9, 16) and decoded == (1, 13) and "icc_profile" not in info
print("as found" if same else "CHANGED")
sys.exit(0 if same else 1)
PYTHON
