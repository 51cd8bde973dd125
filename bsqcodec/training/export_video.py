"""Export of trained video weights: decoder of inter frames, inter prior,
probabilities of vectors."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from bsqcodec.training.checkpoints import note_of, prior_of, shipped
from bsqcodec.training.groups import Groups
from bsqcodec.training.video import inter_network_of

if TYPE_CHECKING:
    from bsqcodec.models.weight_files import Weights

PRIOR_COUNT = 30
"""Bits of a slot that the table's probability counts for; measured on test clips:
15 to 60 are alike."""

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--image", type=Path, required=True, help="exported weights of pictures")
    parser.add_argument("--inter-network", type=Path, help="run of the video decoder")
    parser.add_argument("--inter", type=Path, help="run of the inter prior")
    parser.add_argument("--group-cache", type=Path, help="for vectors' statistics")
    parser.add_argument(
        "--again",
        type=Path,
        help="shipped video weights, in place of these three: the same beside other weights of"
        " pictures, whose tokenizer must be the same but for its decoder",
    )
    parser.add_argument("--out", type=Path, default=Path("weights"))
    parser.add_argument("--default", action="store_true", help="make these the default weights")


def main(args: argparse.Namespace) -> None:
    # here, not at the top: they need constriction, which a training machine may lack
    from bsqcodec.models import weight_files as weights
    from bsqcodec.models.prior.integer import quantize_prior
    from bsqcodec.models.video_weight_files import save

    image = weights.load(args.image, torch.device("cpu"))
    parts = (args.inter_network, args.inter, args.group_cache)
    if args.again is not None:
        if any(part is not None for part in parts):
            raise SystemExit(
                "--again takes the place of --inter-network, --inter and --group-cache"
            )
        path = beside(args.again, image, args.out, default=args.default)
        log.info("wrote %s, %.1f MB", path, path.stat().st_size / 1e6)
        return
    if any(part is None for part in parts):
        raise SystemExit("give --inter-network, --inter and --group-cache, or --again")
    prior = prior_of(args.inter)
    runs = {"predicted_run": args.inter_network, "inter_run": args.inter}
    path = save(
        args.out,
        image.id,
        inter_network_of(args.inter_network, image.tokenizer),
        prior.config,
        quantize_prior(prior),
        vector_probabilities(Groups(args.group_cache)),
        PRIOR_COUNT,
        default=args.default,
        notes={name: note_of(source, name) for name, source in runs.items()},
    )
    log.info("wrote %s, %.1f MB", path, path.stat().st_size / 1e6)


def beside(again: Path, image: Weights, folder: Path, *, default: bool = False) -> Path:
    """Write shipped video weights once more, to go with other weights of pictures; their path.

    Networks of inter frames were trained with a transform, its gains and its encoder: raises
    WeightsError for others. Only the decoder of pictures, which they never call, may be another.
    """
    from bsqcodec.errors import WeightsError
    from bsqcodec.models.video_weight_files import load, save

    known = load(again, torch.device("cpu"))  # its networks are as they run, not as stored
    mine, others = (
        {k: v for k, v in w.tokenizer.state_dict().items() if not k.startswith("decoder.")}
        for w in (known.image, image)
    )
    if mine.keys() != others.keys() or any(not torch.equal(mine[k], others[k]) for k in mine):
        raise WeightsError(f"{again} was made for another tokenizer than that of {image.path}")
    return save(
        folder,
        image.id,
        inter_network_of(again, image.tokenizer),
        known.priors.inter.config,
        shipped(again, "prior")[1],
        torch.from_numpy(known.priors.vectors),
        known.priors.prior_count,
        default=default,
        notes={name: note_of(again, name) for name in ("predicted_run", "inter_run")},
    )


def vector_probabilities(groups: Groups) -> torch.Tensor:
    """The table of probabilities that codes the vectors of training groups shortest, int32."""
    from bsqcodec.entropy.motion_vectors import Counter, code_vectors

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
