#!/usr/bin/env bash
# A Matroska or MP4 file may ask for a crop (PixelCrop elements, clean aperture). FFmpeg reads it, and
# its command line and players apply it, but its decoders do not: PyAV gives whole frames, with the bars
# or the padding that nobody should see, and neither stream nor frame says that there is a crop. The
# only place where PyAV shows it is the text of `dumps_format()`, as left/right/top/bottom, and that text
# is empty until logging is switched on.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install -q av==18.1.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import io
import struct
import sys

import av
import av.logging
import numpy as np

print("PyAV", av.__version__)
file = io.BytesIO()
with av.open(file, "w", format="mp4") as output:
    stream = output.add_stream("libx264", rate=25, options={"bf": "0"})
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    for index in range(3):
        frame = av.VideoFrame.from_ndarray(np.full((72, 64), 90, np.uint8), format="yuv420p")
        frame.pts = index
        output.mux(stream.encode(frame))
    output.mux(stream.encode())

# a clean aperture of 56 x 32 in the middle, at the end of the sample entry (ISO/IEC 14496-12, 12.1.4)
data = bytearray(file.getvalue())
box = struct.pack(">I4s8I", 40, b"clap", 56, 1, 32, 1, 0, 1, 0, 1)
entry = data.index(b"avc1", data.index(b"stsd")) - 4
end = entry + struct.unpack_from(">I", data, entry)[0]
data[end:end] = box
for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"):
    at = data.index(name, data.index(b"moov")) - 4
    struct.pack_into(">I", data, at, struct.unpack_from(">I", data, at)[0] + len(box))

with av.open(io.BytesIO(bytes(data))) as container:
    silent = container.dumps_format()
    av.logging.set_level(av.logging.INFO)
    text = container.dumps_format()
    frame = next(container.decode(video=0))
    kinds = [side.type.name for side in frame.side_data]
line = next((line.strip() for line in text.splitlines() if "Cropping" in line), None)
print("frame:", (frame.width, frame.height), "side data:", kinds)
print("description without logging:", repr(silent))
print("description with logging:", line)
same = (
    (frame.width, frame.height) == (64, 48)
    and silent == ""
    and line == "Frame Cropping: 4/4/8/8"
    and not any("CROP" in kind for kind in kinds)
)
print("as found" if same else "CHANGED")
sys.exit(0 if same else 1)
PYTHON
