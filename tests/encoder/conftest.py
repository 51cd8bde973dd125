"""Fixtures that tests of an encoder's work on videos share with those of whole videos."""

from ..video.conftest import threads, weights

__all__ = ["threads", "weights"]
