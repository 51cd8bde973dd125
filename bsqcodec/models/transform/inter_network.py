"""Frames predicted from the frame before: what is quantized, and the decoder that adds it.

    prediction p [B, 3, H, W]  (the frame before, motion-compensated)
    z = T(x - p) / unit         T: the transform of pictures, unit: of each token, from p
    z += correction(z, T(p))    what costs little and looks good; the decoder knows nothing of it
    n = round(z)                the tokens of the frame, coded by the inter prior
    x_hat = p + T^-1(n unit) + correction(p, n)

The correction has the shape of the decoder of pictures, of which it began as a copy, and also sees
what of the frame is change. Frames are predicted from decoded frames; nothing of this touches the
entropy coder, which sees integers only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bsqcodec.models.transform.blocks import Block, shuffle, unshuffle
from bsqcodec.models.transform.tokenizer import (
    LATENT_LIMIT,
    Decoder,
    StepTable,
    Tokenizer,
    TokenizerConfig,
    step_size,
)


class InterDecoder(Decoder):
    """The decoder of pictures with two more inputs: the change against the prediction."""

    def __init__(self, c: TokenizerConfig) -> None:
        super().__init__(c)
        del self.transform
        self.embed_change = nn.Linear(c.channels, c.width, bias=False)
        self.stem_change = nn.Conv2d(48, c.conv_channels, 3, padding=1, bias=False)
        nn.init.zeros_(self.embed_change.weight)
        nn.init.zeros_(self.stem_change.weight)

    def correct(
        self,
        latents: Tensor,
        change: Tensor,
        linear: Tensor,
        change_pixels: Tensor,
        step: Tensor,
        scale: Tensor,
        unit: Tensor,
    ) -> Tensor:
        """Correction [B, 3, H, W] of a sum `linear` [B, 3, H, W] of prediction and change.

        latents [B, h, w, C]: of the sum; change: of the change alone; unit [B, 1, H/4, W/4].
        """
        x = self.embed(latents / scale) + self.embed_change(change / scale)
        tokens = self.norm(self.blocks(x + self.step(step)[:, None, None].to(x.dtype)))
        features = shuffle(self.expand(tokens).permute(0, 3, 1, 2), self.unit)
        size = 8.0 + unit / 2
        maps = self.stem(unshuffle(linear - 127.5, 4) / size)
        maps = maps + self.stem_change(unshuffle(change_pixels, 4) / size)
        maps = self.convs(maps + features)
        return shuffle(self.out(F.relu(maps)).float() * (unit / 8), 4)


def blocks_in(names: Iterable[str], part: str) -> int:
    """Blocks of the "encoder" or "decoder" among names of the tensors of a `InterNetwork`."""
    return len({name.split(".")[2] for name in names if name.startswith(f"{part}.blocks.")})


class InterEncoder(nn.Module):
    """Corrects z [B, h, w, C] of an inter frame, before it is rounded."""

    def __init__(self, c: TokenizerConfig, blocks: int) -> None:
        super().__init__()
        self.embed = nn.Linear(2 * c.channels, c.width)
        self.step = StepTable(c.knots, c.width)
        self.blocks = nn.Sequential(*[Block(c.width, c.heads) for _ in range(blocks)])
        self.norm = nn.LayerNorm(c.width)
        self.out = nn.Linear(c.width, c.channels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, z: Tensor, predicted: Tensor, step: Tensor) -> Tensor:
        """z and the prediction's latents, both in units of integers; step [B] -> z."""
        x = self.embed(torch.cat([z, predicted], dim=-1).clamp(-LATENT_LIMIT, LATENT_LIMIT))
        x = self.blocks(x + self.step(step)[:, None, None].to(x.dtype))
        return z + self.out(self.norm(x)).float()


class InterNetwork(nn.Module):
    """Quantization and reconstruction of inter frames, on top of a tokenizer of pictures.

    encoder_blocks: of the encoder's network; 0 for the transform alone. decoder_blocks: of the
    decoder; by default as many as the tokenizer's has, with which it begins.
    """

    encoder: InterEncoder | None

    def __init__(
        self, tokenizer: Tokenizer, encoder_blocks: int = 0, decoder_blocks: int | None = None
    ) -> None:
        super().__init__()
        config = tokenizer.config
        if decoder_blocks is not None:
            config = replace(config, decoder_blocks=decoder_blocks)
        self.config = config
        self.encoder = InterEncoder(config, encoder_blocks) if encoder_blocks else None
        self.decoder = InterDecoder(config)
        self.decoder.load_state_dict(tokenizer.decoder.state_dict(), strict=False)
        self.tokenizer = [tokenizer]  # no submodule: it is not trained, and saved elsewhere

    @property
    def dtype(self) -> torch.dtype:
        """The type of the networks' layers, in which they are to run."""
        return self.decoder.embed.weight.dtype

    @property
    def basis(self) -> Tensor:
        """The transform's rows [C, 3 patch^2], orthonormal."""
        return self.tokenizer[0].encoder.transform.weight

    def latents(self, pixels: Tensor) -> Tensor:
        """T of pixels [B, 3, H, W], without an offset: [B, h, w, C]."""
        patch = self.tokenizer[0].config.patch
        with torch.autocast(pixels.device.type, enabled=False):
            return F.linear(unshuffle(pixels, patch).permute(0, 2, 3, 1), self.basis)

    def pixels(self, latents: Tensor) -> Tensor:
        """The inverse of `latents`."""
        patch = self.tokenizer[0].config.patch
        with torch.autocast(latents.device.type, enabled=False):
            y = F.linear(latents, self.basis.t()).permute(0, 3, 1, 2)
            return shuffle(y, patch)

    def units(self, predicted: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        """Sizes of an integer [B, h, w, C], and unit of the decoder's maps [B, 1, H/4, W/4].

        predicted: the prediction's latents.
        """
        tokenizer = self.tokenizer[0]
        units = tokenizer.units(step)
        size = step_size(step.float())[:, None, None, None]
        step_scale = tokenizer.step_scale(tokenizer.energy_of(predicted))
        smooth = F.interpolate(
            step_scale.permute(0, 3, 1, 2),
            scale_factor=tokenizer.config.patch // 4,
            mode="bilinear",
        )
        return tokenizer.scaled(units.expand_as(predicted), step_scale), size * smooth

    def encode(self, pixels: Tensor, prediction: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        """(z [B, h, w, C], the prediction's latents) of pixels and prediction [B, 3, H, W]."""
        predicted = self.latents(prediction - 127.5)
        units, _ = self.units(predicted, step)
        z = self.latents(pixels - prediction) / units
        if self.encoder is not None:
            z = self.encoder(z, predicted / units, step)
        return z, predicted

    def reconstruct(self, prediction: Tensor, predicted: Tensor, n: Tensor, step: Tensor) -> Tensor:
        """Frames [B, 3, H, W] (not clipped) of integers n [B, h, w, C]."""
        units, unit = self.units(predicted, step)
        change = n * units
        change_pixels = self.pixels(change)
        linear = prediction + change_pixels
        correction = self.decoder.correct(
            predicted + change,
            change,
            linear,
            change_pixels,
            step,
            self.tokenizer[0].scale,
            unit,
        )
        return linear + correction
