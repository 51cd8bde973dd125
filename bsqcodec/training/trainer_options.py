"""Arguments that trainers share, and what follows from them."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from bsqcodec.machine.processor import clamp_threads
from bsqcodec.training.data import Pictures
from bsqcodec.training.device_pictures import DevicePictures
from bsqcodec.training.distributed import World, join
from bsqcodec.training.loop import LoopConfig

log = logging.getLogger(__name__)


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of everything that works on crops of training pictures."""
    add = parser.add_argument
    add("--data", type=Path, nargs="+", required=True, help="shards, or folders of them")
    add("--cache", type=Path, default=Path("runs/cache"), help="folder for decoded pictures")
    add("--out", type=Path, required=True, help="folder for what is made")
    add("--crop", type=int, default=256)
    add("--seed", type=int, default=0)
    add("--device", default="cpu", help="cpu or cuda")
    add("--threads", type=int)


def add_shared_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of all trainers; each sets defaults of its own for some."""
    add_source_arguments(parser)
    add = parser.add_argument
    add("--data-on-device", action="store_true", help="keep all training pictures on the device")
    add("--validation", type=Path, help="folder of pictures")
    add("--validation-limit", type=int, default=6)
    add("--init", type=Path, help="run folder or shipped weights to start from")
    add("--minutes", type=float, default=60, help="training time that the schedule is made for")
    add("--stop-after", type=float, help="minutes after which this process saves and ends")
    add("--rate", type=float, default=1e-3, help="peak learning rate")
    add("--decay", type=float, default=0.4, help="fraction of the schedule in which the rate falls")
    add("--average", type=float, default=0.998, help="decay a step of the averaged weights")
    add("--batch", type=int, default=16, help="crops a step, in each process")
    add("--validate-every", type=float, default=5.0, help="minutes of training time")
    add("--save-every", type=float, default=5.0, help="minutes of training time")
    add("--no-compile", action="store_true")
    add("--profile", type=int, default=0, help="time so many steps by operator, and end")


def loop_config(args: argparse.Namespace) -> LoopConfig:
    return LoopConfig(
        minutes=args.minutes,
        validate_every=args.validate_every,
        save_every=args.save_every,
        stop_after=args.stop_after,
        decay=args.decay,
        average=args.average,
        seed=args.seed,
        profile=args.profile,
    )


@contextmanager
def set_up(args: argparse.Namespace) -> Iterator[World]:
    """Threads, the seed of new weights, and the other processes."""
    if args.threads:
        threads, note = clamp_threads(args.threads)
        torch.set_num_threads(threads)
        if note is not None:
            log.warning("%s", note)
    torch.manual_seed(args.seed)
    with join(args.device) as world:
        if world.device.type == "cuda":
            # torch's default for convolutions, though not for matrix products, is TF32; those
            # that are not in bfloat16 are MS-SSIM's, whose variances it is too coarse for
            torch.backends.cudnn.allow_tf32 = False
        yield world


def load_pictures(args: argparse.Namespace, world: World) -> Pictures:
    """The training pictures; the first process decodes what is new, the others wait for it."""
    if world.first:
        pictures = Pictures.load(args.data, args.cache)
        world.wait()
        return pictures
    world.wait()
    return Pictures.open(args.cache)


def crop_source(
    args: argparse.Namespace, pictures: Pictures, device: torch.device
) -> Pictures | DevicePictures:
    """Where crops are cut: on the host, or on the device."""
    return DevicePictures(pictures, args.crop, device) if args.data_on_device else pictures
