"""A real browser for tests of pages: Chromium without a window."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome")


def run_in_browser(page: str, script: str, folder: Path, width: int = 1000) -> Any:
    """What an asynchronous script in a page, shown `width` pixels wide, returns (as JSON).

    The test is skipped where there is no Chromium.
    """
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip("no Chromium is installed (Debian: apt install chromium)")
    outer = folder / "outer.html"
    outer.write_text(
        f'<!doctype html><iframe id="f" width="{width}" height="800" style="border:0"></iframe>'
        '<pre id="found"></pre><script>'
        "const f = document.getElementById('f'), put = value =>"
        " document.getElementById('found').textContent = JSON.stringify(value);"
        "f.onload = async () => { const w = f.contentWindow, d = f.contentDocument;"
        " try { await Promise.all([...d.images].map(i => i.decode()));"
        f" put(await (async () => {{ {script} }})()); }}"
        " catch (error) { put({error: String(error)}); } };"
        f"f.srcdoc = {json.dumps(page).replace('<', chr(92) + 'u003c')};</script>"
    )
    command = [
        program,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--virtual-time-budget=60000",
    ]
    command += [f"--user-data-dir={folder / 'profile'}", "--window-size=1200,1000", "--dump-dom"]
    done = subprocess.run(
        [*command, outer.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found is not None and found[1], done.stderr[-2000:]
    return json.loads(html.unescape(found[1]))
