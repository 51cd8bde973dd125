"""JSON that anybody may have written."""

import json

import pytest

from bsqcodec.format.json_text import MAX_DEPTH, parse_json

NESTS = {
    "lists": "[" * 100_000,
    "closed lists": "[" * 100_000 + "]" * 100_000,
    "objects": '{"default":' * 100_000,
    "closed objects": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "just too deep": "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1),
}


@pytest.mark.parametrize("value", [None, 3, -1.5, "text", [], {}, {"a": [1, {"b": [[]]}]}, [[3]]])
def test_ordinary_json(value: object) -> None:
    assert parse_json(json.dumps(value)) == value
    assert parse_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize("name", NESTS)
def test_nests_are_an_error(name: str) -> None:
    with pytest.raises(ValueError):
        parse_json(NESTS[name])


def test_a_nest_may_be_as_deep_as_is_said() -> None:
    assert json.dumps(parse_json("[" * MAX_DEPTH + "]" * MAX_DEPTH)) == "[" * 64 + "]" * 64
    with pytest.raises(ValueError, match="nested deeper than 64"):
        parse_json("[" * 65 + "]" * 65)


@pytest.mark.parametrize("text", ["", "{", "[1,", b"\xff", "nope", "1" * 5000, '"\\ud800'])
def test_what_is_no_json(text: str | bytes) -> None:
    with pytest.raises(ValueError):
        parse_json(text)
