"""Pages in a real browser: the slider, keys, zoom, the error, frames, plots and narrow screens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bsqcodec.compare.page import Page, Plot, Series, Side, picture_url

from .browser import run_in_browser


def url(value: int) -> str:
    return picture_url(np.full((30, 40, 3), value, np.uint8))


def page(frames: int = 1, sides: int = 2) -> Page:
    """A page of flat pictures, of which side s has values 10 s + frame above 100."""
    return Page(
        title="a <b>.png & b.bsq",
        width=40,
        height=30,
        columns=["bytes", "PSNR (dB)", "never measured"],
        sides=[
            Side(f"side{s}", [f"{s} kB", "30.0" if s else "", ""],
                 [url(100 + 10 * s + f) for f in range(frames)])
            for s in range(sides)
        ],
        plots=[Plot("PSNR", "seconds", "dB", [Series("x", [(0, 30), (1, 31.5, 1)])])],
        notes=["a <note>"],
        times=[f / 10 for f in range(frames)] if frames > 1 else None,
    )  # fmt: skip


def test_the_page_needs_nothing_else() -> None:
    text = page().html()
    assert "http" not in text and "//" not in text.replace("</", "").split("base64")[0]
    assert "a &lt;b&gt;.png &amp; b.bsq" in text and "a <note>" not in text


KEYS = """
const key = k => d.dispatchEvent(new KeyboardEvent('keydown', {key: k, bubbles: true}));
const clip = () => w.getComputedStyle(d.getElementById('a')).clipPath, out = {};
out.rows = [...d.querySelectorAll('#table tr')].map(r => r.innerText.split('\\t'));
out.title = d.title;
out.start = clip(); key('ArrowRight'); out.moved = clip();
key('3'); out.right = clip(); key(' '); out.left = clip();
const before = d.getElementById('sheet').offsetWidth;
for (let i = 0; i < 5; i++) key('+');
out.larger = d.getElementById('sheet').offsetWidth / before;
key('4');
for (let i = 0; i < 50 && !d.getElementById('error').dataset.drawn; i++)
  await new Promise(r => setTimeout(r, 20));
out.error = [...d.getElementById('error').getContext('2d').getImageData(3, 3, 1, 1).data];
out.dots = d.querySelectorAll('svg circle').length;
out.frames = !d.getElementById('frames').hidden;
return out;
"""


def test_keys_zoom_and_error(tmp_path: Path) -> None:
    found = run_in_browser(page().html(), KEYS, tmp_path)
    assert found["title"] == "a <b>.png & b.bsq"
    assert [row[:1] for row in found["rows"]] == [[""], ["side0"], ["side1"]]
    assert [len(row) for row in found["rows"]] == [3, 3, 3]  # the empty column is left out
    assert found["start"] == "inset(0px 50% 0px 0px)" and "48%" in found["moved"]
    assert "100%" in found["right"] and "100%" not in found["left"]
    assert found["larger"] == pytest.approx(3)
    assert found["error"] == [80, 80, 80, 255]
    assert found["dots"] == 2 and not found["frames"]


FRAMES = """
const key = k => d.dispatchEvent(new KeyboardEvent('keydown', {key: k, bubbles: true}));
const shown = () => [d.getElementById('time').textContent, w.eval('state.frame')], out = [shown()];
key('.'); key('.'); out.push(shown()); key('.'); out.push(shown());
d.getElementById('back').click(); out.push(shown());
const same = d.getElementById('b').getAttribute('src') === w.eval('data.sides[1].pictures[1]');
const choice = d.getElementById('second'); choice.value = 2; choice.onchange();
return {out, same, other: d.getElementById('b').alt, choice: !d.getElementById('choice').hidden};
"""


def test_frames_are_stepped_and_sides_chosen(tmp_path: Path) -> None:
    found = run_in_browser(page(frames=3, sides=3).html(), FRAMES, tmp_path)
    assert found["out"] == [["0.00 s", 0], ["0.20 s", 2], ["0.20 s", 2], ["0.10 s", 1]]
    assert found["same"] and found["other"] == "side2" and found["choice"]


NARROW = """
const all = [...d.querySelectorAll('button, select, input, output, h1')]
  .filter(e => e.offsetParent);
return {page: d.documentElement.scrollWidth,
        right: Math.max(...all.map(e => e.getBoundingClientRect().right)),
  small: all.filter(e => e.tagName === 'BUTTON' && e.offsetHeight < 36).length};
"""


def test_a_narrow_screen_shows_all(tmp_path: Path) -> None:
    found = run_in_browser(page(frames=3, sides=3).html(), NARROW, tmp_path, width=400)
    assert found["page"] <= 400 and found["right"] <= 400 and found["small"] == 0


def test_both_colour_schemes(tmp_path: Path) -> None:
    text = page().html().replace("(prefers-color-scheme: dark)", "(min-width: 1px)")
    script = (
        "return [w.getComputedStyle(d.body).backgroundColor, w.getComputedStyle(d.body).color];"
    )
    light, dark = (run_in_browser(t, script, tmp_path) for t in (page().html(), text))
    assert light[0] == "rgb(255, 255, 255)" and dark[0] != light[0] and dark[1] != light[1]
