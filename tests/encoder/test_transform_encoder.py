"""The encoder of the family `transform` behind the protocol of the picture codec."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bsqcodec.encoder import transform_encoder
from bsqcodec.encoder.families import picture_encoder
from bsqcodec.encoder.picture_encoder import PictureEncoder
from bsqcodec.encoder.target_search import step_of_quality
from bsqcodec.format.image_container import Colour, Header
from bsqcodec.image.codec import Codec
from bsqcodec.options import EncodeOptions
from bsqcodec.targets import DEFAULT_QUALITY

from ..golden_files import scene

STEP = 150


def encoder_of(codec: Codec, effort: int = 1) -> PictureEncoder:
    return picture_encoder(codec.model, scene(60, 70), EncodeOptions(effort=effort))


def counted(monkeypatch: pytest.MonkeyPatch, name: str) -> list[int]:
    """The steps with which a function of the encoder is called, filled as it is."""
    function: Callable[..., Any] = getattr(transform_encoder, name)
    steps: list[int] = []

    def count(*args: Any, **options: Any) -> Any:
        steps.append(next(value for value in args if isinstance(value, int)))
        return function(*args, **options)

    monkeypatch.setattr(transform_encoder, name, count)
    return steps


@pytest.mark.parametrize("effort", [0, 1, 2])
def test_the_payloads_hold_the_symbols(codec: Codec, effort: int) -> None:
    encoder = encoder_of(codec, effort)
    assert encoder.optimises == (effort == 2)
    written = encoder.write(STEP, encoder.strength, optimised=encoder.optimises)
    assert written.symbols.values.dtype == np.int16
    header = Header(codec.model_id, 70, 60, Colour.RGB, STEP, len(written.payloads))
    read = codec.model.read(written.payloads, header)
    np.testing.assert_array_equal(read.values, written.symbols.values)
    assert written.symbols.levels == len(written.payloads) == header.levels
    assert written.ideal_bits <= 8 * sum(map(len, written.payloads))


def test_more_strength_takes_fewer_bits(codec: Codec) -> None:
    encoder = encoder_of(codec)
    bits = [encoder.write(STEP, strength).ideal_bits for strength in (0.0, 1.0, 20.0)]
    assert bits == sorted(bits, reverse=True) and bits[0] > 1.1 * bits[2]


def test_steps_and_qualities(codec: Codec) -> None:
    plain, long = encoder_of(codec), encoder_of(codec, 2)
    assert plain.step_for(None) == plain.step_for(DEFAULT_QUALITY) == step_of_quality(50)
    assert long.step_for(30) == step_of_quality(30, True) > plain.step_for(30)
    assert long.quality_of(long.step_for(30)) == pytest.approx(30, abs=0.25)


def test_latents_of_a_step_are_made_once(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = counted(monkeypatch, "encode_picture")
    encoder = encoder_of(codec)
    for step in (150, 150, 151, 151, 150):
        encoder.write(step, 1.0)
    assert steps == [150, 151, 150]


def test_integers_of_the_last_two_steps_are_kept(
    codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = counted(monkeypatch, "code")
    encoder = encoder_of(codec, 2)
    for step in (150, 151, 150, 151, 152, 151, 150):
        encoder.write(step, 1.0, optimised=True)
    assert steps == [150, 151, 152, 150]


def test_progress_of_an_optimised_coding(codec: Codec) -> None:
    parts: list[float] = []
    encoder = encoder_of(codec, 2)
    encoder.write(STEP, 1.0, optimised=True, progress=parts.append)
    assert parts == sorted(parts) and parts[-1] == 1
    assert sum(0.9 < part < 1 for part in parts) > 1


def test_other_models_have_no_encoder() -> None:
    with pytest.raises(TypeError, match="no encoder is known for int"):
        picture_encoder(3, scene(8, 8), EncodeOptions())  # type: ignore[arg-type]
