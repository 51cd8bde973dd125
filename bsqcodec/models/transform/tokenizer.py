"""The tokenizer of the transform family: a linear transform and ViT networks that correct it.

    pixels [B, 3, H, W] 0..255
      |-- 16x16 transform (conv, stride 16) --> y -- z = y * gain / step --(+)--> z [B, h, w, C]
      `-- unshuffle 4 -> convs 1/4 -> unshuffle 4 -> ViT blocks -> linear --'
    n = round(z): integers, whose balanced ternary digits are coded plane by plane
    y_hat = n * step / gain                 (both inside a companding of tokens, if configured)
      |-- inverse transform ------------------------------------------------------(+)--> pixels
      `-- linear -> ViT blocks -> linear -> shuffle 4 -> convs 1/4 -> shuffle 4 ---'

The transform starts as the Karhunen-Loeve transform of the training pictures and is trained with
the rest. The step follows from the quality; networks and gains take its logarithm, so that one
set of weights serves every rate.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bsqcodec.models.config_checks import check_counts
from bsqcodec.models.pieces import Tile, by_rows
from bsqcodec.models.transform.blocks import Block, ResidualConv, run_blocks, shuffle, unshuffle
from bsqcodec.models.transform.quantizer import quantize_beyond
from bsqcodec.models.windows import WINDOW

STEPS = 256
"""Number of quantizer steps; step index s means a step of 2 * 2^(s / 32) pixel units."""


MARGIN = 2
"""Rows of tokens around a strip of a picture that the convolutions may look at."""


GAIN_CAP = 9.0
"""Channels that vary more than this, relative to the reference channel, get no finer integers."""


def step_size(index: Tensor | float) -> Any:
    """Quantizer step in units of pixel values (orthonormal transform) for an index 0 .. 255."""
    return 2.0 * 2.0 ** (index / 32.0)


@dataclass(frozen=True)
class TokenizerConfig:
    """Shape of a tokenizer; saved with its weights. No encoder blocks: the transform alone.

    companding: see `Tokenizer.step_scale`; 0 for none, below 1.
    """

    patch: int = 16
    channels: int = 256
    width: int = 256
    heads: int = 4
    encoder_blocks: int = 2
    decoder_blocks: int = 4
    conv_channels: int = 64
    encoder_convs: int = 1
    decoder_convs: int = 3
    knots: int = 9
    companding: float = 0.0

    def __post_init__(self) -> None:
        check_counts(self)
        if not 0 <= self.companding < 1:
            raise ValueError(f"companding of {self.companding:g} cannot be undone")
        if 2 + 2 * max(self.encoder_convs, self.decoder_convs) > MARGIN * self.patch // 4:
            raise ValueError("the convolutions look beyond the margin of a strip")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


LATENT_LIMIT = 4.0
"""Largest integers that the encoder's network tells apart."""

COMPANDED_FROM = 3
"""Companding leaves the first channels alone, the means of tokens and their broadest slopes."""

FLAT, BUSY = 10.0, 20.0
"""Deviations inside a token: about where companding begins, and where it changes nothing."""


class StepTable(nn.Module):
    """A learned vector that varies piecewise linearly with the step index."""

    def __init__(self, knots: int, width: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(knots, width))

    def forward(self, step: Tensor) -> Tensor:
        """step [B] (index, may be fractional) -> [B, width]."""
        last = self.table.shape[0] - 1
        position = (step.float() * (last / (STEPS - 1))).clamp(0, last)
        low = position.floor().clamp(max=last - 1)
        weight = (position - low)[:, None]
        low = low.long()
        return self.table[low] * (1 - weight) + self.table[low + 1] * weight


class Encoder(nn.Module):
    """Pixels to z [B, h, w, C]: a transform, in pixel units,
    and a network that corrects integers."""

    def __init__(self, c: TokenizerConfig) -> None:
        super().__init__()
        self.unit = c.patch // 4
        self.transform = nn.Linear(3 * c.patch**2, c.channels, bias=False)
        self.linear = c.encoder_blocks == 0
        if self.linear:
            return
        self.stem = nn.Conv2d(48, c.conv_channels, 3, padding=1)
        self.convs = nn.Sequential(*[ResidualConv(c.conv_channels) for _ in range(c.encoder_convs)])
        self.embed = nn.Linear(c.conv_channels * (c.patch // 4) ** 2 + c.channels, c.width)
        self.step = StepTable(c.knots, c.width)
        self.blocks = nn.Sequential(*[Block(c.width, c.heads) for _ in range(c.encoder_blocks)])
        self.norm = nn.LayerNorm(c.width)
        self.out = nn.Linear(c.width, c.channels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def local(self, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
        """The part before attention: (transform [B, h, w, C], embedded maps [B, h, w, width]).

        It looks no further than one token beyond each token. A linear encoder has no maps.
        """
        x = pixels - 127.5
        with torch.autocast(x.device.type, enabled=False):  # bf16 would add noise to the latents
            linear = self.transform(unshuffle(x, 4 * self.unit).permute(0, 2, 3, 1))
        if self.linear:
            return linear, None
        maps = unshuffle(self.convs(self.stem(unshuffle(x / 64.0, 4))), self.unit)
        weight = self.embed.weight[:, : maps.shape[1]]
        return linear, F.linear(maps.permute(0, 2, 3, 1), weight, self.embed.bias)

    def attend(self, z: Tensor, maps: Tensor | None, step: Tensor) -> Tensor:
        """The rest: z [B, h, w, C], to be rounded, from that of the transform alone.

        Corrections are in units of integers, since it is their rounding that they are about.
        """
        if maps is None:
            return z
        weight = self.embed.weight[:, -z.shape[-1] :]
        at_step = self.step(step)[:, None, None]

        def embedded(z: Tensor, maps: Tensor) -> Tensor:
            tokens = maps + F.linear(z.clamp(-LATENT_LIMIT, LATENT_LIMIT), weight)
            return tokens + at_step.to(tokens.dtype)

        def corrected(z: Tensor, tokens: Tensor) -> Tensor:
            return z + self.out(self.norm(tokens)).float()

        return by_rows(corrected, z, self.blocks(by_rows(embedded, z, maps)))


class Decoder(nn.Module):
    """Latents y_hat [B, h, w, C] to pixels [B, 3, H, W], neither rounded nor clipped."""

    def __init__(self, c: TokenizerConfig) -> None:
        super().__init__()
        self.transform = nn.Linear(c.channels, 3 * c.patch**2, bias=False)
        self.embed = nn.Linear(c.channels, c.width)
        self.step = StepTable(c.knots, c.width)
        self.blocks = nn.Sequential(*[Block(c.width, c.heads) for _ in range(c.decoder_blocks)])
        self.norm = nn.LayerNorm(c.width)
        self.unit = c.patch // 4
        self.expand = nn.Linear(c.width, c.conv_channels * self.unit**2)
        self.stem = nn.Conv2d(48, c.conv_channels, 3, padding=1)
        self.convs = nn.Sequential(*[ResidualConv(c.conv_channels) for _ in range(c.decoder_convs)])
        self.out = nn.Conv2d(c.conv_channels, 48, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def attend(
        self, latents: Tensor, step: Tensor, scale: Tensor, shown: Tile | None = None
    ) -> Tensor:
        """The part on tokens: [B, h, w, width]; shown: of this tile alone, see `run_blocks`."""
        at_step = self.step(step)[:, None, None]

        def embedded(latents: Tensor) -> Tensor:
            x = self.embed(latents / scale)
            return x + at_step.to(x.dtype)

        return by_rows(self.norm, run_blocks(self.blocks, by_rows(embedded, latents), shown))

    def local(self, latents: Tensor, tokens: Tensor, unit: Tensor) -> Tensor:
        """The rest, on maps at 1/4 of the resolution; looks at most 8 positions (2 tokens) far.

        Maps and corrections are in units of the quantizer step, since the errors to correct are:
        unit [B, 1, 1, 1] or [B, 1, H/4, W/4].
        """
        with torch.autocast(latents.device.type, enabled=False):
            linear = self.transform(latents).permute(0, 3, 1, 2)
        linear = unshuffle(shuffle(linear, 4 * self.unit), 4)
        features = shuffle(self.expand(tokens).permute(0, 3, 1, 2), self.unit)
        maps = self.convs(self.stem(linear / (8.0 + unit / 2)) + features)
        correction = self.out(F.relu(maps)).float() * (unit / 8)
        return shuffle(linear + correction, 4) + 127.5

    def forward(self, latents: Tensor, step: Tensor, scale: Tensor, unit: Tensor) -> Tensor:
        return self.local(latents, self.attend(latents, step, scale), unit)


class Tokenizer(nn.Module):
    """Encoder, quantizer and decoder. H and W are multiples of 128 (whole windows)."""

    scale: Tensor

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.log_gain = StepTable(config.knots, config.channels)
        self.register_buffer("scale", torch.ones(config.channels))

    @property
    def window_pixels(self) -> int:
        return WINDOW * self.config.patch

    def units(self, step: Tensor) -> Tensor:
        """Size of one integer of each channel in pixel units, [B, 1, 1, C], for steps [B]."""
        return (step_size(step.float())[:, None] * torch.exp(-self.log_gain(step)))[:, None, None]

    def encode(self, pixels: Tensor, step: Tensor) -> Tensor:
        """pixels [B, 3, H, W] 0..255, step [B] -> z [B, h, w, C], to be rounded to integers."""
        linear, maps = self.encoder.local(pixels)
        return self.encoder.attend(self.compand(linear, step), maps, step)

    def compand(self, y: Tensor, step: Tensor) -> Tensor:
        """Latents y [B, h, w, C] in pixel units -> z."""
        if self.config.companding:
            y = self.scaled(y, 1 / self.step_scale(self.energy_of(y)))
        return y / self.units(step)

    def decode(self, n: Tensor, step: Tensor) -> Tensor:
        """Integers n [B, h, w, C] -> pixels [B, 3, H, W] (float, not clipped)."""
        latents, unit = self.dequantize(n, step)
        return self.decoder(latents, step, self.scale, unit)

    def dequantize(
        self, n: Tensor, step: Tensor, apparent: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """(latents [B, h, w, C], unit of the decoder's maps) of integers n.

        apparent: the step that the unit is made of, if not the one that n was quantized with.
        """
        u = n * self.units(step)
        size = step_size((step if apparent is None else apparent).float())[:, None, None, None]
        if not self.config.companding:
            return u, size
        step_scale = self.step_scale(self.expanded_energy(self.energy_of(u)))
        smooth = F.interpolate(
            step_scale.permute(0, 3, 1, 2), scale_factor=self.config.patch // 4, mode="bilinear"
        )
        return self.scaled(u, step_scale), size * smooth

    def step_scale(self, energy: Tensor) -> Tensor:
        """What companding divides the channels of a token by, given their energy a sample.

        A power of it: a busy token gets a larger step, since structural similarity divides errors
        by the local variance. The decoder knows it from the integers, by `expanded_energy`.
        """
        return ((energy + FLAT**2) / BUSY**2) ** (self.config.companding / 2)

    def expanded_energy(self, companded: Tensor) -> Tensor:
        """The energy of which `companded` is left after companding; by Newton's method."""
        wanted = torch.log(companded.clamp_min(1e-12))
        log_energy = wanted
        for _ in range(8):
            energy = torch.exp(log_energy)
            found = log_energy - 2 * torch.log(self.step_scale(energy))
            slope = 1 - self.config.companding * energy / (energy + FLAT**2)
            log_energy = log_energy - (found - wanted) / slope
        return torch.exp(log_energy)

    def energy_of(self, y: Tensor) -> Tensor:
        """Energy [B, h, w, 1] of the companded channels, for each sample of a token."""
        return y[..., COMPANDED_FROM:].square().sum(-1, keepdim=True) / (3 * self.config.patch**2)

    def scaled(self, y: Tensor, factor: Tensor) -> Tensor:
        """y with the companded channels times a factor [B, h, w, 1]."""
        return torch.cat([y[..., :COMPANDED_FROM], y[..., COMPANDED_FROM:] * factor], dim=-1)

    def forward(self, pixels: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        """(z, reconstruction from the nearest integers), with straight-through gradients."""
        z = self.encode(pixels, step)
        return z, self.decode(quantize_beyond(z, 0.5), step)

    @torch.no_grad()
    def set_transform(self, basis: Tensor, scale: Tensor) -> None:
        """Start from an orthonormal transform: basis [C, 3 * patch^2], scale [C] (deviations)."""
        self.encoder.transform.weight.copy_(basis)
        self.decoder.transform.weight.copy_(basis.T)
        self.scale.copy_(scale)

    @torch.no_grad()
    def set_gains(self, exponent: float) -> None:
        """Finer integers for channels that vary more: gains in proportion to scale^exponent.

        Structural similarity divides errors by the variance at each scale, so that errors of low
        frequencies, few coefficients at coarse scales, weigh more in it than in the squared error.
        """
        reference = self.scale.sort(descending=True).values[len(self.scale) // 6]
        ratio = (self.scale / reference).clamp(max=GAIN_CAP)
        self.log_gain.table.copy_((exponent * torch.log(ratio)).expand_as(self.log_gain.table))
