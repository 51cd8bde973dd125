#!/usr/bin/env bash
# Pillow reads three valid kinds of TIFF with more than 8 bits wrongly, without an error or warning:
# 1. 16-bit grey whose white is 0 comes in as a negative (8-bit grey of that kind comes in right);
# 2. uncompressed 16-bit RGB in separate planes: bytes of 16-bit samples are taken for 8-bit samples;
# 3. big-endian floats packed with deflate come with their bytes reversed.
# One would expect the right samples, as of the same pictures stored otherwise, or an error.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install -q pillow==13.0.0 tifffile==2026.3.3 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys

import numpy as np
import PIL
import tifffile
from PIL import Image

print("Pillow", PIL.__version__, "tifffile", tifffile.__version__)
same = True


def read(samples, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, samples, **options)
    file.seek(0)
    return np.asarray(Image.open(file))


def report(what, seen, right, as_expected):
    global same
    print(f"{what}: Pillow gives {seen}, right is {right}")
    same &= as_expected


white = np.array([[0, 255]], np.uint8)  # white, black
report("8 bits, white is 0", read(white, photometric="miniswhite").tolist(), [[255, 0]],
       read(white, photometric="miniswhite").tolist() == [[255, 0]])
wide = white.astype(np.uint16) * 257
seen = read(wide, photometric="miniswhite").tolist()
report("16 bits, white is 0", seen, [[65535, 0]], seen == [[0, 65535]])

planes = np.zeros((3, 2, 4), np.uint16)
planes[0], planes[1], planes[2] = 0x1122, 0x3344, 0x5566
for packing in (None, "zlib"):
    seen = read(planes, photometric="rgb", planarconfig="separate", compression=packing)[0, :2]
    wrong = [[0x22, 0x44, 0x66], [0x11, 0x33, 0x55]]
    right = [[0x11, 0x33, 0x55]] * 2
    report(f"16-bit RGB in planes, packing {packing}", seen.tolist(), right,
           seen.tolist() == (wrong if packing is None else right))

floats = np.array([[1.0, 2.0]], np.float32)
for order in "<>":
    seen = read(floats, byteorder=order, compression="zlib", photometric="minisblack").tolist()
    report(f"floats, byte order {order}, deflate", seen, [[1.0, 2.0]],
           (seen == [[1.0, 2.0]]) == (order == "<"))

print("as found" if same else "CHANGED")
sys.exit(0 if same else 1)
PYTHON
