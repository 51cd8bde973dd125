"""What the functions that code a file of a batch take and return, whatever its kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from bsqcodec.encoder.target_search import step_of_quality
from bsqcodec.options import MAX_EFFORT, DecodeOptions, EncodeOptions
from bsqcodec.targets import DEFAULT_TARGET, Quality, Target


@dataclass(frozen=True)
class Options:
    """How the files of a batch are coded. A kind of file takes what has a meaning for it.

    weights: a file, None for the default ones, of pictures and of videos; weights_sha256,
    video_weights_sha256: of those files, in hexadecimal, when encoding (workers check that theirs
    are the same); model, model_id: the family of the weights of pictures, and their identity where
    the file's name tells it; few_steps: see `family_and_steps`. formats: to decode to, one for each
    kind at most. first_frame: take that of animations which are to be pictures. threads: of the
    CPU, for one worker.
    """

    encoding: EncodeOptions = field(default_factory=EncodeOptions)
    decoding: DecodeOptions = field(default_factory=DecodeOptions)
    first_frame: bool = False
    formats: tuple[str, ...] = ()
    weights: str | None = None
    model: str = "transform"
    few_steps: tuple[int, ...] | None = None
    weights_sha256: str | None = None
    video_weights_sha256: str | None = None
    model_id: str | None = None
    device: str = "auto"
    threads: int | None = None

    @property
    def searched_step(self) -> int | None:
        """Step index of a picture that is searched for a quality; None with other aims or efforts.

        Once it was the step of other efforts, and the records of such files stay as they are.
        """
        if isinstance(self.target, Quality) and self.encoding.effort == MAX_EFFORT:
            return step_of_quality(self.target.value, optimised=True)
        return None

    @property
    def target(self) -> Target:
        """What an encoder aims at."""
        return self.encoding.target or DEFAULT_TARGET

    def value(self, name: str) -> object:
        """The value of a field of these options, or of those of encoding, by its name."""
        return getattr(self if hasattr(self, name) else self.encoding, name)


@dataclass(frozen=True)
class Summary:
    """What a coding function tells of a file it coded.

    pixels: of all frames together. bpp: bits of the .bsq file for each of them. psnr_db: None
    where it is not known, or infinite.
    """

    frames: int
    pixels: int
    bpp: float | None = None
    psnr_db: float | None = None
    notes: tuple[str, ...] = ()


Progress: TypeAlias = Callable[[float, float | None], None]
"""Takes the number of frames done (with fractions of one), and that of all frames, if known."""
