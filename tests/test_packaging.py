"""What gets installed: every package, the command, and the weights, wherever Python runs."""

import configparser
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BUILD = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
BUILD_EDITABLE = BUILD.replace("build_wheel", "build_editable")
FIND = "from importlib.resources import files; print(files('bsqcodec.weights_data'))"


def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def test_setup_cfg_lists_every_package() -> None:
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in (ROOT / "bsqcodec").rglob("__init__.py")
    }
    listed = setup_cfg()["options"]["packages"].split()
    assert listed == sorted(found | {"bsqcodec.weights_data"})


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A copy of what a build needs, with weights of one file."""
    folder = tmp_path / "sources"
    ignored = shutil.ignore_patterns("__pycache__", "*.safetensors", "*.egg-info")
    for name in ("bsqcodec", "weights"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    shutil.copytree(ROOT / "docs" / "man", folder / "docs" / "man")
    for name in ("setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "README.md").write_text("# bsqcodec\n")
    (folder / "weights" / "some.safetensors").write_bytes(b"weights")
    (folder / "weights" / "index.json").write_text("{}")
    return folder


def build(program: str, sources: Path) -> zipfile.ZipFile:
    """Build a wheel in `sources` and open it."""
    subprocess.run(
        [sys.executable, "-c", program, "dist"], cwd=sources, check=True, capture_output=True
    )
    (wheel,) = (sources / "dist").glob("*.whl")
    return zipfile.ZipFile(wheel)


def test_a_wheel_holds_the_weights_and_the_command(sources: Path, tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    with build(BUILD, sources) as wheel:
        names = wheel.namelist()
        wheel.extractall(installed)
    for name in ("some.safetensors", "index.json"):
        assert f"bsqcodec/weights_data/{name}" in names
    pages = {name.rpartition("/")[2] for name in names if "/data/share/man/man1/" in name}
    assert pages == set(os.listdir(ROOT / "docs" / "man"))
    assert "bsqcodec/py.typed" in names  # type checkers of others read our annotations
    assert {name.split("/")[0].split("-")[0] for name in names} == {"bsqcodec"}
    (entry_points,) = installed.glob("*.dist-info/entry_points.txt")
    assert "bsqcodec = bsqcodec.cli.main:main" in entry_points.read_text()
    assert Path(where_weights_are(installed, tmp_path)) == installed / "bsqcodec" / "weights_data"


def test_an_editable_install_finds_the_weights_of_the_sources(
    sources: Path, tmp_path: Path
) -> None:
    installed = tmp_path / "installed"
    with build(BUILD_EDITABLE, sources) as wheel:
        wheel.extractall(installed)
    assert Path(where_weights_are(installed, tmp_path)) == sources / "weights"


def where_weights_are(installed: Path, folder: Path) -> str:
    """Ask a Python that runs in `folder`, with `installed` as a folder of installed packages."""
    program = f"import site; site.addsitedir({str(installed)!r}); {FIND}"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()
