"""What can go wrong with a batch as a whole; what goes wrong with a file is that file's result."""

from bsqcodec.errors import BsqError


class BatchError(BsqError):
    """The batch cannot begin or go on: a busy output folder, no scheduler, dead workers."""


class PlanError(BatchError):
    """What was asked for makes no sense, such as two files that would become one."""
