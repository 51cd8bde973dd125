"""What the anchors through PyAV have in common: the versions of FFmpeg and its libraries."""

import av


def versions() -> dict[str, str]:
    """PyAV and the FFmpeg inside it; its wheel pins x264, x265, SVT-AV1 and dav1d."""
    codec = ".".join(map(str, av.library_versions["libavcodec"]))
    return {
        "av": av.__version__,
        "ffmpeg": str(av.ffmpeg_version_info),
        "libavcodec": codec,
    }
