"""Shell completion: what the shells ask for, and a bash that asks."""

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import bsqcodec
from bsqcodec.cli.completion import SHELLS
from bsqcodec.cli.main import main

ROOT = Path(bsqcodec.__file__).parents[1]
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}


def completed(*words: str) -> list[str]:
    """What bash is told for the last of these words, as type,value."""
    asked = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    program = (
        "import sys; from bsqcodec.cli.main import main\n"
        "try:\n    main()\n"
        "finally:\n    heavy = {'torch', 'numpy', 'PIL', 'av'} & set(sys.modules)\n"
        "    assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=ENVIRONMENT | asked | {"_BSQCODEC_COMPLETE": "bash_complete"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["bsqcodec", "enc"], ["plain,encode"]),
        (["bsqcodec", "encode", "--ef"], ["plain,--effort"]),
        (["bsqcodec", "encode", "--tune", ""], ["plain,psnr", "plain,ms-ssim"]),
        (["bsqcodec", "decode", "--format", "ti"], ["plain,tiff"]),
        (["bsqcodec", "encode", "pho"], ["file,pho"]),
        (["bsqcodec", "encode", "a.png", "b"], ["file,b"]),
        (["bsqcodec", "decode", "a.bsq", "-o", "fol"], ["file,fol"]),
        (["bsqcodec", "batch", "in", "--log", "l"], ["file,l"]),
    ],
)
def test_what_is_completed(words: list[str], expected: list[str]) -> None:
    """Nothing heavy is imported for it, since people wait for it."""
    found = completed(*words)
    assert [line for line in found if line in expected] == expected
    if expected[0].startswith("file"):
        assert found == expected


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_one_of_its_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert f"_BSQCODEC_COMPLETE={shell}_complete" in script
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed, so that nothing reads its script")
    subprocess.run([shell, "-n"], input=script.encode(), check=True)


def needs(shell: str) -> pytest.MarkDecorator:
    """Skips a test where a shell is missing."""
    missing = shutil.which(shell) is None
    return pytest.mark.skipif(missing, reason=f"{shell} is not installed (Debian: apt install)")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: photo.png, my cat.png, and bsqcodec, which is on the path.

    Asked for completions, that answers; else it writes its arguments to the file `given`.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("HOME", str(tmp_path))
    program = tmp_path / "bsqcodec"
    program.write_text(
        f"""#!/bin/sh
        test -n "$_BSQCODEC_COMPLETE" && exec {sys.executable} -m bsqcodec
        printf '%s\\n' "$@" >given.part && mv given.part given
        """
    )
    program.chmod(0o755)
    for name in ("photo.png", "my cat.png"):
        (tmp_path / name).touch()
    return tmp_path


def script_of(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


@needs("bash")
@pytest.mark.usefixtures("folder")
def test_a_bash_completes_options(capsys: pytest.CaptureFixture[str]) -> None:
    script = script_of("bash", capsys) + (
        "COMP_WORDS=(bsqcodec encode --pix-); COMP_CWORD=2\n"
        '_bsqcodec_completion bsqcodec --pix- encode; printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("--pix-fmt\n", "")


@needs("fish")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("bsqcodec enc", ["encode"]),
        ("bsqcodec encode --pix-", ["--pix-fmt"]),
        ("bsqcodec encode pho", ["photo.png"]),
        ("bsqcodec encode my", ["my cat.png"]),
        ("bsqcodec encode photo.png --tune ms", ["ms-ssim"]),
        ("bsqcodec encode photo.png -o pho", ["photo.png"]),
    ],
)
def test_a_fish_completes(
    folder: Path, capsys: pytest.CaptureFixture[str], line: str, expected: list[str]
) -> None:
    completions = folder / ".config" / "fish" / "completions"
    completions.mkdir(parents=True)
    (completions / "bsqcodec.fish").write_text(script_of("fish", capsys))
    done = subprocess.run(
        ["fish", "-c", f"complete --do-complete '{line}'"],
        env=os.environ | {"XDG_CONFIG_HOME": str(folder / ".config")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert [found.split("\t")[0] for found in done.stdout.splitlines()] == expected
    assert done.stderr == ""


def typed(lines: str, folder: Path) -> list[str]:
    """The arguments that bsqcodec gets from lines that are typed to a zsh at a terminal."""
    ours, its = pty.openpty()
    zsh = subprocess.Popen(
        ["zsh", "-f", "-i"],
        stdin=its,
        stdout=its,
        stderr=its,
        env=os.environ | {"TERM": "dumb"},
        start_new_session=True,
    )
    os.close(its)
    given = folder / "given"
    deadline = time.monotonic() + 300
    output = b""
    try:
        os.write(ours, lines.encode())
        while not given.exists():
            assert zsh.poll() is None and time.monotonic() < deadline, output
            if select.select([ours], [], [], 0.05)[0]:
                output += os.read(ours, 4096)
    finally:
        zsh.kill()
        zsh.wait()
        os.close(ours)
    return given.read_text().splitlines()


@needs("zsh")
@pytest.mark.parametrize("way", ["fpath", "source"])
def test_a_zsh_completes(folder: Path, capsys: pytest.CaptureFixture[str], way: str) -> None:
    """A subcommand, an option, its value and file names, one after the other in one zsh."""
    (folder / "_bsqcodec").write_text(script_of("zsh", capsys))
    load = f"autoload -Uz compinit; compinit -u -D{'' if way == 'fpath' else '; . ./_bsqcodec'}"
    given = typed(
        f"fpath=($PWD $fpath); {load}\nbsqcodec enc\t--eff\t1 pho\t--tun\tms\tmy\t\n", folder
    )
    expected = ["encode", "--effort", "1", "photo.png", "--tune", "ms-ssim", "my cat.png"]
    assert given == expected
