"""docs/man is what the commands say of themselves, as man shows it."""

import runpy
import shutil
import subprocess
from pathlib import Path

import pytest

from bsqcodec.cli.main import cli

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "man"


def test_the_pages_are_current() -> None:
    made = runpy.run_path(str(ROOT / "scripts" / "write_man_pages.py"))["pages"]()
    written = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()}
    assert written == made, "run python scripts/write_man_pages.py"
    assert set(made) == {"bsqcodec.1", *(f"bsqcodec-{name}.1" for name in cli.commands)}


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff, which shows them, is missing")
def test_a_page_reads_as_the_help_does() -> None:
    done = subprocess.run(
        ["groff", "-man", "-Tascii", "-ww", "-P-cbou", FOLDER / "bsqcodec-decode.1"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    text = " ".join(done.stdout.split())
    assert "bsqcodec-decode - Decode .bsq files to pictures and videos" in text
    assert "pattern such as out%05d.png." in text
    assert "--levels N Pictures: decode only the first N levels" in text
