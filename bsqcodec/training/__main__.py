"""`python -m bsqcodec.training COMMAND ...`: trainers, exports and measurements."""

from __future__ import annotations

import argparse
import logging

from bsqcodec.training import (
    bit_prior,
    bsq,
    bsq_video,
    exactness,
    export,
    export_bsq,
    export_look,
    export_video,
    inter,
    joint,
    prior,
    searched,
    tokenizer,
    video,
)
from bsqcodec.training.distributed import rank


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bsqcodec.training", description=__doc__)
    commands = parser.add_subparsers(required=True)
    for name, module in {
        "tokenizer": tokenizer,
        "prior": prior,
        "searched": searched,
        "joint": joint,
        "bsq": bsq,
        "bsq-video": bsq_video,
        "bit-prior": bit_prior,
        "video": video,
        "inter": inter,
        "export": export,
        "export-bsq": export_bsq,
        "export-look": export_look,
        "export-video": export_video,
        "exactness": exactness,
    }.items():
        command = commands.add_parser(name, help=(module.__doc__ or "").splitlines()[0])
        module.add_arguments(command)
        command.set_defaults(run=module.main)
    args = parser.parse_args()
    level = logging.INFO if rank() == 0 else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(message)s")
    args.run(args)


if __name__ == "__main__":
    main()
