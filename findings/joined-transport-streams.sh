#!/usr/bin/env bash
# Two captures in one MPEG transport stream (`cat a.ts b.ts` is valid; so do recorders and spliced
# advertisements): the clock starts over. FFmpeg's command line carries times on, but its library does
# not. PyAV's packets and frames of the second part have the times of the first part again, and no flag
# says so, though the format's wrap at 33 bits is undone.
# A time that is just below 0, which FFmpeg's own muxer writes for sound with a delay, reads as one of
# 26 hours where the other track begins the file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install -q av==18.1.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys
from fractions import Fraction

import av
import numpy as np

print("PyAV", av.__version__, "libavformat", av.library_versions["libavformat"])


def capture(seconds):
    file = io.BytesIO()
    with av.open(file, "w", format="mpegts") as output:
        picture = output.add_stream("libx264", rate=25, options={"bf": "0"})
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        sound = output.add_stream("aac", rate=48000)
        sound.codec_context.layout = "stereo"
        for index in range(25 * seconds):
            frame = av.VideoFrame.from_ndarray(
                np.full((72, 64), index % 200, np.uint8), format="yuv420p"
            )
            frame.pts, frame.time_base = index, Fraction(1, 25)
            output.mux(picture.encode(frame))
        output.mux(picture.encode())
        for start in range(0, 48000 * seconds - 1023, 1024):
            frame = av.AudioFrame.from_ndarray(
                np.zeros((2, 1024), np.float32), format="fltp", layout="stereo"
            )
            frame.sample_rate, frame.pts = 48000, start
            frame.time_base = Fraction(1, 48000)
            output.mux(sound.encode(frame))
        output.mux(sound.encode())
    return file.getvalue()


with av.open(io.BytesIO(capture(2) * 2)) as container:
    times = [float(frame.time) for frame in container.decode(video=0)]
backwards = [round(b - a, 2) for a, b in zip(times, times[1:]) if b < a]
print(f"two copies of 2 s: {len(times)} frames from {times[0]:.2f} to {times[-1]:.2f} s")
print("steps back:", backwards)
with av.open(io.BytesIO(capture(17))) as container:
    first = next(p for p in container.demux() if p.stream.type == "audio")
print(f"first sound of a capture that begins at 0: {float(first.pts * first.time_base):.2f} s")
same = len(times) == 100 and times[-1] < 2.1 and len(backwards) == 1 and first.pts > 2**32
print("as found" if same else "CHANGED")
sys.exit(0 if same else 1)
PYTHON
