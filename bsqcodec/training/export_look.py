"""Export of a trained decoder as a look: a further decoder for the integers of shipped weights."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import torch

from bsqcodec.options import LOOKS, OWN_LOOK
from bsqcodec.training.checkpoints import mean_tokenizer, note_of

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", type=Path, required=True, help="whose integers it decodes")
    parser.add_argument(
        "--tokenizer",
        type=Path,
        nargs="+",
        required=True,
        help="run folder or shipped weights; of several, the mean of their weights",
    )
    names = [name for name in LOOKS if name != OWN_LOOK]
    parser.add_argument("--look", choices=names, required=True)
    parser.add_argument("--out", type=Path, default=Path("weights"))


def main(args: argparse.Namespace) -> None:
    """Write the file. Raises ValueError for a tokenizer that makes other integers."""
    # here, not at the top: they need constriction, which a training machine may lack
    from bsqcodec.models.look_files import save
    from bsqcodec.models.weight_files import load

    weights = load(args.weights, torch.device("cpu"))
    tokenizer = mean_tokenizer(args.tokenizer)
    own = weights.tokenizer.state_dict()
    for name, tensor in tokenizer.state_dict().items():
        if not name.startswith("decoder.") and not torch.equal(tensor.half(), own[name].half()):
            raise ValueError(f"{args.tokenizer[0]} makes other integers than {args.weights}")
    notes = {"tokenizer_run": "".join(note_of(x, "tokenizer_run") for x in args.tokenizer)}
    path = save(args.out, weights.id, args.look, tokenizer, notes=notes)
    log.info("wrote %s, %.1f MB", path, path.stat().st_size / 1e6)
