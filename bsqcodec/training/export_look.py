"""Export of a trained decoder as a look: a further decoder for the integers of shipped weights."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import torch

from bsqcodec.options import LOOKS, OWN_LOOK
from bsqcodec.training.checkpoints import mean_of, mean_tokenizer, note_of
from bsqcodec.training.video import inter_network_of

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--weights", type=Path, required=True, help="of pictures or videos, whose integers it shows"
    )
    several = "run folders or shipped weights; of several, the mean of their weights"
    parser.add_argument("--tokenizer", type=Path, nargs="+", help=f"of pictures: {several}")
    parser.add_argument("--inter-network", type=Path, nargs="+", help=f"of videos: {several}")
    parser.add_argument("--picture-look", type=Path, help="of videos: the look of intra frames")
    names = [name for name in LOOKS if name != OWN_LOOK]
    parser.add_argument("--look", choices=names, required=True)
    parser.add_argument("--out", type=Path, default=Path("weights"))


def main(args: argparse.Namespace) -> None:
    """Write the file. Raises ValueError for a tokenizer that makes other integers."""
    if (args.tokenizer is None) == (args.inter_network is None):
        raise SystemExit("give --tokenizer, or --inter-network and --picture-look")
    if args.tokenizer is None and args.picture_look is None:
        raise SystemExit("give --picture-look too: intra frames are shown by it")
    path = picture_look(args) if args.tokenizer else video_look(args)
    log.info("wrote %s, %.1f MB", path, path.stat().st_size / 1e6)


def picture_look(args: argparse.Namespace) -> Path:
    """Write a look of pictures; return its file."""
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
    return save(args.out, weights.id, args.look, tokenizer, notes=notes)


def video_look(args: argparse.Namespace) -> Path:
    """Write a look of videos; return its file."""
    from bsqcodec.models import look_files, video_look_files, video_weight_files

    weights = video_weight_files.load(args.weights, torch.device("cpu"), dtype=torch.float32)
    picture, _ = look_files.load(args.picture_look, weights.image)
    sources = args.inter_network
    networks = [inter_network_of(source, weights.image.tokenizer) for source in sources]
    notes = {"inter_network_run": "".join(note_of(x, "inter_network_run") for x in sources)}
    return video_look_files.save(
        args.out, weights.id, args.look, picture.id, mean_of(networks, sources), notes=notes
    )
