"""Generated files in the place of UVG and MCL-JCV take the whole way: found,
coded, judged, reported.

Short ones always; of full geometry and length where BSQCODEC_NIGHTLY is 1, which takes hours.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import __main__ as main_module
from benchmarks import ours_video
from benchmarks.__main__ import main
from benchmarks.datasets import sequences
from benchmarks.datasets.sequences import MCL_JCV, UVG, Sequence1080, write_stand_in
from benchmarks.results import RdResult

MOST_MIB = 4096
"""Memory that coding may take, however long a sequence is."""


def run(folder: Path, name: str, codecs: Sequence[str], *options: str) -> list[RdResult]:
    """The results of one command."""
    out = folder / "results"
    arguments = ["run", "--data", str(folder), "--dataset", name, "--codecs", ",".join(codecs)]
    done = CliRunner().invoke(main, [*arguments, "--results", str(out), *options])
    assert done.exit_code == 0, done.output
    return [RdResult.load(out / f"{name}_{codec}.json") for codec in codecs]


def take_the_way(
    folder: Path, chosen: Sequence[Sequence1080], codecs: Sequence[str], *options: str
) -> None:
    """From the files to the results, at both sizes; tell what they took."""
    name = "uvg" if chosen[0] in UVG or chosen[0].rate == 120 else "mcl-jcv"
    for sequence in chosen:
        write_stand_in(sequence, folder)
    for size, (width, height) in (
        ("", (chosen[0].width, chosen[0].height)),
        ("-360p", (640, 360)),
    ):
        for result in run(folder, name + size, codecs, *options):
            assert [row.frames for row in result.rows[:: len(result.rows) // len(chosen)]] == [
                sequence.frames for sequence in chosen
            ]
            for row in result.rows:
                assert (row.width, row.height) == (width, height)
                assert row.bpp > 0 and row.psnr > 20
                print(
                    f"{result.dataset['name']} {row.item} {result.codec} {row.setting:g}:"
                    f" {row.bpp:.4f} bpp, {row.psnr:.2f} dB, encoded in {row.encode_seconds:.1f} s,"
                    f" decoded in {row.decode_seconds:.1f} s, memory {result.peak_memory}"
                )
            if result.peak_memory is not None:
                memory = result.peak_memory
                assert max(memory["encode_mib"], memory["decode_mib"]) < MOST_MIB


@pytest.fixture(autouse=True)
def one_quality(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ours_video, "QUALITIES", (20.0,))


@pytest.mark.usefixtures("tiny_video_weights")
def test_short_ones_of_a_small_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = [replace(UVG[0], frames=2, width=192, height=176)]
    monkeypatch.setattr(sequences, "UVG", tuple(small))
    take_the_way(tmp_path, small, ["bsqcodec"], "--no-memory")


@pytest.mark.usefixtures("tiny_video_weights")
def test_the_first_frames_of_one_tell_time_and_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the commands of benchmarks/README.md, with no other sequence there."""
    small = [replace(sequence, width=192, height=176) for sequence in UVG]
    for module in (sequences, main_module):
        monkeypatch.setattr(module, "UVG", tuple(small))
    written = CliRunner().invoke(
        main, ["stand-in", str(tmp_path), "--only", "Jockey", "--frames", "3"]
    )
    assert written.exit_code == 0 and written.output.count("\n") == 1
    out = tmp_path / "results"
    arguments = ["--dataset", "uvg", "--data", str(tmp_path), "--only", "Jockey", "--allow-short"]
    arguments += ["--name", "jockey", "--codecs", "bsqcodec", "--qualities", "30"]
    done = CliRunner().invoke(main, ["run", *arguments, "--results", str(out)])
    assert done.exit_code == 0, done.output
    result = RdResult.load(out / "jockey_bsqcodec.json")
    (row,) = result.rows
    assert (row.item, row.frames, row.setting) == ("Jockey", 3, 30)
    (mean,) = result.means()
    assert f"{mean.encode_seconds:.3f} {mean.decode_seconds:8.3f}" in done.output
    assert result.peak_memory is not None
    assert f"memory for Jockey at 30, MiB: in {result.peak_memory['encode_mib']:.0f}, out" in (
        done.output
    )


@pytest.mark.skipif(
    os.environ.get("BSQCODEC_NIGHTLY") != "1", reason="takes hours; BSQCODEC_NIGHTLY=1 runs it"
)
@pytest.mark.parametrize("name", ["UVG", "MCL_JCV"])
def test_one_of_full_geometry_and_length(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = {"UVG": UVG[:1], "MCL_JCV": MCL_JCV[:1]}[name]
    monkeypatch.setattr(sequences, name, chosen)
    take_the_way(tmp_path, chosen, ["x264-medium", "bsqcodec"])


def test_the_command_names_what_there_is(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["stand-in", str(tmp_path), "--only", "Nothing"])
    assert done.exit_code == 1
    assert "no sequence of UVG or MCL-JCV is called Nothing" in done.output
