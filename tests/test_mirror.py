"""The tests mirror the package: a test file stands where its module does, and has its name.

A test that goes through several modules stands in the folder of its subject, is named after the
behaviour, and is listed here.
"""

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
ROOT = TESTS.parent

BEHAVIOURS = {
    "": "cli_page layers man_pages mirror normative packaging readme",
    "batch": "workers",
    "benchmarks": "bsq committed_results stand_in video_anchors",
    "cli": (
        "batch_killed bsq_commands damaged_side end_to_end hostile_sizes outputs picture_cases"
        " video_inputs"
    ),
    "format": "image_damage video_access video_damage video_rules",
    "fuzz": "fuzzing",
    "image": "bad_streams bsq_codec bsq_depths exactness golden golden_bsq many",
    "machine": "settings",
    "media/side": "damaged_side",
    "media/video": "video_trim",
    "training": "main precision recipes",
    "video": "bsq_earlier_frames bsq_video groups shipped_weights times",
}
"""Names of the tests of behaviours, by their folder."""

FILES = sorted(str(path.relative_to(TESTS)) for path in TESTS.rglob("test_*.py"))


def mirrored(folder: Path) -> Path:
    """The folder of the modules that the tests in a folder are of."""
    return ROOT / folder if folder.parts[:1] == ("benchmarks",) else ROOT / "bsqcodec" / folder


def behaviours(folder: Path) -> list[str]:
    return BEHAVIOURS.get("" if folder == Path() else folder.as_posix(), "").split()


@pytest.mark.parametrize("file", FILES)
def test_a_test_is_named_after_a_module_or_listed(file: str) -> None:
    folder, name = Path(file).parent, Path(file).stem.removeprefix("test_")
    module = mirrored(folder) / name
    assert module.is_dir() or module.with_suffix(".py").is_file() or name in behaviours(folder)


def test_every_folder_mirrors_one_and_every_name_that_is_listed_is_there() -> None:
    folders = {Path(file).parent for file in FILES} - {Path("fuzz")}  # of the decoder as a whole
    assert all(mirrored(folder).is_dir() for folder in folders)
    listed = [
        Path(folder, f"test_{n}.py") for folder in BEHAVIOURS for n in behaviours(Path(folder))
    ]
    assert all((TESTS / path).is_file() for path in listed)
