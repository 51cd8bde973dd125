"""Trained weights to go on from: of a run's folder, or of a shipped safetensors file."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from safetensors import safe_open
from torch import Tensor

from bsqcodec.format.json_text import parse_json
from bsqcodec.models.prior.network import Prior
from bsqcodec.models.prior.order import PriorConfig, stage_kinds
from bsqcodec.models.transform.tokenizer import Tokenizer, TokenizerConfig
from bsqcodec.training.dequantized import dequantized_prior


def averaged(run: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """(model configuration, averaged weights) of a training run's folder."""
    state = torch.load(run / "checkpoint.pt", map_location="cpu", weights_only=True)
    config = parse_json((run / "config.json").read_text())["model"]
    return config, state["average"]


def bsq_state(source: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """(configuration, weights) of a BSQ tokenizer: of a run, averaged, or of an exported file."""
    if source.is_dir():
        return averaged(source)
    config, state = shipped(source, "tokenizer")
    return config, {f"tokenizer.{name}": tensor.float() for name, tensor in state.items()}


def part_of(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names have a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def trained_planes(run: Path) -> Tensor | None:
    """Digits of each channel in each bucket that a prior's run began with; None before it has."""
    path = run / "checkpoint.pt"
    if not path.exists():
        return None
    return torch.load(path, map_location="cpu", weights_only=True)["module"]["planes"]


def shipped(path: Path, part: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """(configuration, tensors) of a part of a shipped file: tokenizer or decoder, or prior.

    The configuration is empty if the part has none of its own.
    """
    with safe_open(path, "pt") as file:
        config = parse_json(file.metadata()["bsqcodec"]).get(part, {})
        names = [name for name in file.keys() if name.startswith(f"{part}.")]  # noqa: SIM118
        return config, {name.removeprefix(f"{part}."): file.get_tensor(name) for name in names}


def note_of(source: Path, name: str) -> str:
    """How a run was made: its configuration, or what a shipped file notes of it under this name."""
    if source.is_dir():
        return (source / "config.json").read_text()
    with safe_open(source, "pt") as file:
        return str(file.metadata().get(name, ""))


def tokenizer_of(source: Path) -> Tokenizer:
    """The tokenizer of a run of `training.tokenizer` or `joint` (averaged), or of a shipped file.

    An encoder whose networks have not begun to learn comes back as its transform alone.
    """
    if source.is_dir():
        config, state = averaged(source)
        state = part_of(state, "tokenizer.")
    else:
        config, state = shipped(source, "tokenizer")
    shape = TokenizerConfig(**config)
    state = {k: v.float() for k, v in state.items()}
    last = [state.get(f"encoder.out.{name}") for name in ("weight", "bias")]
    if not any(t is not None and bool(t.any()) for t in last):  # its networks add nothing
        shape = replace(shape, encoder_blocks=0)
    tokenizer = Tokenizer(shape)
    kept = tokenizer.state_dict()
    tokenizer.load_state_dict({k: v for k, v in state.items() if k in kept})
    return tokenizer.eval().requires_grad_(False)


def mean_tokenizer(sources: Sequence[Path]) -> Tokenizer:
    """The `mean_of` what `tokenizer_of` gives of each source."""
    return mean_of([tokenizer_of(source) for source in sources], sources)


class Shaped(Protocol):
    """A network with a configuration."""

    @property
    def config(self) -> object: ...
    def state_dict(self) -> dict[str, Tensor]: ...
    def load_state_dict(self, state: dict[str, Tensor]) -> object: ...


Network = TypeVar("Network", bound=Shaped)


def mean_of(networks: Sequence[Network], sources: Sequence[Path]) -> Network:
    """The first network, with the means of the weights of all of them.

    That is a good one where the sources' training began at the same trained weights. Raises
    ValueError if their shapes differ.
    """
    first, *others = networks
    for source, other in zip(sources[1:], others, strict=True):
        if other.config != first.config:
            raise ValueError(f"{source} has another shape than {sources[0]}: they have no mean")
    states = [network.state_dict() for network in networks]
    first.load_state_dict(
        {name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]}
    )
    return first


def prior_of(source: Path) -> Prior:
    """The float prior of a run of `training.prior` (averaged), or of a shipped file.

    A shipped prior has been rounded to integers; what it is turned back into is its float parent
    up to that rounding, good enough to go on from.
    """
    if source.is_dir():
        config, state = averaged(source)
        prior = Prior(PriorConfig(**config), state["planes"])
        prior.load_state_dict(state)
    else:
        config, tensors = shipped(source, "prior")
        prior = dequantized_prior(PriorConfig(**config), tensors)
    return prior.eval().requires_grad_(False)


@torch.no_grad()
def with_shape(prior: Prior, planes: Tensor, config: PriorConfig | None = None) -> Prior:
    """The prior for other numbers of digits [BUCKETS, C] or of another shape, to go on from.

    Stages keep what they learned, channel by channel; those of higher planes start as their highest
    known equal. Layers that the prior lacks, or has in another size, are new.
    """
    result = Prior(config or prior.config, planes)
    channels = prior.config.channels
    known = {kind: i for i, kind in enumerate(stage_kinds(prior.config, prior.top_plane))}

    def learned(plane: int, channel: int) -> int:
        """Index of the stage that had a channel of a plane, or of the highest plane there was."""
        plane = min(plane, prior.top_plane)
        ends = prior.config.ends(plane)
        return known[plane, bisect_right(ends, channel)]

    kinds = []  # of each new stage: the old stages of all channels
    for plane, band in stage_kinds(result.config, result.top_plane):
        ends = result.config.ends(plane)
        begin = ends[band - 1] if band else 0
        coded = range(begin, ends[band])
        kinds.append([learned(plane, i if i in coded else begin) for i in range(channels)])
    each = torch.tensor(kinds)
    first = each[:, 0]
    state = result.state_dict()
    for name, value in prior.state_dict().items():
        if name in ("embed_pass.weight", "stop_table.weight", "shared_table.weight"):
            value = value.view(len(known), -1)[first].view(-1, value.shape[1])
        elif name == "table.weight":
            own = value.view(len(known), channels, -1)
            value = own[each, torch.arange(channels)].view(-1, value.shape[1])
        if name != "planes" and name in state and state[name].shape == value.shape:
            state[name] = value
    result.load_state_dict(state)
    return result.to(prior.gain.device)
