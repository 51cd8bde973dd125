"""What becomes of a video's sound when it is coded: copied, converted to Opus, or left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from bsqcodec.targets import parse_bitrate

AUDIO_FORMS: Final = "copy, opus, opus:64k or none"

_OPUS_BITS: Final = (6_000, 510_000)
"""Bits a second that Opus has for a track."""


@dataclass(frozen=True)
class AudioChoice:
    """kind: "copy", "opus" or "none".

    bitrate: of an Opus track, in bits a second, None for its default.
    """

    kind: str = "copy"
    bitrate: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """The choice that a text stands for: one of AUDIO_FORMS. Raises ValueError."""
        kind, colon, rate = text.partition(":")
        if kind not in ("copy", "opus", "none") or (colon and kind != "opus"):
            raise ValueError(f"audio {text!r} is not {AUDIO_FORMS}")
        if not colon:
            return cls(kind)
        bits = round(parse_bitrate(rate))
        if not _OPUS_BITS[0] <= bits <= _OPUS_BITS[1]:
            raise ValueError(f"Opus takes 6k to 510k bits a second, not {rate}")
        return cls(kind, bits)

    def converts(self, codec: str) -> bool:
        """Whether a track of a codec is converted; Opus of any rate is good without one given."""
        return self.kind == "opus" and (codec != "opus" or self.bitrate is not None)


COPY: Final = AudioChoice()
