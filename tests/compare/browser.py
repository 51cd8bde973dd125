"""A real browser for tests of pages: Chromium without a window, driven by its DevTools protocol.

Protocol: https://chromedevtools.github.io/devtools-protocol/, messages over a pipe that end in NUL.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_PATIENCE_SECONDS: Final = 300
"""How long an answer is waited for. It ends a hanging browser and says nothing about speed."""

_PRELUDE: Final = """
const until = async condition => {
  while (!condition()) await new Promise(after => setTimeout(after, 20));
};
const key = k => document.dispatchEvent(new KeyboardEvent('keydown', {key: k, bubbles: true}));
const $$ = selector => [...document.querySelectorAll(selector)];
await until(() => document.documentElement.dataset.ready);
await Promise.all([...document.images].map(image => image.decode()));
"""


class Browser:
    """One running Chromium and its one page.

    program: of Chromium. folder: for its profile and the pages.
    """

    def __init__(self, program: str, folder: Path) -> None:
        self._folder = folder
        self._unread = b""
        self._last_id = 0
        self._session: str | None = None
        self._process, self._to, self._from = _start(program, folder)
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]

    def close(self) -> None:
        """End the browser, by closing the pipe."""
        os.close(self._to)
        os.close(self._from)
        try:
            self._process.wait(_PATIENCE_SECONDS)
        finally:
            self._process.kill()

    def show(self, page: str, width: int = 1000, *, touch: bool = False) -> None:
        """Load a page in a window `width` pixels wide, of a device with a touch screen or not."""
        self._call("Emulation.setTouchEmulationEnabled", enabled=touch)
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=800,
            deviceScaleFactor=1,
            mobile=touch,
        )
        file = self._folder / "page.html"
        file.write_text(page, encoding="utf-8")
        # By way of another page, so that nothing answers for the page before.
        for url in ("about:blank", file.as_uri()):
            self._call("Page.navigate", url=url)
            self._wait_until_loaded(url)

    def run(self, script: str) -> Any:
        """What an asynchronous script returns in the page, once the page is drawn.

        It may use `until(condition)`, `key(name)` and `$$(selector)`. Raises AssertionError for
        an exception in the script.
        """
        return self._evaluate(f"(async () => {{ {_PRELUDE} {script} }})()")

    def touch(self, *points: Sequence[float]) -> None:
        """Put a finger on the first of the points (x, y), move it over the others, lift it."""
        for number, (x, y) in enumerate(points):
            kind = "touchMove" if number else "touchStart"
            self._call("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": x, "y": y}])
        self._call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def _wait_until_loaded(self, url: str) -> None:
        loaded = f"document.readyState === 'complete' && location.href === {json.dumps(url)}"
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not self._evaluate(loaded):
            assert time.monotonic() < deadline, f"{url} was not loaded"
            time.sleep(0.02)

    def _evaluate(self, expression: str) -> Any:
        """The value of an expression, or of its promise."""
        found = self._call(
            "Runtime.evaluate",
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of a method of the protocol. Raises AssertionError for an error."""
        self._last_id += 1
        message = {"id": self._last_id, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + _PATIENCE_SECONDS
        answer: dict[str, Any] = {}
        while answer.get("id") != self._last_id:  # else an event
            answer = json.loads(self._next_message(deadline, method))
        assert "error" not in answer, (method, answer["error"])
        found: dict[str, Any] = answer["result"]
        return found

    def _next_message(self, deadline: float, method: str) -> bytes:
        while b"\0" not in self._unread:
            left = max(0.0, deadline - time.monotonic())
            assert select.select([self._from], [], [], left)[0], f"no answer to {method}"
            data = os.read(self._from, 1 << 16)
            assert data, f"Chromium ended during {method}"
            self._unread += data
        message, _, self._unread = self._unread.partition(b"\0")
        return message


def _start(program: str, folder: Path) -> tuple[subprocess.Popen[bytes], int, int]:
    """A Chromium that reads the protocol from its descriptor 3 and writes it to 4, and our ends."""
    reads, to_browser = os.pipe()
    from_browser, writes = os.pipe()
    # The shell gives the ends their numbers, in this order, as `reads` may be 3 or 4 itself.
    command = ["sh", "-c", f'exec "$@" 3</dev/fd/{reads} 4>/dev/fd/{writes}', "sh", program]
    command += ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
    command += [f"--user-data-dir={folder / 'profile'}"]
    process = subprocess.Popen(
        command, pass_fds=(reads, writes), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    os.close(reads)
    os.close(writes)
    return process, to_browser, from_browser


@contextmanager
def open_browser(folder: Path) -> Iterator[Browser]:
    """A browser whose files are in a folder. The test is skipped where there is no Chromium."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip("no Chromium is installed (Debian: apt install chromium)")
    browser = Browser(program, folder)
    try:
        yield browser
    finally:
        browser.close()
