"""Export of trained weights: averaged tokenizer and quantized prior into one shippable file."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from bsqcodec.training.checkpoints import mean_tokenizer, note_of, prior_of

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tokenizer",
        type=Path,
        nargs="+",
        required=True,
        help="run folder or shipped weights; of several, the mean of their weights",
    )
    parser.add_argument("--prior", type=Path, required=True, help="run folder or shipped weights")
    parser.add_argument("--out", type=Path, default=Path("weights"))
    parser.add_argument("--default", action="store_true", help="make these the default weights")


def main(args: argparse.Namespace) -> None:
    # here, not at the top: they need constriction, which a training machine may lack
    from bsqcodec.models.prior.integer import quantize_prior
    from bsqcodec.models.weight_files import save

    prior = prior_of(args.prior)
    runs = {"tokenizer_run": args.tokenizer, "prior_run": [args.prior]}
    notes = {name: "".join(note_of(x, name) for x in sources) for name, sources in runs.items()}
    path = save(
        args.out,
        mean_tokenizer(args.tokenizer),
        prior.config,
        quantize_prior(prior),
        default=args.default,
        notes=notes,
    )
    log.info("wrote %s, %.1f MB", path, path.stat().st_size / 1e6)
