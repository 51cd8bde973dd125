"""A scheduler that cannot be reached, and workers that have something else installed."""

from __future__ import annotations

import sys
from typing import Any, cast

import pytest

import bsqcodec
from bsqcodec.errors import ClusterError
from bsqcodec.machine import dask_scheduler
from bsqcodec.machine.dask_scheduler import check_versions, connect


class FakeClient:
    """A client whose workers give this answer."""

    def __init__(self, answer: object) -> None:
        self._answer = answer

    def run(self, function: object, **options: object) -> dict[str, object]:
        return {"tcp://there:1": self._answer}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((None, "torch"), "the worker tcp://there:1 has no module torch"),
        (("0.0.9", ""), "the worker tcp://there:1 has bsqcodec 0.0.9, not"),
    ],
)
def test_workers_that_cannot_help(answer: object, message: str) -> None:
    with pytest.raises(ClusterError, match=message):
        check_versions(cast(Any, FakeClient(answer)))


def test_a_worker_with_the_same_version() -> None:
    probe = dask_scheduler._version_probe()
    assert probe() == (bsqcodec.__version__, "")
    check_versions(cast(Any, FakeClient(probe())))
    check_versions(cast(Any, FakeClient(OSError("it was lost meanwhile"))))


def test_a_worker_without_bsqcodec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bsqcodec", None)
    assert dask_scheduler._version_probe()() == (None, "bsqcodec")


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ClusterError, match=r"pip install 'bsqcodec\[cluster\]'"):
        connect("tcp://127.0.0.1:1")


def test_no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_scheduler, "CONNECT_SECONDS", 0.2)
    with pytest.raises(ClusterError, match="no scheduler answers at tcp://127.0.0.1:1"):
        connect("tcp://127.0.0.1:1")


def test_no_address() -> None:
    with pytest.raises(ClusterError, match="no scheduler answers at nowhere"):
        connect("nowhere://")
