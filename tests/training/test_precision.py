"""Trainers compute in the precision that suits the machine, each of them forced."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bsqcodec.machine.precision import ENVIRONMENT

from ..machine.dtypes import recorded_dtypes
from .commands import ONE_STEP, joint_arguments, log_of, prior_arguments, tokenizer_arguments


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_each_trainer_in_each_precision(
    folder: Path, train: Callable[..., None], monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    monkeypatch.setenv(ENVIRONMENT, dtype)
    validated = ("--validation", "held_out")
    for name, arguments in {
        "tokenizer": tokenizer_arguments(*validated),
        "prior": prior_arguments(*validated),
        "joint": joint_arguments(*ONE_STEP),
    }.items():
        with recorded_dtypes() as seen:
            train(*arguments)
        assert (torch.bfloat16 in seen) == (dtype == "bfloat16"), (name, seen[torch.bfloat16])
        assert log_of(folder / name)[-1]["loss"] > 0
