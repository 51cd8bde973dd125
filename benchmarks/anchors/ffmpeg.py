"""What the anchors through FFmpeg have in common: PyAV's, and the program of imageio-ffmpeg."""

import subprocess
from collections.abc import Iterable, Sequence
from fractions import Fraction

import av


def versions() -> dict[str, str]:
    """PyAV and the FFmpeg inside it; its wheel pins x264, x265, SVT-AV1 and dav1d."""
    codec = ".".join(map(str, av.library_versions["libavcodec"]))
    return {
        "av": av.__version__,
        "ffmpeg": str(av.ffmpeg_version_info),
        "libavcodec": codec,
    }


def program_versions() -> dict[str, str]:
    """imageio-ffmpeg, whose program encodes (VVenC, libaom), and PyAV, which decodes."""
    import imageio_ffmpeg

    program = imageio_ffmpeg.get_ffmpeg_version()
    return {"imageio-ffmpeg": imageio_ffmpeg.__version__, "program": program, **versions()}


def run(arguments: Sequence[str], frames: Iterable[bytes]) -> None:
    """Let imageio-ffmpeg's program read `frames` from its standard input.

    Raises RuntimeError with its last words if it fails.
    """
    import imageio_ffmpeg

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-v", "error", "-y", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        try:
            for frame in frames:
                process.stdin.write(frame)
        except BrokenPipeError:
            pass  # the program says why
        _, errors = process.communicate()
    if process.returncode:
        words = errors.decode(errors="replace").strip().splitlines() or ["no message"]
        raise RuntimeError(f"ffmpeg: exit {process.returncode}: {words[-1]}")


def raw_input(
    width: int, height: int, rate: Fraction, pixel_format: str, source: str = "-"
) -> list[str]:
    """The options by which the program reads bare frames, from its standard input or a file."""
    size = f"{width}x{height}"
    return ["-f", "rawvideo", "-pix_fmt", pixel_format, "-s", size, "-r", str(rate), "-i", source]
