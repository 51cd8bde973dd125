"""Export of a BSQ tokenizer in training: averaged weights in half precision, to go on from elsewhere."""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import asdict
from pathlib import Path

from safetensors.torch import save_file

from bsqcodec.training.bit_prior import bsq_tokenizer_of
from bsqcodec.training.checkpoints import note_of

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tokenizer", type=Path, required=True, help="run folder of training.bsq")
    parser.add_argument("--out", type=Path, required=True, help="file to write, .safetensors")


def main(args: argparse.Namespace) -> None:
    tokenizer = bsq_tokenizer_of(args.tokenizer)
    tensors = {f"tokenizer.{k}": v.half().contiguous() for k, v in tokenizer.state_dict().items()}
    configs = {"tokenizer": asdict(tokenizer.config)}
    notes = {"tokenizer_run": note_of(args.tokenizer, "tokenizer_run")}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, args.out, {"bsqcodec": json.dumps(configs), **notes})
    args.out.chmod(0o644)  # safetensors writes for its owner only
    log.info("wrote %s, %.1f MB", args.out, args.out.stat().st_size / 1e6)
