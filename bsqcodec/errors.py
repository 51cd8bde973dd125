"""The exceptions of bsqcodec: one family, so that one `except BsqError` catches them all."""


class BsqError(Exception):
    """Something the caller can act on; its text is one line that says what is wrong."""


class MediaError(BsqError):
    """The input picture cannot be read, or is of a kind that is not supported."""


class UnknownKindError(MediaError):
    """A file is neither a picture nor a video of a kind that is known."""


class AnimationError(MediaError):
    """A still picture was wanted, and the file holds an animation."""


class DamagedVideoError(MediaError):
    """A video is damaged or breaks off on the way; `frames` were delivered before that."""

    def __init__(self, message: str, frames: int) -> None:
        super().__init__(message)
        self.frames = frames

    def __reduce__(self) -> tuple[type["DamagedVideoError"], tuple[str, int]]:
        """An exception is pickled by its `args`, which lack the frames."""
        return type(self), (str(self), self.frames)


class OutputError(BsqError):
    """The output's format or codec cannot hold what it was asked to hold."""


class FormatError(BsqError):
    """The data is not a .bsq file, or breaks the rules of docs/BITSTREAM.md."""


class NotCodedError(FormatError):
    """The data is not a .bsq file at all."""


class TruncatedError(FormatError):
    """The data ends too early; the text names how many bytes are missing, where that is known."""


class ChecksumError(FormatError):
    """A checksum differs from the data it covers: the file is damaged."""


class UnsupportedVersionError(FormatError):
    """The file is sound but needs a newer bsqcodec."""


class MachineError(BsqError):
    """The machine, or a setting that is about it, does not allow what was asked for."""


class ClusterError(BsqError):
    """A scheduler of workers is not there, or its workers cannot do what was asked of them."""


class WeightsError(BsqError):
    """The weights that a file needs are missing or wrong; the text names their id."""


class LimitError(BsqError):
    """A size is over a limit, such as `max_pixels`, that protects the reader."""


class PixelLimitError(LimitError):
    """A picture or a frame has more pixels than `max_pixels`."""


class MemoryLimitError(LimitError):
    """Decoding may take more memory than `max_memory` allows."""


class TargetError(BsqError):
    """The rate or distortion that was asked for cannot be reached."""


class VerifyError(BsqError):
    """Decoding our own output gave something else than what was encoded."""


class OutputExistsError(BsqError):
    """The output file is there already and overwriting was not asked for."""


class CropError(BsqError):
    """The rectangle asked for is not inside the picture; the text names the picture's size."""


class SeekError(BsqError):
    """The place asked for is not in the video, or its source can only be read from the start."""
