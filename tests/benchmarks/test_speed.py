"""What the speed benchmark computes from its measurements, with a fake codec."""

import json
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from PIL import Image

from benchmarks import memory_probe, ours, speed
from benchmarks.datasets import generated_picture

from .fakes import FakeCodec

REPORT = {"seconds": 2.0, "loaded_rss_bytes": 2.0**20, "peak_rss_bytes": 2.0**21}


def test_median_of_runs() -> None:
    calls = []
    found = speed.timed(lambda: calls.append(1), 3)
    assert len(calls) == len(found["runs"]) == 3
    assert found["median_seconds"] == sorted(found["runs"])[1]


def test_process_returns_output_or_the_last_words() -> None:
    assert speed.process([sys.executable, "-c", "print(3)"]) == "3\n"
    with pytest.raises(click.ClickException, match="exit 1: no weights"):
        speed.process([sys.executable, "-c", "raise SystemExit('no weights')"])


def test_sizes() -> None:
    assert speed.parse_sizes("768x512, 10x20") == [(768, 512), (10, 20)]
    for text in ("768", "0x5", "axb", ""):
        with pytest.raises(click.UsageError, match="WIDTHxHEIGHT"):
            speed.parse_sizes(text)
    megapixels = [width * height / 1e6 for width, height in speed.SIZES]
    assert megapixels == pytest.approx([0.4, 4, 24], rel=0.02)


def row(direction: str, megapixels: float, seconds: float, peak: float) -> dict[str, Any]:
    return {
        "direction": direction,
        "megapixels": megapixels,
        "seconds_per_megapixel": seconds / megapixels,
        "loaded_rss_mib": 300.0,
        "peak_rss_mib": peak,
    }


def test_growth_is_one_when_linear() -> None:
    rows = [
        row(direction, size, 0.5 * size, 300 + 40 * size)
        for direction in ("encode", "decode")
        for size in (0.4, 4, 24)
    ]
    assert speed.growth(rows) == {"time_growth": 1, "memory_growth": 1}
    rows[-1] = row("decode", 24, 24, 300 + 80 * 24)
    assert speed.growth(rows) == {"time_growth": 2, "memory_growth": 2}


def test_checks_compare_with_limits() -> None:
    values = dict.fromkeys(speed.LIMITS, 0.1)
    verdict = speed.checks({**values, "help_seconds": 0.31})
    assert [check["what"] for check in verdict if not check["met"]] == ["help_seconds"]


def test_ideal_length_leaves_an_allowance(fake_codec: FakeCodec) -> None:
    pictures = [("p", generated_picture(64, 64))]
    (found,) = speed.ideal_length(fake_codec, pictures, [50.0])  # type: ignore[arg-type]
    assert found["excess_bytes"] == 60
    allowance = 64 + 0.005 * found["ideal_bytes"]
    assert found["excess_over_allowance"] == pytest.approx(60 / allowance, abs=1e-3)


def test_peak_memory_sees_an_allocation() -> None:
    before = memory_probe.peak_rss_bytes()
    block = bytearray(before)
    block[::4096] = b"x" * len(block[::4096])
    assert memory_probe.peak_rss_bytes() > 1.2 * before > 10e6


def test_probe_codes_both_ways(
    fake_codec: FakeCodec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ours, "open_codec", lambda weights, threads: fake_codec)
    picture, coded, decoded = (tmp_path / name for name in ("p.ppm", "p.bsq", "d.ppm"))
    generated_picture(80, 48).save(picture)
    for arguments in (["encode", str(picture), str(coded)], ["decode", str(coded), str(decoded)]):
        done = CliRunner().invoke(memory_probe.main, ["bsqcodec", *arguments])
        assert done.exit_code == 0, done.output
        report = json.loads(done.output)
        assert report["peak_rss_bytes"] >= report["loaded_rss_bytes"] > 0
        assert report["seconds"] > 0
    with Image.open(decoded) as image:
        assert image.size == (80, 48)


def test_scaling_measures_each_size_both_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def fake_probe(
        codec: str, direction: str, source: Path, target: Path, options: list[str]
    ) -> dict[str, float]:
        seen.append((codec, direction, source.suffix, target.suffix, options))
        target.write_bytes(b"12345")
        return REPORT

    monkeypatch.setattr(memory_probe, "probe", fake_probe)
    rows = speed.scaling([generated_picture(40, 30)], [(100, 50)], tmp_path, ["--threads", "1"])
    assert seen == [
        ("bsqcodec", "encode", ".ppm", ".bsq", ["--threads", "1"]),
        ("bsqcodec", "decode", ".bsq", ".ppm", ["--threads", "1"]),
    ]
    assert [r["direction"] for r in rows] == ["encode", "decode"]
    assert (rows[0]["bytes"], rows[0]["peak_rss_mib"], rows[0]["megapixels"]) == (5, 2.0, 0.005)


def test_command_line(
    fake_codec: FakeCodec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fake_probe(
        codec: str, direction: str, source: Path, target: Path, options: list[str]
    ) -> dict[str, float]:
        target.write_bytes(b"12345")
        return REPORT

    monkeypatch.setattr(memory_probe, "probe", fake_probe)
    monkeypatch.setattr(speed, "process", lambda command: "0.5 1.0\n")
    monkeypatch.setattr(ours, "open_codec", lambda weights, threads: fake_codec)
    monkeypatch.setattr(speed, "load_pictures", lambda data: [("p", generated_picture(192, 168))])
    out = tmp_path / "speed.json"
    arguments = ["--sizes", "64x48,128x96", "--repeats", "2", "--out", str(out)]
    done = CliRunner().invoke(speed.main, arguments)
    assert done.exit_code == 0, done.output
    document = json.loads(out.read_text())
    assert len(document["scaling"]) == 4
    assert document["startup"]["import_and_load_seconds"] == 1.5
    assert {check["what"] for check in document["checks"]} == speed.LIMITS.keys()
    assert len(document["ideal"]) == len(speed.IDEAL_QUALITIES)
    assert len(document["picture"]["encode"]["runs"]) == 2
    assert str(tmp_path) not in out.read_text()


def test_pictures_are_generated_without_data() -> None:
    pictures = speed.load_pictures(None)
    assert len(pictures) >= 2
    assert {image.size for _, image in pictures} == {(768, 512)}
