"""Command lines of tiny training runs, and what they leave in their folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from bsqcodec.models.prior.order import PriorConfig

from ..tiny_models import PRIOR, TOKENIZER

BRIEF = ["--batch", "2", "--minutes", "0.005", "--threads", "1", "--no-compile"]

ONE_STEP = ["--minutes", "10", "--stop-after", "0"]
"""A step is made in any case; each further command makes another one."""


def small(config: Any) -> str:
    """A configuration as the command line takes it, without what it derives."""
    data = config.to_dict()
    if isinstance(config, PriorConfig):
        del data["channels"]
    return json.dumps(data)


def tokenizer_arguments(*more: str) -> list[str]:
    data = ["--data", "data", "--out", "tokenizer", "--cache", "cache"]
    return ["tokenizer", *data, "--config", small(TOKENIZER), "--crop", "128", *BRIEF, *more]


def prior_arguments(*more: str) -> list[str]:
    data = ["--data", "data", "--out", "prior", "--cache", "cache"]
    source = ["--tokenizer", "tokenizer", "--config", small(PRIOR), "--passes", "2"]
    return ["prior", *data, *source, "--crop", "128", *BRIEF, *more]


def joint_arguments(*more: str) -> list[str]:
    data = ["--data", "data", "--out", "joint", "--cache", "cache"]
    source = ["--init", "tokenizer", "--prior", "prior", "--config", '{"encoder_blocks": 1}']
    return ["joint", *data, *source, "--crop", "128", *BRIEF, *more]


def log_of(run: Path) -> list[dict[str, Any]]:
    lines = (run / "log.jsonl").read_text().splitlines()
    return [json.loads(line, parse_constant=pytest.fail) for line in lines]


def checkpoint(run: Path) -> dict[str, Any]:
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    assert isinstance(state, dict)
    return state


def moved(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    """Names of the tensors that differ between two checkpoints of a run."""
    return {k for k, v in after["module"].items() if not torch.equal(v, before["module"][k])}
