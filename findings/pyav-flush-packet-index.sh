#!/usr/bin/env bash
# PyAV ends `demux` with an empty packet for each stream, which empties that stream's decoder. Its
# `stream_index` is 0 whatever the stream; only `packet.stream.index` is right. Code that sorts packets
# by `stream_index`, as it may for all other packets, never empties the decoder of a picture that is
# not stream 0, and loses the last frames of a video with B frames without any error.
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

print("PyAV", av.__version__)
file = io.BytesIO()
with av.open(file, "w", format="matroska") as output:
    sound = output.add_stream("pcm_s16le", rate=8000)
    sound.codec_context.layout = "mono"
    picture = output.add_stream("libx264", rate=25, options={"bf": "3"})
    picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
    silence = av.AudioFrame.from_ndarray(np.zeros((1, 3200), np.int16), format="s16", layout="mono")
    silence.sample_rate = 8000
    output.mux(sound.encode(silence))
    for index in range(10):
        frame = av.VideoFrame.from_ndarray(
            np.full((48, 64, 3), 20 * index, np.uint8), format="rgb24"
        )
        frame.pts = index
        output.mux(picture.encode(frame))
    output.mux(picture.encode())


def count(index_of):
    with av.open(io.BytesIO(file.getvalue())) as container:
        wanted = container.streams.video[0].index
        packets = (packet for packet in container.demux() if index_of(packet) == wanted)
        return sum(len(packet.decode()) for packet in packets)


with av.open(io.BytesIO(file.getvalue())) as container:
    ends = [(p.stream_index, p.stream.index) for p in container.demux() if not p.size]
by_index, by_stream = count(lambda p: p.stream_index), count(lambda p: p.stream.index)
print("(stream_index, stream.index) of the empty packets:", ends)
print(f"frames of 10: {by_index} by stream_index, {by_stream} by stream.index")
same = ends == [(0, 0), (0, 1)] and by_index < 10 == by_stream
print("as found" if same else "CHANGED")
sys.exit(0 if same else 1)
PYTHON
