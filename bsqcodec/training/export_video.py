"""Export of trained video weights: decoder of predicted frames, inter prior, chances of vectors."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import numpy as np
import torch

from bsqcodec.training.checkpoints import prior_of
from bsqcodec.training.groups import Groups
from bsqcodec.training.video import predicted_of

PATIENCE = 30
"""Bits of a slot that the table's chance counts for; measured on test clips, where 15 to 60 are alike."""

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--image", type=Path, required=True, help="exported weights of pictures")
    parser.add_argument("--predicted", type=Path, required=True, help="run of the video decoder")
    parser.add_argument("--inter", type=Path, required=True, help="run of the inter prior")
    parser.add_argument("--group-cache", type=Path, required=True, help="for vectors' statistics")
    parser.add_argument("--out", type=Path, default=Path("weights"))
    parser.add_argument("--default", action="store_true", help="make these the default weights")


def main(args: argparse.Namespace) -> None:
    # here, not at the top: they need constriction, which a training machine may lack
    from bsqcodec import weights
    from bsqcodec.prior.integer import quantize_prior
    from bsqcodec.video.weights import save

    image = weights.load(args.image, torch.device("cpu"))
    prior = prior_of(args.inter)
    runs = {"predicted_run": args.predicted, "inter_run": args.inter}
    path = save(
        args.out,
        image.id,
        predicted_of(args.predicted, image.tokenizer),
        prior.config,
        quantize_prior(prior),
        chances_of_vectors(Groups(args.group_cache)),
        PATIENCE,
        default=args.default,
        notes={name: (run / "config.json").read_text() for name, run in runs.items()},
    )
    log.info("wrote %s, %.1f MB", path, path.stat().st_size / 1e6)


def chances_of_vectors(groups: Groups) -> torch.Tensor:
    """The table of chances that codes the vectors of training groups shortest, int32."""
    from bsqcodec.video.vectors import Counter, code_vectors

    counter = Counter()
    seen: set[bytes] = set()  # a clip coded at several steps has the same vectors
    for index in range(len(groups)):
        vectors = groups[index][2].numpy()
        key = vectors.tobytes()
        if key in seen:
            continue
        seen.add(key)
        rows, columns = vectors.shape[1] // 2, vectors.shape[2] // 2
        before = np.zeros_like(vectors[0])
        for field in vectors[1:]:
            code_vectors(counter, field, before, rows, columns)
            before = field
    return torch.from_numpy(counter.table())
