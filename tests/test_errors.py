"""The family of exceptions: each gets from process to process as it is."""

import pickle
import threading
from collections.abc import Iterator

import pytest

import bsqcodec.batch.errors  # noqa: F401 -- its exceptions are of the family
from bsqcodec.batch.work import _travels
from bsqcodec.errors import BsqError, DamagedVideoError


def family(kind: type[BsqError] = BsqError) -> Iterator[type[BsqError]]:
    yield kind
    for child in kind.__subclasses__():
        if child.__module__.startswith("bsqcodec."):
            yield from family(child)


@pytest.mark.parametrize("kind", sorted(set(family()), key=str))
def test_pickling_keeps_all(kind: type[BsqError]) -> None:
    error = DamagedVideoError("cut", 7) if kind is DamagedVideoError else kind("wrong")
    found = pickle.loads(pickle.dumps(error))
    assert type(found) is kind and str(found) == str(error)
    assert vars(found) == vars(error)
    assert _travels(error)


class Stubborn(BsqError):
    """Holds what no pickle can."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.lock = threading.Lock()


def test_what_does_not_travel_is_found_out() -> None:
    assert not _travels(Stubborn("wrong"))
