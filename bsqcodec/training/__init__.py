"""Training of all networks; needs only torch, numpy, Pillow, safetensors and filelock."""

import time

STARTED = time.monotonic()
"""When this process began, nearly: the package is imported before torch is."""
