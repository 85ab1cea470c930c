"""A report is one file that stands alone, and a browser draws something."""

from __future__ import annotations

import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lab.a_fault import CAPACITIES, EVENTS, FAULT_MS, bins
from siteshift.drawing.chart import nice_step, nice_top
from siteshift.lab.measure import HIGHLIGHT, NodeEvent, SharesAt, measure
from siteshift.lab.report import Criterion, Run, render, write_report

VOID = {"meta", "link", "br", "img", "input", "hr"}


def a_run() -> Run:
    seen = bins(moved_after_s=4)
    return Run(
        title="Pangyo <crashes>",
        summary="A test & nothing else.",
        labels={"pangyo": "Pangyo", "gasan": "Gasan", "anyang": "Anyang"},
        bins=seen,
        milestones=measure(seen, EVENTS, CAPACITIES, site="pangyo", fault_ms=FAULT_MS, until_ms=30_000),
        desired=[
            SharesAt(at_ms=0, shares_bp={"pangyo": 5_000, "gasan": 3_000, "anyang": 2_000}),
            SharesAt(at_ms=10_950, shares_bp={"pangyo": 0, "gasan": 5_000, "anyang": 5_000}),
        ],
        capacities=CAPACITIES,
        events=[*EVENTS, NodeEvent(at_ms=12_000, kind=HIGHLIGHT, text="standby ready", site="gasan")],
        criteria=[Criterion(text="left within 1 s", is_met=True, found="0.91 s")],
        parameters={"load": "100 requests/s"},
        return_ms=25_000,
    )


class Outline(HTMLParser):
    """Checks nesting and collects what the page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "data")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_report_is_well_formed_and_refers_to_nothing_outside() -> None:
    text = render(a_run())
    outline = Outline()
    outline.feed(text)
    assert outline.open == []
    assert outline.references == []
    assert "http" not in text.replace("http-equiv", "")
    assert outline.tags.count("svg") == 5


def test_a_report_shows_the_figures_and_escapes_the_words() -> None:
    text = render(a_run())
    assert "Pangyo &lt;crashes&gt;" in text
    assert "A test &amp; nothing else." in text
    for word in ("0.91 s", "83 %", "All criteria met", "limit 90 %", "standby ready", "100 requests/s"):
        assert word in text


def test_a_run_in_which_nothing_happened_can_be_drawn() -> None:
    nothing = measure([], [], [], site="pangyo", fault_ms=0, until_ms=1)
    text = render(Run(title="t", summary="s", labels={"pangyo": "Pangyo"}, bins=[], milestones=nothing))
    assert "–" in text


def test_both_themes_define_the_same_colours() -> None:
    text = render(a_run())
    light, dark = text.split("@media (prefers-color-scheme: dark)")
    names = {word for word in dark.split("}")[0].replace("{", " ").replace(":", " ").split() if word.startswith("--")}
    assert len(names) > 15
    assert all(f"{name}:" in light for name in names)


@pytest.mark.servers
def test_a_browser_draws_the_report(tmp_path: Path) -> None:
    page, picture = tmp_path / "report.html", tmp_path / "report.png"
    write_report(a_run(), page)
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1240,2600", f"--screenshot={picture}"]
    try:
        subprocess.run([*command, page.as_uri()], check=True, capture_output=True, timeout=120)
    except FileNotFoundError:
        pytest.fail("chromium is missing: apt-get install chromium")
    assert picture.stat().st_size > 60_000, "a blank page of this size has some 10 kB"


@pytest.mark.parametrize(("value", "top"), [(1, 1), (7, 8), (83, 100), (104, 150), (190, 200), (1_234, 1_500)])
def test_an_axis_ends_at_a_round_number(value: float, top: float) -> None:
    assert nice_top(value) >= value
    assert nice_top(value) == pytest.approx(top)


def test_steps_are_round() -> None:
    assert [nice_step(span, 5) for span in (5, 9, 20, 100, 180)] == pytest.approx([1, 2, 5, 20, 50])
