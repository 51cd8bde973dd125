#!/usr/bin/env bash
# pillow-jxl-plugin writes the Exif box of a JPEG XL file without the four bytes (offset of the TIFF
# structure) that such a box begins with (ISO/IEC 18181-2, as in HEIF). Readers that go by the
# standard take the first bytes of the TIFF structure for that offset and find no EXIF. The plugin
# itself reads both forms, so a round trip shows nothing. One would expect that a writer adds them.
# With four zero bytes in front of the EXIF data the file is as the standard wants it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install -q pillow==13.0.0 pillow-jxl-plugin==1.3.8
"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys
from importlib.metadata import version

import pillow_jxl  # noqa: F401
from PIL import Image

print("pillow-jxl-plugin", version("pillow-jxl-plugin"))
exif = Image.Exif()
exif[0x013B] = "somebody"
data = exif.tobytes().removeprefix(b"Exif\0\0")
same = True
for name, given, begins in (
    ("EXIF as Pillow gives it", exif.tobytes(), data[:4]),
    ("with four zero bytes in front", bytes(4) + data, bytes(4)),
):
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JXL", lossless=True, exif=given, use_container=True)
    written = file.getvalue()
    at = written.index(b"Exif") + 4
    file.seek(0)
    read = Image.open(file).getexif()[0x013B]
    print(f"{name}: the box begins with {written[at:at + 8]}, the plugin reads {read!r}")
    same &= written[at : at + 4] == begins and read == "somebody"
print("as found" if same else "CHANGED")
sys.exit(0 if same else 1)
PYTHON
