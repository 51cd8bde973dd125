#!/usr/bin/env bash
# FFmpeg's encoder of animated WebP (libwebp_anim) takes no notice of how long the last frame is
# shown, neither as the frame's duration nor as the packet's: it becomes the mean of all others. The
# GIF muxer beside it goes by the duration of the last packet (which its encoder leaves at 0).
# One would expect both to end when the last frame's duration says.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install -q av==18.1.0 pillow==13.0.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys
from fractions import Fraction

import av
import numpy as np
from PIL import Image

print("PyAV", av.__version__)


def durations(format, codec, pix_fmt, base, sets_packet):
    """In ms, of frames at 0, .1 and .3 s, the last of which is to be shown for 3 s."""
    output = io.BytesIO()
    unit = base.denominator // 100
    with av.open(output, "w", format=format, options={"loop": "0"}) as container:
        stream = container.add_stream(codec, rate=10, width=16, height=16, time_base=base)
        stream.time_base, stream.codec_context.pix_fmt = base, pix_fmt
        packets = []
        for index, (time, length) in enumerate(((0, 10), (10, 20), (30, 300))):
            samples = np.full((16, 16, 3), 80 * index, np.uint8)
            frame = av.VideoFrame.from_ndarray(samples, format="rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base, frame.duration = time * unit, base, length * unit
            packets += stream.encode(frame)
        packets += stream.encode()
        for packet in packets:
            if sets_packet and packet is packets[-1]:
                packet.duration = 300 * unit
            container.mux(packet)
    with Image.open(io.BytesIO(output.getvalue())) as image:
        found = []
        for index in range(image.n_frames):
            image.seek(index)
            image.load()
            found.append(int(image.info["duration"]))
    return found


same = True
for name, arguments, right, as_found in (
    ("webp, the frame's duration", ("webp", "libwebp_anim", "bgra", Fraction(1, 1000), False), 3000, 150),
    ("webp, the packet's too", ("webp", "libwebp_anim", "bgra", Fraction(1, 1000), True), 3000, 150),
    ("gif, the frame's duration", ("gif", "gif", "rgb8", Fraction(1, 100), False), 3000, 100),
    ("gif, the packet's too", ("gif", "gif", "rgb8", Fraction(1, 100), True), 3000, 3000),
):
    seen = durations(*arguments)
    print(f"{name}: {seen} ms, right is {[100, 200, right]}")
    same &= seen[:2] == [100, 200] and seen[-1] == as_found
print("as found" if same else "CHANGED")
sys.exit(0 if same else 1)
PYTHON
