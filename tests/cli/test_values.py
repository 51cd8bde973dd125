"""Values of options that mean nothing: one line that says what is meant,
and where such a one goes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bsqcodec.cli.main import main

Output = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("-q high", "'high' is not a number from 0 to 100"),
        ("-q 101", "'101' is not a number from 0 to 100"),
        ("-q -1", "'-1' is not a number from 0 to 100"),
        ("-q 80%", "'80%' is not a number from 0 to 100"),
        ("-q nan", "'nan' is not a number from 0 to 100"),
        ("-q 1e999", "'1e999' is not a number from 0 to 100"),
        ("--quality=", "'' is not a number from 0 to 100"),
        ("--quality 500k", "from 0 to 100; --bitrate takes bits a second of a video"),
        ("--bpp low", "'low' is not a number of bits above 0, such as 0.5"),
        ("--bpp 0", "'0' is not a number of bits above 0"),
        ("--bpp -.5", "'-.5' is not a number of bits above 0"),
        ("--bpp inf", "'inf' is not a number of bits above 0"),
        ("--bpp 800kbps", "--bitrate takes bits a second of a video"),
        ("--bpp 20kB", "--size takes bytes of the file"),
        ("--psnr good", "'good' is not a number of decibels above 0, such as 35"),
        ("--psnr 40dB", "'40dB' is not a number of decibels above 0"),
        ("--psnr 0", "'0' is not a number of decibels above 0"),
        ("--size small", "'small' is not a size such as 20000, 20k or 1.5M"),
        ("--size 0", "is less than a byte"),
        ("--size -5", "'-5' is not a size such as"),
        ("--size 352x288", "--frame-size takes the width and height of bare samples (.yuv)"),
        ("--size 1920X1080", "--frame-size takes the width and height"),
        ("--size 1920\u00d71080", "--frame-size takes the width and height"),
        ("--size 640:360", "--frame-size takes the width and height"),
        ("--size 640*360", "--frame-size takes the width and height"),
        ("--size 352x288@30", "--frame-size takes the width and height"),
        ("--size 500kbps", "--bitrate takes bits a second of a video"),
        ("--size " + "9" * 400, "is no size that a file has"),
        ("--bitrate fast", "'fast' is not a bitrate such as 500000, 500k or 1.5M"),
        ("--bitrate 0", "a bitrate of 0 is not a positive number"),
        ("--bitrate -1k", "'-1k' is not a bitrate"),
        ("--bitrate 20kB", "--size takes bytes of the file"),
        ("--bitrate " + "9" * 400, "not a positive number"),
        ("--frame-size 352", "'352' is not a size such as 352x288"),
        ("--frame-size 0x288", "'0x288' is not a size"),
        ("--frame-size 20kB", "--size takes bytes of the file"),
        ("--fps fast", "'fast' is not a frame rate such as 25 or 30000/1001"),
        ("--fps 0", "'0' is not a frame rate"),
        ("--fps -25", "'-25' is not a frame rate"),
        ("--fps 1/0", "'1/0' is not a frame rate"),
        ("--fps 25fps", "'25fps' is not a frame rate"),
        ("--fps 1e999999999", "is not a frame rate"),
        ("--fps nan", "'nan' is not a frame rate"),
        ("--gop many", "'many' is not a whole number from 1 to 1024"),
        ("--gop 0", "'0' is not a whole number from 1 to 1024"),
        ("--gop 2.5", "'2.5' is not a whole number from 1 to 1024"),
        ("--effort max", "'max' is not a whole number from 0 to 2"),
        ("--effort 3", "'3' is not a whole number from 0 to 2"),
        ("--threads all", "'all' is not a whole number from 1 on"),
        ("--threads 0", "'0' is not a whole number from 1 on"),
        ("--max-pixels 100M", "'100M' is not a whole number from 1 on"),
        ("--tune best", "'best' is not one of"),
        ("--device gpu", "'gpu' is not one of"),
        ("--name both", "'both' is not one of"),
    ],
)
def test_values_of_encode(arguments: str, message: str, photo: Path, capsys: Output) -> None:
    assert main(["encode", "photo.png", *arguments.split(" ", 1)]) == 2
    out, err = capsys.readouterr()
    assert err.startswith("bsqcodec: error: Invalid value for '-") and err.count("\n") == 1
    assert message in err and err.endswith(" (see bsqcodec encode --help)\n")
    assert (out, os.listdir()) == ("", ["photo.png"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--start soon", "'soon' is not a time such as 90, 1:30 or 0:01:30.5"),
        ("--start -1", "'-1' is not a time"),
        ("--start 90s", "'90s' is not a time"),
        ("--start 1:2:3:4", "'1:2:3:4' is not a time"),
        ("--start 0:75", "has more than 59 minutes or seconds"),
        ("--start " + "9" * 400, "is not a time"),
        ("--duration long", "'long' is not a time"),
        ("--crf best", "'best' is not a whole number from 0 to 63"),
        ("--crf 64", "'64' is not a whole number from 0 to 63"),
        ("--levels all", "'all' is not a whole number from 1 to 255"),
        ("--levels 0", "'0' is not a whole number from 1 to 255"),
        ("--format doc", "'doc' is not one of"),
    ],
)
def test_values_of_decode(arguments: str, message: str, photo: Path, capsys: Output) -> None:
    assert main(["decode", "photo.bsq", *arguments.split(" ", 1)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("bsqcodec: error: Invalid value for '-") and err.count("\n") == 1
    assert message in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("-q high", "'high' is not a number from 0 to 100"),
        ("--size 352x288", "'352x288' is not a size such as 20000, 20k or 1.5M (see"),
        ("--workers few", "'few' is not a whole number from 1 on"),
        ("--workers 0", "'0' is not a whole number from 1 on"),
    ],
)
def test_values_of_batch(arguments: str, message: str, photo: Path, capsys: Output) -> None:
    """There is no --frame-size in it to point to."""
    assert main(["batch", ".", "out", *arguments.split()]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("option", ["-q 1_0", "-q 50.5", "--bpp .5", "--size 20kB", "--size 20Ki"])
def test_values_that_are_right(option: str, photo: Path, capsys: Output) -> None:
    assert main(["encode", "absent.png", *option.split()]) == 1
    assert "absent.png: No such file or directory" in capsys.readouterr().err
