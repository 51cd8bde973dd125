"""Shell completion: what the shells ask for, and a bash that asks."""

import os
import shutil
import subprocess
import sys
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


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_a_bash_completes_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = tmp_path / "bsqcodec"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m bsqcodec "$@"\n')
    program.chmod(0o755)
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out + (
        "COMP_WORDS=(bsqcodec encode --pix-); COMP_CWORD=2\n"
        '_bsqcodec_completion bsqcodec --pix- encode; printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    environment = ENVIRONMENT | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("--pix-fmt\n", "")
