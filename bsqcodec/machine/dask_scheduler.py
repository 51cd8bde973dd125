"""A running dask.distributed scheduler: connecting to it, and what its workers have installed."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Final

from bsqcodec import __version__
from bsqcodec.errors import ClusterError

if TYPE_CHECKING:
    from distributed import Client

CONNECT_SECONDS: Final = 10
"""How long a scheduler has to answer."""

WORKER_SECONDS: Final = 30
"""How long a scheduler may be without any worker."""


def connect(address: str) -> Client:
    """Connect to the scheduler at an address such as tcp://host:8786, which has workers.

    Raises ClusterError where distributed is not installed, no scheduler answers, or it has no
    workers.
    """
    try:
        distributed = importlib.import_module("distributed")
    except ModuleNotFoundError as error:
        raise ClusterError(
            f"a scheduler needs the package {error.name}: pip install 'bsqcodec[cluster]'"
        ) from error
    for name in ("distributed", "distributed.client", "distributed.core", "distributed.comm"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what it would say, our errors say
    try:
        client = distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"no scheduler answers at {address}; `dask scheduler` starts one"
        ) from error
    try:
        client.wait_for_workers(1, timeout=WORKER_SECONDS)
    except TimeoutError as error:
        client.close()
        raise ClusterError(
            f"the scheduler at {address} has no workers; `dask worker {address}` starts some"
        ) from error
    return client


def check_versions(client: Client, workers: Collection[str] | None = None) -> None:
    """Raise ClusterError for a worker with another bsqcodec, or none.

    workers: their addresses, None for all that there are. One that is lost meanwhile is passed
    over.
    """
    asked = None if workers is None else list(workers)
    answers = client.run(_version_probe(), workers=asked, on_error="return")
    for address, answer in sorted(answers.items()):
        if isinstance(answer, BaseException):
            continue
        version, missing = answer
        if version is None:
            raise ClusterError(f"the worker {address} has no module {missing}")
        if version != __version__:
            raise ClusterError(
                f"the worker {address} has bsqcodec {version}, not {__version__}; install"
                " the same on all machines"
            )


def _version_probe() -> Callable[[], tuple[str | None, str]]:
    """A function that returns a worker's version of bsqcodec, and the module that is missing.

    Workers may have no bsqcodec: a local function is sent as code, not by name.
    """

    def probe() -> tuple[str | None, str]:
        try:
            import bsqcodec
        except ModuleNotFoundError as error:
            return None, error.name or "bsqcodec"
        return bsqcodec.__version__, ""

    return probe
