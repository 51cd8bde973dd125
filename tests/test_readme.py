"""What the documents say: their commands and their Python run as they stand, and their links lead
somewhere."""

import re
import runpy
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from bsqcodec import api, api_video
from bsqcodec.cli.main import cli, main

from .batch_tools import Inline
from .media.clips import make_clip
from .tiny_models import save_bsq_weights

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCUMENTS = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / "weights").glob("*.md"),
    *(ROOT / "benchmarks").glob("*.md"),
]
EXPERIMENTS = sorted((ROOT / "docs" / "experiments").glob("[a-z]*.md"))
WITH_COMMANDS = [
    "README.md",
    "docs/COMPARE.md",
    "docs/PICTURES.md",
    "docs/VIDEO.md",
    "docs/BATCH.md",
    "docs/BSQ.md",
]
WITH_PYTHON = ["README.md", "docs/PYTHON.md", "docs/BSQ.md"]
PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"^ {4}(.*\bbsqcodec .*)$", re.MULTILINE)
LINK = re.compile(r"\]\(([^()\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
NAMED_FILE = re.compile(r"`((?:bsqcodec|tests|benchmarks|scripts|docs|weights)/[^`\s]*)`")
NOT_KEPT = {"benchmarks/report.html"}  # written by a command, and not committed
PLACEHOLDER = re.compile(r"@[A-Z_]{4,}@")
by_path = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def commands(text: str) -> list[list[str]]:
    """The arguments of each bsqcodec command in the indented blocks of a page, in order.

    A command that needs another program, a pipe or a scheduler is left out; `piped` has these.
    """
    return [words for words, alone in _commands(text) if alone]


def piped(text: str) -> list[list[str]]:
    """The arguments of the commands that `commands` leaves out."""
    return [words for words, alone in _commands(text) if not alone]


def _commands(text: str) -> Iterator[tuple[list[str], bool]]:
    for line in COMMAND.findall(text):
        parts = re.sub(r"\s# .*", "", line).split("|")
        (part,) = (part for part in parts if part.split()[0] == "bsqcodec")
        words = shlex.split(part)[1:]
        yield words, len(parts) == 1 and "--scheduler" not in words


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with every input that the documents' commands name.

    Workers of batches are no processes here, to save time; tests/batch/test_workers.py has those.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bsqcodec.cli.batch._executor", lambda *_: Inline())
    ramp = np.mgrid[:160, :240].astype(np.uint8)
    photo = Image.fromarray(np.stack([*ramp, 255 - ramp[0]], axis=2))
    photo.save("photo.jpg")
    photo.save("photo.png")
    Image.new("L", photo.size, 255).save("hole.png")
    Path("photos/2024").mkdir(parents=True)
    photo.save("photos/2024/a.jpg")
    photo.save("photos/b.tif")
    for number in range(3):
        photo.crop((number, 0, 48 + number, 32)).save(f"frame{number:05d}.png")
    # A hundred seconds in ten frames, so that --start 1:30 is inside.
    form: dict[str, Any] = {"width": 64, "height": 48, "pts": range(0, 2500, 250)}
    Path("clip.mp4").write_bytes(make_clip("mp4", "libx264", **form))
    Path("raw.yuv").write_bytes(bytes(352 * 288 * 3 // 2))
    api._codec.cache_clear()
    api_video._codec.cache_clear()
    yield tmp_path
    api._codec.cache_clear()
    api_video._codec.cache_clear()


@pytest.fixture
def both_families(
    video_weights: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder of tiny default weights of videos and of pictures, of both families."""
    folder = tmp_path_factory.mktemp("families")
    shutil.copytree(video_weights.parent, folder, dirs_exist_ok=True)
    save_bsq_weights(folder, (6, 12, 18))
    monkeypatch.setenv("BSQCODEC_WEIGHTS", str(folder))
    return folder


@pytest.mark.usefixtures("both_families", "folder")
@pytest.mark.parametrize("name", WITH_COMMANDS)
def test_the_commands_of_a_page(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Those of the README one after the other in one folder, as people may type them."""
    found = commands((ROOT / name).read_text(encoding="utf-8"))
    assert found
    if name == "README.md":
        Path("photo.png").unlink()
    for words in found:
        force = [] if name == "README.md" or words[0] in ("info", "verify") else ["--force"]
        assert main([*words, *force]) == 0, (words, capsys.readouterr().err)


@pytest.mark.parametrize("name", [*WITH_COMMANDS, "docs/CLUSTER.md"])
def test_the_commands_that_need_others_have_options_that_exist(name: str) -> None:
    for words in piped((ROOT / name).read_text(encoding="utf-8")):
        command = cli.commands[words[0]]
        command.make_context(words[0], words[1:])


def test_the_readme_is_short_and_has_ten_commands() -> None:
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    assert len(commands(text)) == 10
    used = {words[0] for words in commands(text)}
    assert used == {"encode", "decode", "info", "batch", "compare", "sweep"}


@pytest.mark.parametrize(("name", "most"), [("TRAINING.md", 200), ("ARCHITECTURE.md", 140)])
def test_the_pages_of_the_design_are_short(name: str, most: int) -> None:
    assert len((ROOT / "docs" / name).read_text(encoding="utf-8").splitlines()) <= most


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.name)
def test_an_experiment_begins_with_a_summary_of_three_lines(path: Path) -> None:
    title, blank, *summary, end, _ = path.read_text(encoding="utf-8").split("\n", 6)
    assert title.startswith("# ") and blank == end == ""
    summary = [line.split(": ")[0] for line in summary]
    assert summary == ["- Question", "- Measured", "- Answer"]
    index = (ROOT / "docs" / "experiments" / "README.md").read_text(encoding="utf-8")
    assert f"]({path.name})" in index


@pytest.mark.usefixtures("both_families", "folder")
@pytest.mark.parametrize("name", WITH_PYTHON)
def test_the_python_of_a_page(name: str, tmp_path: Path) -> None:
    blocks = PYTHON_BLOCK.findall((ROOT / name).read_text(encoding="utf-8"))
    assert blocks
    (tmp_path / "page.py").write_text("\n".join(blocks), encoding="utf-8")
    names = runpy.run_path("page.py")
    assert names["image"].size == (240, 160)


def anchors(text: str) -> set[str]:
    """The names that GitHub gives the headings of a page."""
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(text))
    return {heading.replace(" ", "-") for heading in plain}


@by_path
def test_links_lead_to_files_and_headings(path: Path) -> None:
    text = re.sub(
        r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    for link in LINK.findall(text):
        if link.startswith(("https://", "http://")):
            continue
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), link


@by_path
def test_files_that_a_page_names_exist(path: Path) -> None:
    for name in NAMED_FILE.findall(path.read_text(encoding="utf-8")):
        placeholder = re.search(r"[A-Z]{4,}(?!\.md)", name)  # as in kodak_NAME.json
        assert placeholder or name in NOT_KEPT or any(ROOT.glob(name)), name


@by_path
def test_no_placeholder_is_left(path: Path) -> None:
    assert PLACEHOLDER.findall(path.read_text(encoding="utf-8")) == []


def test_the_version_is_the_installed_one() -> None:
    done = CliRunner().invoke(cli, ["--version"])
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\n## {done.output.split()[1]}\n" in changelog
