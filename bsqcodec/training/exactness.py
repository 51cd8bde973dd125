"""What exact arithmetic costs: bits of a float prior, its fake-quantized self, and the integer one.

The same integers of the same pictures are coded three times; only the prior's arithmetic differs.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
from pathlib import Path

import numpy as np
import torch

from bsqcodec.encoder.masking import TYPICAL_DEAD_ZONE
from bsqcodec.models.prior.order import bucket
from bsqcodec.models.transform.quantizer import quantize_beyond
from bsqcodec.models.transform.strips import encode_picture
from bsqcodec.training.checkpoints import prior_of, tokenizer_of
from bsqcodec.training.data import read_pictures
from bsqcodec.training.prior_passes import Passes, total_bits

log = logging.getLogger(__name__)

STEPS = (128, 160, 192, 224)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tokenizer", type=Path, required=True, help="run folder or weights")
    parser.add_argument("--prior", type=Path, required=True, help="folder of a prior run")
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=4)
    parser.add_argument("--out", type=Path, required=True, help="JSON file")


def main(args: argparse.Namespace) -> None:
    # here, not at the top: they need constriction, which a training machine may lack
    from bsqcodec.models.prior.integer import IntegerPrior, quantize_prior
    from bsqcodec.models.prior.walk import walk
    from bsqcodec.models.prior.walk_coders import EncodingCoder

    tokenizer, prior = tokenizer_of(args.tokenizer), prior_of(args.prior)
    exact = IntegerPrior(prior.config, quantize_prior(prior))
    passes = Passes(prior)
    rows = []
    for number, picture in enumerate(read_pictures(args.pictures)):
        if number == args.limit:
            break
        for step in STEPS:
            z = encode_picture(tokenizer, picture, step, torch.device("cpu"))
            limit = passes.limits[bucket(step)]
            n = quantize_beyond(z, TYPICAL_DEAD_ZONE).clamp(-limit, limit)
            flat = n.reshape(-1, n.shape[-1]).numpy()
            coder = EncodingCoder(flat, limit.numpy().astype(np.int32))
            walk(exact, step, np.ones(n.shape[:2], bool), coder)
            rows.append(
                {
                    "picture": number,
                    "step": step,
                    "float_bits": total_bits(prior, passes, n[None], step, False),
                    "fake_quantized_bits": total_bits(prior, passes, n[None], step, True),
                    "integer_bits": coder.ideal_bits,
                }
            )
    sums = {k: sum(r[k] for r in rows) for k in rows[0] if k.endswith("bits")}
    result = {
        "cost_percent": round(100 * (sums["integer_bits"] / sums["float_bits"] - 1), 3),
        "sums": sums,
        "rows": rows,
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    log.info("%s", json.dumps({"cost_percent": result["cost_percent"], **sums}))
