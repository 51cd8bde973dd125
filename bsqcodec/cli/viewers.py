"""Programs of this machine that show pictures and play videos."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bsqcodec.errors import MachineError


@dataclass(frozen=True)
class Viewer:
    """A program. words: its arguments, before the file's name. reads_pipe:
    it plays "-" as it comes.

    returns: it hands the file to another program and ends, so that the file has to stay.
    """

    program: str
    words: tuple[str, ...] = ()
    reads_pipe: bool = False
    returns: bool = False

    @property
    def is_here(self) -> bool:
        """Whether this machine has it."""
        return shutil.which(self.program) is not None

    def command(self, file: str) -> list[str]:
        """What to run for a file, or for "-"."""
        return [shutil.which(self.program) or self.program, *self.words, file]


_OPENERS: Final = (Viewer("open" if sys.platform == "darwin" else "xdg-open", returns=True),)
_PLAYERS: Final = (
    Viewer("ffplay", ("-autoexit", "-loglevel", "error"), reads_pipe=True),
    Viewer("mpv", ("--really-quiet",), reads_pipe=True),
    Viewer("vlc", ("--play-and-exit", "--quiet"), reads_pipe=True),
)
_SHOWERS: Final = tuple(
    Viewer(program) for program in ("eog", "gwenview", "feh", "imv", "nsxiv", "display")
)
PICTURE_VIEWERS: Final = (*_OPENERS, *_SHOWERS, Viewer("ffplay", ("-loglevel", "error")))
VIDEO_VIEWERS: Final = (*_PLAYERS, *_OPENERS)


def find_viewer(name: str | None, *, is_video: bool) -> Viewer:
    """The program of a name, or without one the first that is here.

    Raises MachineError, which says what to install or to do instead.
    """
    known = VIDEO_VIEWERS if is_video else PICTURE_VIEWERS
    if name is not None:
        found = next((viewer for viewer in known if viewer.program == name), Viewer(name))
        if not found.is_here:
            raise MachineError(f"there is no program {name} to show it with")
        return found
    for viewer in known:
        if viewer.is_here and not (viewer in _OPENERS and _has_no_screen()):
            return viewer
    if is_video:
        raise MachineError(
            "no program that plays videos is here; install FFmpeg with ffplay, mpv or VLC,"
            " or write a file: bsqcodec decode"
        )
    raise MachineError(
        "no program that shows pictures is here, or no screen; install xdg-utils, eog or feh,"
        " or write a file: bsqcodec decode"
    )


def _has_no_screen() -> bool:
    """Whether an opener has nowhere to show anything."""
    return sys.platform == "linux" and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )


def show_file(viewer: Viewer, path: Path) -> None:
    """Show a file, and wait until that is over. Raises MachineError where the program fails."""
    check_ended(viewer, subprocess.run(viewer.command(str(path)), check=False).returncode)


def check_ended(viewer: Viewer, status: int) -> None:
    """Raise MachineError for an exit status of a program that failed."""
    if status:
        raise MachineError(f"{viewer.program} ended with status {status}")
