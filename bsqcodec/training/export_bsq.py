"""Export of trained weights of the BSQ family: averaged tokenizer and quantized prior of its bits.

Without a prior the tokenizer alone is written, as a start for other runs.
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import asdict
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from bsqcodec.models.bsq.bit_order import BitPriorConfig
from bsqcodec.models.bsq.network import BsqTokenizer
from bsqcodec.training.bit_prior import bit_prior_of, bsq_tokenizer_of
from bsqcodec.training.checkpoints import mean_of, note_of

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--tokenizer",
        type=Path,
        nargs="+",
        required=True,
        help="run folder of bsq, or exported file; of several, the mean of their weights",
    )
    add(
        "--prior",
        type=Path,
        help="run folder of bit-prior, or shipped weights; without it no weights to code with",
    )
    add("--out", type=Path, required=True, help="folder; without --prior a file, .safetensors")
    add("--default", action="store_true", help="make these the default weights of the family")


def main(args: argparse.Namespace) -> None:
    sources = args.tokenizer
    notes = {"tokenizer_run": "".join(note_of(source, "tokenizer_run") for source in sources)}
    tokenizer = mean_of([bsq_tokenizer_of(source) for source in sources], sources)
    if args.prior is None:
        path = export_tokenizer(tokenizer, args.out, notes)
    else:
        # here, not at the top: they need constriction, which a training machine may lack
        from bsqcodec.models.bsq.weight_files import save

        path = save(
            args.out,
            tokenizer,
            *integer_prior_of(args.prior),
            default=args.default,
            notes=notes | {"prior_run": note_of(args.prior, "prior_run")},
        )
    log.info("wrote %s, %.1f MB", path, path.stat().st_size / 1e6)


def integer_prior_of(source: Path) -> tuple[BitPriorConfig, dict[str, Tensor]]:
    """The shape and the integers of a prior: those of a shipped file as they are, or those that a
    run's folder comes to."""
    from bsqcodec.models import weight_store
    from bsqcodec.models.bsq import weight_files
    from bsqcodec.models.bsq.integer_bit_prior import quantize_bit_prior

    if source.is_file():
        file = weight_store.read(source, weight_files.KIND, weight_files.WHAT)
        return weight_files.configs_of(file)[1], file.part(weight_files.PRIOR)
    prior = bit_prior_of(source)
    return prior.config, quantize_bit_prior(prior)


def export_tokenizer(tokenizer: BsqTokenizer, out: Path, notes: dict[str, str]) -> Path:
    """Write a tokenizer alone, in half precision; returns the file."""
    tensors = {f"tokenizer.{k}": v.half().contiguous() for k, v in tokenizer.state_dict().items()}
    configs = {"tokenizer": asdict(tokenizer.config)}
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, out, {"bsqcodec": json.dumps(configs), **notes})
    out.chmod(0o644)  # safetensors writes for its owner only
    return out
