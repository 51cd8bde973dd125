"""Pages in a real browser: keys, touch, zoom, the error, frames, plots and narrow screens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from bsqcodec.compare.page import Page, Plot, Series, Side, picture_url

from .browser import Browser, open_browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with open_browser(tmp_path_factory.mktemp("browser")) as found:
        yield found


def page(frames: int = 1, sides: int = 2, width: int = 40, height: int = 30) -> Page:
    """A page of flat pictures, of which side s has values 10 s + frame above 100."""

    def url(value: int) -> str:
        return picture_url(np.full((height, width, 3), value, np.uint8))

    return Page(
        title="a <b>.png & b.bsq",
        width=width,
        height=height,
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
const clip = () => getComputedStyle($("a")).clipPath, out = {};
out.rows = $$('#table tr').map(r => r.innerText.split('\\t'));
out.title = document.title;
out.start = clip(); key('ArrowRight'); out.moved = clip();
key('3'); out.right = clip(); key(' '); out.left = clip();
const before = $("sheet").offsetWidth;
for (let i = 0; i < 5; i++) key('+');
out.larger = $("sheet").offsetWidth / before;
key('4');
await until(() => $("error").dataset.drawn);
out.error = [...$("error").getContext('2d').getImageData(3, 3, 1, 1).data];
out.dots = $$('svg circle').length;
out.frames = !$("frames").hidden;
return out;
"""


def test_keys_zoom_and_error(browser: Browser) -> None:
    browser.show(page().html())
    found = browser.run(KEYS)
    assert found["title"] == "a <b>.png & b.bsq"
    assert [row[:1] for row in found["rows"]] == [[""], ["side0"], ["side1"]]
    assert [len(row) for row in found["rows"]] == [3, 3, 3]  # the empty column is left out
    assert found["start"] == "inset(0px 50% 0px 0px)" and "48%" in found["moved"]
    assert "100%" in found["right"] and "100%" not in found["left"]
    assert found["larger"] == pytest.approx(3)
    assert found["error"] == [80, 80, 80, 255]
    assert found["dots"] == 2 and not found["frames"]


FRAMES = """
const shown = () => [$("time").textContent, state.frame], out = [shown()];
key('.'); key('.'); out.push(shown()); key('.'); out.push(shown());
$("back").click(); out.push(shown());
const same = $("b").getAttribute('src') === data.sides[1].pictures[1];
const choice = $("second"); choice.value = 2; choice.onchange();
return {out, same, other: $("b").alt, choice: !$("choice").hidden};
"""


def test_frames_are_stepped_and_sides_chosen(browser: Browser) -> None:
    browser.show(page(frames=3, sides=3).html())
    found = browser.run(FRAMES)
    assert found["out"] == [["0.00 s", 0], ["0.20 s", 2], ["0.20 s", 2], ["0.10 s", 1]]
    assert found["same"] and found["other"] == "side2" and found["choice"]


NARROW = """
const all = $$('button, select, input, output, h1').filter(e => e.offsetParent);
return {page: document.documentElement.scrollWidth,
        right: Math.max(...all.map(e => e.getBoundingClientRect().right)),
        small: all.filter(e => e.matches('button, select, input') && e.offsetHeight < 36).length};
"""


def test_a_narrow_screen_shows_all(browser: Browser) -> None:
    browser.show(page(frames=3, sides=3).html(), width=400)
    found = browser.run(NARROW)
    assert found["page"] <= 400 and found["right"] <= 400 and found["small"] == 0


def test_both_colour_schemes(browser: Browser) -> None:
    def colours(text: str) -> Any:
        browser.show(text)
        return browser.run(
            "const style = getComputedStyle(document.body);"
            "return [style.backgroundColor, style.color];"
        )

    text = page().html()
    light = colours(text)
    dark = colours(text.replace("(prefers-color-scheme: dark)", "(min-width: 1px)"))
    assert light[0] == "rgb(255, 255, 255)" and dark[0] != light[0] and dark[1] != light[1]


@pytest.fixture
def phone(browser: Browser) -> Browser:
    """A page with frames, three sides and a plot on a narrow touch screen."""
    browser.show(page(frames=3, sides=3, width=600, height=400).html(), width=400, touch=True)
    return browser


def box(browser: Browser, selector: str) -> tuple[float, float, float, float]:
    """Left, top, width and height of an element that is scrolled into view."""
    left, top, width, height = browser.run(
        f"const e = document.querySelector({selector!r}); e.scrollIntoView({{block: 'center'}});"
        "const b = e.getBoundingClientRect(); return [b.left, b.top, b.width, b.height];"
    )
    return left, top, width, height


def tap(browser: Browser, selector: str, right: float = 0) -> None:
    """Touch the middle of an element, or so many pixels to the right of it."""
    left, top, width, height = box(browser, selector)
    browser.touch((left + width / 2 + right, top + height / 2))


def reached(browser: Browser, condition: str) -> None:
    """Wait until a condition holds: what a touch does follows it at some time."""
    browser.run(f"await until(() => {condition});")


def test_a_finger_moves_the_border(phone: Browser) -> None:
    left, top, width, height = box(phone, "#sheet")
    middle = top + height / 2
    quarter, end = left + width / 4, left + width
    # Not a straight line: the page must not scroll under the finger.
    phone.touch((left + width / 2, middle), (left + width / 3, middle + 50), (quarter, middle))
    reached(phone, "Math.abs(state.split - .25) < .01")
    phone.touch((quarter, middle), (left + width / 2, middle), (end + 30, middle))
    reached(phone, "state.split === 1")
    assert phone.run("return $('stage').scrollWidth - $('stage').clientWidth;") == 0
    phone.touch((end - 4, middle), (left + width / 2, middle))
    reached(phone, "Math.abs(state.split - .5) < .02")
    assert box(phone, "#sheet") == (left, top, width, height)


@pytest.mark.parametrize(
    ("slider", "moved"),
    [("split", "state.split > .9"), ("frame", "state.frame === 2"), ("gain", "state.gain > 4")],
)
def test_a_finger_moves_the_sliders(phone: Browser, slider: str, moved: str) -> None:
    if slider == "gain":
        tap(phone, "[data-mode=error]")
        reached(phone, "!$('gainbar').hidden")
    left, top, width, height = box(phone, f"#{slider}")
    middle = top + height / 2
    phone.touch(*((left + width * part, middle) for part in (0.5, 0.7, 0.97)))
    reached(phone, moved)


def test_taps_choose_what_is_shown(phone: Browser) -> None:
    tap(phone, "[data-mode=second]")
    reached(phone, "state.mode === 'second'")
    tap(phone, "#table tbody tr:last-child")
    reached(phone, "state.second === 2")
    tap(phone, "circle[data-side]", right=-15)  # a finger is wider than a dot
    reached(phone, "state.second === 1")
    tap(phone, "#forth")
    reached(phone, "state.frame === 1")


def test_a_tap_tells_the_values_of_a_dot(phone: Browser) -> None:
    """As a mouse is told them when it rests on one."""
    tap(phone, "circle", right=10)
    reached(phone, "$$('figure output')[0].textContent === 'x: 0, 30'")


def test_a_finger_pans_an_enlarged_picture(phone: Browser) -> None:
    for _ in range(6):
        tap(phone, "#in")
    reached(phone, "state.zoom === 6")
    left, top, width, height = box(phone, "#stage")
    x, y = left + width * 0.2, top + height / 2
    before = phone.run("return $('stage').scrollLeft;")
    phone.touch(*((x - step * 10, y) for step in range(6)))
    reached(phone, f"$('stage').scrollLeft > {before}")
    assert phone.run("return state.split;") == 0.5
