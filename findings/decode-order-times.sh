#!/usr/bin/env bash
# AVI stores no times of showing. PyAV gives `packet.pts` and `frame.pts` all the same: for H.264 with
# B frames they count packets in the order of decoding, so that frames, which come in the order of
# showing, have times such as 1, 4, 3, 5, 2. Nothing marks them as guesses (mpeg4 in the same container
# has right ones). `frame.dts`, the time of the packet that made the decoder give the frame, is even, and
# None for the last frames.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install -q av==18.1.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys

import av
import numpy as np

print("PyAV", av.__version__, "libavformat", av.library_versions["libavformat"])


def times(codec, options):
    file = io.BytesIO()
    with av.open(file, "w", format="avi") as output:
        stream = output.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(12):
            frame = av.VideoFrame.from_ndarray(
                np.full((72, 64), 20 * index, np.uint8), format="yuv420p"
            )
            frame.pts = index
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    with av.open(io.BytesIO(file.getvalue())) as container:
        frames = list(container.decode(video=0))
    return [frame.pts for frame in frames], [frame.dts for frame in frames]


pts, dts = times("libx264", {"bf": "3", "x264-params": "b-adapt=0:b-pyramid=1"})
other, _ = times("mpeg4", {"bf": "2"})
print("libx264 pts:", pts)
print("libx264 dts:", dts)
print("mpeg4 pts:  ", other)
known = [time for time in dts if time is not None]
same = (
    pts != sorted(pts)
    and known == list(range(known[0], known[0] + len(known)))
    and dts[-1] is None
    and other == sorted(other)
)
print("as found" if same else "CHANGED")
sys.exit(0 if same else 1)
PYTHON
