"""Mutated files against the whole decoder: each is decoded,
or one of bsqcodec's errors says why not.

`python -m tests.fuzz --cases 200000` runs more of them; see "Fuzzing" in docs/ROBUSTNESS.md.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pytest

from bsqcodec.errors import BsqError
from bsqcodec.format.image_container import unpack
from bsqcodec.format.token_file import unpack_tokens
from bsqcodec.format.video_file_reader import VideoFileReader
from bsqcodec.format.video_gop import Gop
from bsqcodec.models.bsq.level_payload import pack_slices

from ..hostile import sealed
from .bsq_targets import BSQ_TARGETS, slices_of
from .material import Material
from .runner import Report, run_cases
from .target import MAX_PIXELS
from .targets import BSQ_FRACTION, TARGETS, chosen, mended_video
from .video_parts import gop_parts_of, sealed_video, set_gop, video_parts_of

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="memory is measured by what Linux tells"
)

CASES, SEED = 2000, 1

FAULTS = """
import os, sys, time
from tests.fuzz.worker import serve

def run(seed, number):
    if number == 3:
        raise ValueError("no error of ours")
    if number == 5:
        time.sleep(1000)
    if number == 7:
        os.abort()
    if number == 9:
        bytearray(400 * 2**20)
    if number == 11:
        bytearray(2**40)
    if number == 13:
        sys.exit(0)
    return "target", "decoded"

serve(run)
"""


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return Material(tmp_path_factory.mktemp("fuzz"))


@pytest.fixture(scope="module")
def report() -> Report:
    """What became of the cases."""
    return run_cases(SEED, 0, CASES)


def test_nothing_but_errors_of_ours(report: Report) -> None:
    assert report.cases == CASES
    assert [f"case {failure.number}: {failure.what}" for failure in report.failures] == []


def test_the_deeper_parsers_are_reached(report: Report) -> None:
    """Most files pass the checksums, and many are decoded to their end."""
    assert set(report.outcomes) == {target.name for target in (*TARGETS, *BSQ_TARGETS)}
    for name in ("picture", "video", "bsq picture"):
        found = report.outcomes[name]
        whole = sum(count for what, count in found.items() if what[0].islower())
        assert whole > 0.2 * found.total() and found["FormatError"] > 0.1 * found.total()
        # those of slices of the family bsq have checksums of their own, which some changes break
        assert found["ChecksumError"] < (0.25 if "bsq" in name else 0.1) * found.total()
    assert report.outcomes["damaged bsq picture"]["cut"] > 3
    for name in ("bsq codes", "tokens", "bsq weights"):
        assert report.outcomes[name]["decoded"]
    everything = sum(report.outcomes.values(), Counter[str]())
    for what in ("LimitError", "WeightsError", "UnsupportedVersionError", "TruncatedError", "cut"):
        assert everything[what] > 10
    for name in ("injured picture", "injured video", "injured bsq picture"):
        found = report.outcomes[name]
        assert found["ChecksumError"] + found["TruncatedError"] + found["cut"] > 0.5 * found.total()


def test_a_fault_is_found_whatever_it_is() -> None:
    """An exception, a hang, a crash, memory, and a process that ends; the others go on."""
    report = run_cases(1, 0, 15, command=("-c", FAULTS), case_seconds=20)
    found = {failure.number: failure.what for failure in report.failures}
    assert sorted(found) == [3, 5, 7, 9, 11, 13]
    assert "no error of ours" in found[3]
    assert found[5] == "it took more than 20 s"
    assert found[7] == "the process ended with status -6"
    assert found[9].startswith("it took 400 MiB, over")
    assert "MemoryError" in found[11]
    assert "SystemExit" in found[13]
    assert report.cases == 15 and report.outcomes["target"]["decoded"] == 9


def test_a_case_is_the_same_every_time(material: Material, tmp_path: Path) -> None:
    other = Material(tmp_path)
    for number in range(200):
        target, rng = chosen(SEED, number)
        again, other_rng = chosen(SEED, number)
        assert target.name == again.name
        assert target.make(material, rng) == again.make(other, other_rng)
    assert chosen(SEED, 0)[1].random() != chosen(SEED + 1, 0)[1].random()


def test_a_case_of_the_bsq_family_is_the_same_in_both_kinds(material: Material) -> None:
    """A fraction of all cases are such; the others are what they are without them."""
    found = 0
    for number in range(300):
        (target, rng), (own, own_rng) = chosen(SEED, number), chosen(SEED, number, "bsq")
        assert own in BSQ_TARGETS
        if target in BSQ_TARGETS:
            found += 1
            assert target is own and target.make(material, rng) == own.make(material, own_rng)
        else:
            alone = Random(f"{SEED} {number}")
            assert alone.choices(TARGETS, [t.weight for t in TARGETS])[0] is target
            assert alone.random() == rng.random()
    assert 0.6 < found / 300 / BSQ_FRACTION < 1.4


def test_what_is_not_changed_is_the_same_file(material: Material) -> None:
    for video in material.videos:
        data = sealed_video(video)
        assert sealed_video(video_parts_of(data)) == data
        for chunk in video.copy().gops():
            before = chunk.payload
            set_gop(chunk, gop_parts_of(chunk))
            assert chunk.payload == before
    for picture in (*material.pictures, *material.bsq_pictures):
        unpack(sealed(picture))
    counts = set()
    for picture in material.bsq_pictures:
        for kind, _, payload in picture.chunks:
            if kind == b"L":
                slices = slices_of(payload)
                assert pack_slices(slices) == payload
                counts.add(len(slices))
    assert counts == {1, 2, 3}


def test_the_material_is_valid_and_wild(material: Material) -> None:
    """Videos of random symbols decode strictly, with vectors and integers of every size."""
    for video in material.videos:
        data = sealed_video(video)
        frames = list(material.video_codec.decode(data).frames())
        gops = [part for part in VideoFileReader(data).chunks() if isinstance(part, Gop)]
        assert len(frames) == sum(len(gop.frames) for gop in gops) > 1
    for picture in material.pictures:
        material.codec.decode(sealed(picture))
    for picture, data in zip(material.bsq_pictures, material.token_files[::2], strict=True):
        decoded = material.bsq_codec.decode(sealed(picture)).picture.pixels
        tokens = unpack_tokens(data, max_pixels=MAX_PIXELS)
        assert np.array_equal(material.bsq_codec.from_tokens(tokens).pixels, decoded)


def test_mutated_videos_pass_the_checksums(material: Material) -> None:
    """Those of most chunks, so that what is wrong is found by the parsers behind them."""
    wrong = 0
    for number in range(300):
        data = mended_video(material, Random(number))
        try:
            reader = VideoFileReader(data, allow_partial=True, max_pixels=2**62)
            reasons = [getattr(part, "reason", "") for part in reader.chunks()]
        except BsqError as error:
            reasons = [str(error)]
        wrong += any("checksum" in reason for reason in reasons)
    assert wrong < 60
