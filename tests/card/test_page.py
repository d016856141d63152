"""The page of a diff: what it may do, and how it looks in a browser."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import card_changes
import pytest

from pipeline.card.card_html import sections
from pipeline.card.page import page
from pipeline.card.snapshot import Snapshot

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
VOID = {"meta", "img", "br", "hr", "wbr", "link", "input"}


class Outline(HTMLParser):
    """Tags and their attributes, and whether every tag is closed where it has to be."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.wrong = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def html(body, **assets):
    return "".join(block for section in sections(body, assets) for block in section.blocks)


def made(measured, case, **changes):
    old, new = card_changes.cases(measured)[case]
    sides = [Snapshot(label, one.card(), one.evidence, one.lock) for label, one in (("HEAD", old), ("now", new))]
    return page(card_changes.named(measured, case), *(replace(side, **changes) for side in sides))


@pytest.mark.parametrize("case", ["nothing", "worse", "recipe", "words", "hostile"])
def test_it_is_whole_and_asks_for_nothing(case, measured):
    text = made(measured, case)
    outline = Outline(text)
    assert (outline.open, outline.wrong) == ([], [])
    assert {tag for tag, _ in outline.tags}.isdisjoint({"script", "link", "iframe", "object", "form", "base", "style2"})
    for tag, attributes in outline.tags:
        assert not {name for name in attributes if name.startswith("on") or name == "style"}, (tag, attributes)
        assert not attributes.get("src", "data:image/png").startswith(("http", "//"))
        assert not attributes.get("href", "").startswith(("javascript", "data", "vbscript"))


def test_its_policy_allows_its_own_style_and_no_other(measured):
    text = made(measured, "worse")
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:;" in text
    assert "unsafe" not in text
    assert "url(" not in style


def test_details_are_folded_and_other_tags_are_text():
    shown = html("<details>\n<summary>Three *files* <b></summary>\n\n| a |\n|---|\n| `b` |\n\n</details>\n\n<b>x</b>\n")
    assert shown.startswith("<details>\n<summary>Three <em>files</em> &lt;b&gt;</summary>")
    assert "<td><code>b</code></td>" in shown
    assert "&lt;b&gt;x&lt;/b&gt;" in shown


@pytest.mark.parametrize(
    "body",
    [
        "</details>\n\nx",
        "<details>\n\nx",
        "> <details>\n\nx\n\n</details>",
        "<details>\n\n- a\n</details>\n- b",
        "- x\n  <details>\n\n</details>",
        "<details>\n<details>\n</details>\n",
        "<summary>x</summary>",
        "<details open onclick=x>\n</details>",
        "```\n<details>\n```\n</details>",
        "<details>\n## h\n</details>\n## i",
    ],
)
def test_a_card_cannot_leave_its_place_on_the_page(body):
    outline = Outline(f"<main>{html(body)}</main>")
    assert (outline.open, outline.wrong) == ([], []), html(body)


def test_images_of_the_release_are_within_the_page_and_no_others():
    shown = html("![speed](assets/speed.png) ![x](https://evil.example/x.png)", **{"assets/speed.png": PNG})
    assert re.search(r'<img alt="speed" src="data:image/png;base64,[^"]+">', shown)
    assert "Image: x" in shown
    assert "evil.example" not in shown
    assert "javascript" not in html("[x](javascript:alert(1))").partition("href")[2]


def test_sections_stand_beside_those_of_the_same_heading():
    old = Snapshot("old", "---\na: 1\n---\n# T\n\n## A\n\nsame\n\n## Gone\n\nx\n\n## B\n\nbefore\n")
    new = Snapshot("new", "---\na: 2\n---\n# T\n\n## A\n\nsame\n\n## B\n\nafter\n")
    text = page(card_changes.diff("demo", old, new), old, new)
    rows = re.findall(r'<div class="row (same|other)">(.*?)</div>\n(?=<div class="row|</main>)', text, re.DOTALL)
    assert [kind for kind, _ in rows] == ["other", "same", "same", "other", "other"]
    assert "before" in rows[-1][1]
    assert "after" in rows[-1][1]
    assert rows[3][1].count("Gone") == 1


def test_only_the_rows_of_a_table_that_changed_are_marked(measured):
    text = made(measured, "error-unknown")
    marked = re.findall(r'<tr class="mark">(.*?)</tr>', text, re.DOTALL)
    assert any("0.313" in row for row in marked)
    assert any("0.350" in row for row in marked)
    assert not any("0.0120" in row for row in marked), "the median is what it was"


def geometry(browser, selector):
    script = f"""[...document.querySelectorAll({selector!r})].map(element => {{
        const box = element.getBoundingClientRect(); return [box.left, box.top, box.right, box.bottom, box.width] }})"""
    return [[round(number) for number in box] for box in browser.run(script)]


def assert_nothing_is_cut_off(browser):
    """Nothing is wider than the window, and what is wider than its side can be moved sideways."""
    whole = browser.run("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert whole[0] <= whole[1]
    script = """[...document.querySelectorAll(".changes, .side")].flatMap(box => [...box.querySelectorAll("*")]
        .filter(inner => inner.getBoundingClientRect().right > box.getBoundingClientRect().right + 1)
        .filter(inner => !inner.parentElement.closest("pre, .wide"))
        .map(inner => inner.outerHTML.slice(0, 200)))"""
    assert browser.run(script) == []
    movable = "[...document.querySelectorAll('pre, .wide')].every(box => getComputedStyle(box).overflowX === 'auto')"
    assert browser.run(movable) is True
    # A shadow that stays at the edge, and what covers it once the end is reached: scroll bars may be hidden.
    layers = "[...document.querySelectorAll('pre, .wide')].map(box => getComputedStyle(box).backgroundAttachment)"
    assert all(box.startswith("local, local, scroll, scroll") for box in browser.run(layers))


@pytest.fixture
def written(measured, tmp_path):
    def write(case):
        path = tmp_path / f"{case}.html"
        path.write_text(made(measured, case, assets={"assets/speed.png": PNG}), encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize("case", ["worse", "recipe", "hostile"])
def test_a_wide_window_has_both_cards_side_by_side(case, written, browser):
    browser.open(written(case), 1280)
    old, new = geometry(browser, ".row > .old"), geometry(browser, ".row > .new")
    assert len(old) == len(new) > 5
    for left, right in zip(old, new, strict=True):
        assert left[1] == right[1], "at one height"
        assert left[2] <= right[0] + 1, "beside each other"
        assert abs(left[4] - right[4]) <= 1, "of one width"
        assert 550 < left[4] < 640
    (main,) = geometry(browser, "main")
    assert all(below[3] <= main[1] for below in geometry(browser, ".changes")), "the diff is above the cards"
    assert_nothing_is_cut_off(browser)
    assert browser.complaints() == []
    outside = [address for address in browser.requests() if not address.startswith("data:image/png")]
    assert outside == [written(case).as_uri()]


def test_the_widest_tables_of_a_shipped_card_fit_beside_each_other(browser, tmp_path):
    """Speeds of five models, and the tensor classes of a mixture of experts."""
    card = (Path(__file__).parents[2] / "releases" / "v2.5" / "README.md").read_text(encoding="utf-8")
    old, new = Snapshot("old", card), Snapshot("new", card.replace("GB", "kB"))
    path = tmp_path / "page.html"
    path.write_text(page(card_changes.diff("v2.5", old, new), old, new), encoding="utf-8")
    browser.open(path, 1280)
    tables = "[...document.querySelectorAll('.side .wide')].map(box => [box.scrollWidth - box.clientWidth, "
    found = browser.run(tables + "box.querySelector('tr').cells.length])")
    assert max(columns for _, columns in found) == 6
    assert [wider for wider, _ in found if wider > 0] == []


@pytest.mark.parametrize("case", ["worse", "recipe", "hostile"])
def test_a_narrow_window_has_them_below_each_other(case, written, browser):
    browser.open(written(case), 400)
    pairs = zip(geometry(browser, ".other > .old"), geometry(browser, ".other > .new"), strict=True)
    for old, new in pairs:
        assert old[0] == new[0]
        assert old[3] <= new[1] + 1, "below each other"
        assert old[4] == new[4] > 330, "as wide as the window"
    same = browser.run("[...document.querySelectorAll('.same > .old')].map(side => side.offsetHeight)")
    assert same
    assert not any(same), "what is the same is shown once"
    assert_nothing_is_cut_off(browser)
    assert browser.complaints() == []


def test_it_can_be_read_by_day_and_by_night(written, browser):
    seen = []
    for dark in (False, True):
        browser.open(written("worse"), 1280, dark=dark)
        style = "(selector) => { const s = getComputedStyle(document.querySelector(selector)); return [s.color, "
        style += "s.backgroundColor] }"
        seen.append([browser.run(f"({style})({selector!r})") for selector in (".badge", "main", "body")])
        for selector in (".badge", "main"):
            color, behind = browser.run(f"({style})({selector!r})")
            color = color if selector == ".badge" else browser.run(f"({style})('body')")[0]
            assert contrast(color, behind) > 4.5, (selector, dark, color, behind)
    assert seen[0] != seen[1]


def contrast(one, other):
    """As the Web Content Accessibility Guidelines define it; 4.5 is what they ask of text."""

    def luminance(color):
        parts = [int(number) / 255 for number in re.findall(r"\d+", color)[:3]]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)
