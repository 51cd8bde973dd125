"""The command line in a process of its own, with fake_codec.py in place of bsqcodec.image.codec."""

import os
import signal
import sys

import fake_codec  # type: ignore[import-not-found]

from bsqcodec.cli.main import main

sys.modules["bsqcodec.image.codec"] = fake_codec
if number := os.environ.get("SIGNAL_DURING_ENCODE"):
    fake_codec.Codec.during_encode = lambda: signal.raise_signal(int(number))
sys.exit(main())
