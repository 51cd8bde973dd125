"""Training of the tokenizer and the prior; needs only torch, numpy, Pillow and safetensors."""

import time

STARTED = time.monotonic()
"""When this process began, nearly: the package is imported before torch is."""
