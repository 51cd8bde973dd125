"""`python -m bsqcodec.training tokenizer|prior|export|exactness ...`"""

from __future__ import annotations

import argparse
import logging

from bsqcodec.training import exactness, export, prior, tokenizer
from bsqcodec.training.distributed import rank


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bsqcodec.training", description=__doc__)
    commands = parser.add_subparsers(required=True)
    for name, module in {
        "tokenizer": tokenizer,
        "prior": prior,
        "export": export,
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
