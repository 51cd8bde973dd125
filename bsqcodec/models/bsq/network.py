"""The BSQ-ViT tokenizer: pixels to one code of L bits for each patch, and back.

Source: Zhao, Xiong, Kraehenbuehl, "Image and Video Tokenization with Binary Spherical
Quantization", arXiv 2406.07548, section 4. Two things differ from the paper: attention is inside
windows of 8x8 tokens (a depthwise convolution in each block joins the windows), so that pictures
of any size pass; and both directions have a linear path beside the network, which a
Karhunen-Loeve transform can start.

    pixels -> patches -+-> embed -> ViT blocks -> norm -> project -+-> v -> sphere -> signs = code
                       +--------------- linear --------------------+
    code -+-> expand -> ViT blocks -> norm -> widen -> convolutions at half a patch -+-> pixels
          +------------------- linear over 3x3 tokens ------------------------------+
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor, nn

from bsqcodec.models.bsq.bit_order import MAX_EARLIER_FRAMES
from bsqcodec.models.bsq.earlier_frames import EarlierFrames
from bsqcodec.models.bsq.spherical_quantizer import binary_spherical_quantize
from bsqcodec.models.config_checks import check_counts
from bsqcodec.models.pieces import Tile
from bsqcodec.models.transform.blocks import Block, ResidualConv, run_blocks, shuffle, unshuffle
from bsqcodec.models.windows import WINDOW

PIXEL_UNIT = 64.0
"""Networks see pixel values in this unit, around the middle of their range."""

PIXEL_MIDDLE = 127.5

HEAD_WIDTH = 64
"""Dimensions of an attention head."""


@dataclass(frozen=True)
class BsqConfig:
    """Shape of a BSQ tokenizer; saved with its weights.

    patch: side of a token in pixels. bits: length L of a code. width: dimensions of a token in
    the ViT. fine_width, fine_convs: channels and number of the residual convolutions that end the
    decoder, at half a patch. depths: numbers of first bits to which codes can be cut, so that each
    is a code of its own, ascending to `bits`; by default the whole alone. earlier_frames: how many
    frames of a video before a frame add to its picture, by `earlier_convs` residual convolutions
    of fine_width channels; 0 for each frame as a picture.
    """

    patch: int = 8
    bits: int = 18
    width: int = 256
    encoder_blocks: int = 4
    decoder_blocks: int = 7
    fine_width: int = 64
    fine_convs: int = 2
    depths: tuple[int, ...] = ()
    earlier_frames: int = 0
    earlier_convs: int = 0

    def __post_init__(self) -> None:
        check_counts(self)
        depths = tuple(self.depths) or (self.bits,)  # JSON has lists
        object.__setattr__(self, "depths", depths)
        if any(type(depth) is not int for depth in depths) or depths[0] < 1:
            raise ValueError(f"{depths!r:.40} are no numbers of bits")
        if depths[-1] != self.bits or list(depths) != sorted(set(depths)):
            raise ValueError(f"depths {depths!r:.40} do not rise to {self.bits} bits")
        if self.patch % 2:
            raise ValueError(f"a patch of {self.patch} pixels has no half")
        if self.earlier_frames > MAX_EARLIER_FRAMES:
            raise ValueError(
                f"{self.earlier_frames} earlier frames are more than {MAX_EARLIER_FRAMES}"
            )
        if self.width % HEAD_WIDTH:
            raise ValueError(f"a width of {self.width} is no multiple of {HEAD_WIDTH}")

    @property
    def patch_values(self) -> int:
        """Numbers in a patch of RGB."""
        return 3 * self.patch**2

    @property
    def window(self) -> int:
        """Side of an attention window in pixels; pictures are padded to multiples of it."""
        return self.patch * WINDOW


def _blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*[Block(width, width // HEAD_WIDTH) for _ in range(count)])


class BsqEncoderNetwork(nn.Module):
    """Pixels [B, 3, H, W] in 0..255 to projections v [B, H / patch, W / patch, bits]."""

    def __init__(self, config: BsqConfig) -> None:
        super().__init__()
        self.patch = config.patch
        self.linear = nn.Linear(config.patch_values, config.bits, bias=False)
        self.embed = nn.Linear(config.patch_values, config.width)
        self.blocks = _blocks(config.width, config.encoder_blocks)
        self.norm = nn.LayerNorm(config.width)
        self.project = nn.Linear(config.width, config.bits)
        nn.init.normal_(self.project.weight, std=1e-3)
        nn.init.zeros_(self.project.bias)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.attend(*self.local(pixels))

    def local(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """(linear path [B, h, w, bits], embedded tokens [B, h, w, width]), patch by patch."""
        patches = unshuffle((pixels - PIXEL_MIDDLE) / PIXEL_UNIT, self.patch).permute(0, 2, 3, 1)
        return self.linear(patches), self.embed(patches)

    def attend(self, linear: Tensor, tokens: Tensor) -> Tensor:
        """The projections of whole windows of what `local` gives."""
        return (linear + self.project(self.norm(self.blocks(tokens)))).float()


class BsqDecoderNetwork(nn.Module):
    """Signs [B, h, w, bits] to pixels [B, 3, h * patch, w * patch], not clipped.

    A sign is +1 or -1, or 0 for a bit that is not known.
    """

    def __init__(self, config: BsqConfig) -> None:
        super().__init__()
        self.patch = config.patch
        fine = config.fine_width
        self.linear = nn.Conv2d(config.bits, config.patch_values, 3, padding=1)
        self.expand = nn.Linear(config.bits, config.width)
        self.blocks = _blocks(config.width, config.decoder_blocks)
        self.norm = nn.LayerNorm(config.width)
        self.widen = nn.Linear(config.width, 4 * fine)
        self.convs = nn.Sequential(*[ResidualConv(fine) for _ in range(config.fine_convs)])
        self.out = nn.Conv2d(fine, config.patch_values // 4, 3, padding=1)
        self.margin = config.fine_convs + 1  # two convolutions each, at half a patch, and `out`
        nn.init.normal_(self.out.weight, std=1e-3)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, signs: Tensor) -> Tensor:
        return self.local(signs, self.attend(signs))

    def attend(self, signs: Tensor, shown: Tile | None = None) -> Tensor:
        """Tokens [B, h, w, width] of the signs of whole windows.

        shown: of this tile alone, see `run_blocks`.
        """
        return run_blocks(self.blocks, self.expand(signs), shown)

    def local(self, signs: Tensor, tokens: Tensor) -> Tensor:
        """Pixels of signs and of what `attend` made of them.

        Those of the outermost `margin` tokens are not what a larger grid would give.
        """
        linear = self.linear(signs.permute(0, 3, 1, 2))
        fine = shuffle(self.widen(self.norm(tokens)).permute(0, 3, 1, 2), 2)
        fine = self.out(self.convs(fine))
        pixels = shuffle(linear, self.patch).float() + shuffle(fine, self.patch // 2).float()
        return pixels * PIXEL_UNIT + PIXEL_MIDDLE


class BsqTokenizer(nn.Module):
    """Pixels [B, 3, H, W] to codes [B, H / patch, W / patch, bits] and back.

    H and W are multiples of `config.window` (whole windows of tokens). `earlier`, if it is there,
    is what frames of a video add to the pictures of later ones.
    """

    def __init__(self, config: BsqConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = BsqEncoderNetwork(config)
        self.decoder = BsqDecoderNetwork(config)
        self.earlier: EarlierFrames | None = None
        if config.earlier_frames:
            self.earlier = EarlierFrames(
                config.earlier_frames, config.fine_width, config.earlier_convs
            )

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """(code, u): the code +-1 / sqrt(bits), straight-through, of pixels 0..255;
        u on the sphere."""
        return self.quantize(self.encoder(pixels))

    @staticmethod
    def quantize(v: Tensor) -> tuple[Tensor, Tensor]:
        """What `encode` returns, of projections v [..., bits]."""
        return binary_spherical_quantize(v)

    def decode(self, code: Tensor) -> Tensor:
        """Pixels, neither rounded nor clipped, of codes as `encode` gives them."""
        return self.decoder(code * math.sqrt(self.config.bits))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """(reconstruction, u)."""
        code, u = self.encode(pixels)
        return self.decode(code), u


def bits_of(code: Tensor) -> Tensor:
    """The bits [..., L] of codes on the sphere, bool: True for +1 / sqrt(L)."""
    return code >= 0
