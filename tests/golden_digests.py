"""Prints what this process makes of the golden files, for tests of other processes and machines.

Usage: python golden_digests.py int8|float32. The output is a JSON object: for each file the SHA-256
of its integers and of the file that coding them gives, and for one picture that of its coding.
"""

from __future__ import annotations

import hashlib
import json
import sys

import torch
from golden_files import (  # type: ignore[import-not-found]
    FOLDER,
    cases,
    digest,
    integers,
    model_path,
    recode,
    scene,
)

from bsqcodec.format.image_container import unpack
from bsqcodec.image.codec import Codec
from bsqcodec.models import weight_files as weights_files


def main(int8: bool) -> None:
    weights = weights_files.load(model_path(), torch.device("cpu"), int8)
    found = {}
    for name in cases():
        container = unpack((FOLDER / f"{name}.bsq").read_bytes())
        values = integers(weights, container)
        again = recode(weights, values, container)
        found[name] = [digest(values), hashlib.sha256(again).hexdigest()]
    encoded = Codec(model_path(), device="cpu", int8=int8).encode(scene(60, 90))
    found["picture"] = [hashlib.sha256(encoded.data).hexdigest()]
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1] == "int8")
