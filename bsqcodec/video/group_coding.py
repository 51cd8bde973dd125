"""One coding of a group: what is asked of whoever codes it, and the loop over its frames.

Groups are coded by this process and its worker processes (`bsqcodec.video.local_coders`), or by the
workers of a cluster (`bsqcodec.video.cluster_coders`). `bsqcodec.video.encode_groups` asks for a
coding and does not know who does it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self, TypeAlias, TypeVar

from bsqcodec.encoder.rate_control import CodedGroup
from bsqcodec.media.video.video_files import VideoFrame
from bsqcodec.video.decoding_loop import Pixels
from bsqcodec.video.family_encoders import GroupCoder

Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class GroupFrame:
    """A frame of a group. number: in the video. following: the frame after it, if it is known."""

    number: int
    frame: VideoFrame
    following: Pixels | None = None


@dataclass(frozen=True)
class GroupCoding:
    """A coding that is asked for.

    frames: in order, each as soon as it is read. step: of the quantizer. dry: see `GroupEncoder`.
    detect_scene_change: end the group in front of a new scene; without it all frames belong to it.
    tell: takes the number of frames that are coded. is_cancelled: whether nobody needs it any more.
    """

    frames: Iterable[GroupFrame]
    step: int
    dry: bool
    detect_scene_change: bool
    tell: Callable[[int], None]
    is_cancelled: Callable[[], bool]


CodeGroup: TypeAlias = Callable[[GroupCoding], CodedGroup]
"""Does a coding."""


class GroupCoders(Protocol):
    """Those who code the groups of one video; a context at whose end they stop.

    most: how many groups may be coded at a time. max_bytes_ahead: bytes of frames up to which
    frames are read that the group in front does not need.
    """

    @property
    def most(self) -> int: ...

    @property
    def max_bytes_ahead(self) -> int: ...

    @property
    def notes(self) -> Sequence[str]: ...

    def expect_at_least(self, frames: int) -> None:
        """Expect so many frames of the video at least, since they have been read."""

    def submit(self, work: Callable[[CodeGroup], Result]) -> Future[Result]:
        """Have a group coded by whoever is free next.

        The work is called once more, with another coder, if the first is lost on the way.
        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def code_frames(coder: GroupCoder, coding: GroupCoding) -> CodedGroup:
    """Do a coding with an encoder that was just started."""
    for count, each in enumerate(coding.frames, 1):
        pixels, following = each.frame.pixels, each.following
        if not coder.add(pixels, coding.step, coding.detect_scene_change, following):
            break
        coding.tell(count)
        del each, pixels, following  # or they would stay in memory until the next is read
    return coder.finish()
