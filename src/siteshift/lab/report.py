"""The report of one run as a single HTML file: no outside asset, light and dark, readable without JavaScript.

JavaScript adds one thing: a cross-hair over all plots with the values at that second.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

from siteshift.drawing.chart import Axes, Bars, Limit, Mark, Series, Stroke, nice_top, plot_bars, plot_events, plot_lines
from siteshift.lab.measure import HIGHLIGHT, CapacitySample, Milestones, NodeEvent, SharesAt, shares_seen, utilisation
from siteshift.lab.timeline import BIN_MS, UNPLACED, Bin, totals

TEMPLATE = Path(__file__).with_name("report.html")
PLOT_WINDOW_MS = 1_000
"""Shares are drawn over one second; utilisation over the window by which it is judged (`measure.WINDOW_MS`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """One thing the run had to show, and whether it did."""

    text: str
    is_met: bool
    found: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Everything a report is made of. ``labels`` are site ids with the names people know, in the order to draw."""

    title: str
    summary: str
    labels: Mapping[str, str]
    bins: Sequence[Bin]
    milestones: Milestones
    desired: Sequence[SharesAt] = ()
    capacities: Sequence[CapacitySample] = ()
    events: Sequence[NodeEvent] = ()
    criteria: Sequence[Criterion] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    limit_pm: int = 900
    return_ms: int | None = None


def write_report(run: Run, path: Path) -> None:
    """Write the report; the folder is made when needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(run), encoding="utf-8")


def render(run: Run) -> str:
    """The report as HTML."""
    plots = _Plots(run)
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=html.escape(run.title),
        summary=html.escape(run.summary),
        verdict=_verdict(run.criteria),
        tiles=_tiles(run),
        milestones=_milestones(run.milestones),
        shares=plots.shares(),
        utilisation=plots.utilisation(),
        losses=plots.losses(),
        latency=plots.latency(),
        timeline=plots.events(),
        site_legend=_legend([(f"s{n}", label) for n, label in enumerate(run.labels.values())]),
        mark_legend=_legend(_mark_legend(run)),
        losses_table=_losses_table(run),
        event_rows=_event_rows(run),
        parameters="".join(
            f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in run.parameters.items()
        ),
        data=json.dumps(plots.hover_data(), separators=(",", ":")).replace("<", "\\u003c"),
    )


class _Plots:
    """The plots of one run on one time axis, in seconds after the fault."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._zero_ms = run.milestones.fault_ms
        first = run.bins[0].at_ms if run.bins else self._zero_ms
        last = run.bins[-1].at_ms + BIN_MS if run.bins else self._zero_ms + 1_000
        self._from_s = max(self._s(first), -15.0)
        self._until_s = self._s(last)
        self._css = {site: f"s{number}" for number, site in enumerate(run.labels)}

    def _s(self, at_ms: int) -> float:
        return (at_ms - self._zero_ms) / 1000

    def _axes(self, top: float, unit: str, height: int = 250) -> Axes:
        marks = tuple(Mark(at_s=self._s(at_ms), css=css) for css, at_ms, _ in _phases(self._run))
        return Axes(from_s=self._from_s, until_s=self._until_s, top=top, unit=unit, marks=marks, height=height)

    def shares(self) -> str:
        seen = shares_seen(self._run.bins, window_ms=PLOT_WINDOW_MS)
        whole_ms = min((at_ms for at_ms, _ in seen), default=0) + PLOT_WINDOW_MS  # before, the window is not full
        lines = []
        for site, label in self._run.labels.items():
            css = self._css[site]
            points = [(self._s(at_ms), shares.get(site, 0) / 100) for at_ms, shares in seen if at_ms >= whole_ms]
            lines.append(Series(label=f"{label} seen", css=css, points=points))
            wanted = [(self._s(entry.at_ms), entry.shares_bp.get(site, 0) / 100) for entry in self._run.desired]
            lines.append(Series(label=f"{label} desired", css=css, points=wanted, stroke=Stroke.DASHED, steps=True))
        return plot_lines(self._axes(100, "share of traffic, %"), lines)

    def utilisation(self) -> str:
        lines = []
        highest = self._run.limit_pm / 10 + 10
        for site, label in self._run.labels.items():
            found = utilisation(self._run.bins, self._run.capacities, site)
            points = [(self._s(at_ms), pm / 10) for at_ms, pm in found]
            highest = max([highest, *(value for _, value in points)])
            lines.append(Series(label=label, css=self._css[site], points=points))
        limit = Limit(value=self._run.limit_pm / 10, label=f"limit {self._run.limit_pm / 10:.0f} %")
        full = Limit(value=100, label="all open capacity", anchor="end")
        top = min(200.0, nice_top(highest))
        return plot_lines(self._axes(top, "asked of open capacity, %"), lines, [limit, full] if top >= 110 else [limit])

    def losses(self) -> str:
        layers = []
        highest = 1.0
        for entry in self._run.bins:
            highest = max(highest, entry.lost)
        for site, css in [*self._css.items(), (UNPLACED, "s9")]:
            points = [
                (self._s(entry.at_ms), float(entry.sites[site].lost_total)) for entry in self._run.bins if site in entry.sites
            ]
            layers.append(Bars(label=site, css=css, points=points, width_s=BIN_MS / 1000))
        return plot_bars(self._axes(nice_top(highest, 4), "requests lost per 100 ms", 210), layers)

    def latency(self) -> str:
        lines = []
        highest = 100.0
        for site, label in self._run.labels.items():
            points = self._mean_latency(site)
            highest = max([highest, *(value for _, value in points)])
            lines.append(Series(label=label, css=self._css[site], points=points))
        return plot_lines(self._axes(nice_top(highest, 4), "mean latency, ms", 210), lines)

    def _mean_latency(self, site: str) -> list[tuple[float, float]]:
        points = []
        size = PLOT_WINDOW_MS // BIN_MS
        for start in range(0, len(self._run.bins) - size + 1, size):
            window = self._run.bins[start : start + size]
            count = totals(window).get(site)
            if count is not None and count.served:
                points.append((self._s(window[-1].at_ms + BIN_MS), count.latency_ms / count.served))
        return points

    def events(self) -> str:
        marks = [Mark(at_s=self._s(at_ms), css=css, label=label) for css, at_ms, label in _phases(self._run)]
        known = {mark.label for mark in marks}
        marks += [
            Mark(at_s=self._s(event.at_ms), css="m-event", label=event.text[:60])
            for event in self._run.events
            if event.kind == HIGHLIGHT and event.text not in known
        ]
        return plot_events(self._axes(1, ""), marks)

    def hover_data(self) -> list[list[float | str]]:
        """Per second: time, then per site share seen and utilisation, and what was lost: for the cross-hair."""
        rows: list[list[float | str]] = []
        seen = dict(shares_seen(self._run.bins, window_ms=PLOT_WINDOW_MS))
        used = {
            site: dict(utilisation(self._run.bins, self._run.capacities, site, window_ms=PLOT_WINDOW_MS))
            for site in self._run.labels
        }
        size = PLOT_WINDOW_MS // BIN_MS
        for start in range(0, len(self._run.bins) - size + 1, size):
            window = self._run.bins[start : start + size]
            at_ms = window[-1].at_ms + BIN_MS
            text = [
                f"{label}: {seen[at_ms].get(site, 0) / 100:.1f} % of traffic, {used[site].get(at_ms, 0) / 10:.0f} % used"
                for site, label in self._run.labels.items()
            ]
            text.append(f"lost in this second: {sum(entry.lost for entry in window)}")
            rows.append([self._s(at_ms), *text])
        return rows


def _phases(run: Run) -> list[tuple[str, int, str]]:
    """The instants every plot marks: (css class, instant, label)."""
    found = run.milestones
    all_of_them = [
        ("m-fault", found.fault_ms, "fault"),
        ("m-bad", found.first_bad_ms, "first bad request"),
        ("m-suspect", found.suspicion_ms, "suspicion"),
        ("m-diagnosis", found.diagnosis_ms, "diagnosis"),
        ("m-write", found.first_write_ms, "first write"),
        ("m-t95", found.t95_ms, "T95"),
        ("m-return", run.return_ms, "site repaired"),
    ]
    return [(css, at_ms, label) for css, at_ms, label in all_of_them if at_ms is not None]


def _mark_legend(run: Run) -> list[tuple[str, str]]:
    return [(css, label) for css, _, label in _phases(run)]


def _legend(entries: Sequence[tuple[str, str]]) -> str:
    return "".join(f'<span class="key"><i class="swatch {css}"></i>{html.escape(label)}</span>' for css, label in entries)


def _verdict(criteria: Sequence[Criterion]) -> str:
    if not criteria:
        return ""
    met = all(criterion.is_met for criterion in criteria)
    head = "All criteria met" if met else "Not all criteria met"
    rows = "".join(
        f'<li class="{"ok" if c.is_met else "bad"}"><b>{"✓" if c.is_met else "✗"}</b> {html.escape(c.text)}'
        f"{f' <em>{html.escape(c.found)}</em>' if c.found else ''}</li>"
        for c in criteria
    )
    return f'<section class="verdict {"ok" if met else "bad"}"><h2>{head}</h2><ul>{rows}</ul></section>'


def _seconds(value_ms: int | None) -> str:
    return "–" if value_ms is None else f"{value_ms / 1000:.2f} s"


def _tiles(run: Run) -> str:
    found = run.milestones
    lost_pct = 100 * found.lost / max(1, found.offered)
    tiles = [
        ("first bad request to first write", _seconds(found.after_ms(found.first_write_ms)), ""),
        ("to 95 % of requests well placed", _seconds(found.after_ms(found.t95_ms)), "T95"),
        ("requests lost", f"{found.lost:,}", f"{lost_pct:.2f} % of {found.offered:,} offered"),
        ("lost because of our move", f"{found.lost_by_our_move:,}", "at sites without a fault"),
        ("highest utilisation of a survivor", f"{found.survivor_peak_pm / 10:.0f} %", "over any 5 s"),
    ]
    return "".join(
        f'<div class="tile"><b>{value}</b><span>{html.escape(name)}</span><small>{html.escape(note)}</small></div>'
        for name, value, note in tiles
    )


def _milestones(found: Milestones) -> str:
    rows = [
        ("first bad request", found.first_bad_ms, "a user's request went wrong"),
        ("suspicion", found.suspicion_ms, "the node noticed and looks closer"),
        ("diagnosis", found.diagnosis_ms, "the node named the fault"),
        ("first write", found.first_write_ms, "a data plane was told to steer away"),
        ("T95", found.t95_ms, "from here on 95 % of all requests are well placed"),
    ]
    shown = [found.after_ms(at_ms) or 0 for _, at_ms, _ in rows]
    widest = max([1, *shown])
    return "".join(
        f'<tr><th>{name}</th><td class="num">{_seconds(found.after_ms(at_ms))}</td>'
        f'<td class="track"><i style="width:{100 * max(0, after) / widest:.1f}%"></i></td><td>{meaning}</td></tr>'
        for (name, at_ms, meaning), after in zip(rows, shown, strict=True)
    )


def _losses_table(run: Run) -> str:
    rows = []
    for site, count in totals(run.bins).items():
        name = run.labels.get(site, "unknown (behind the balancer)")
        reasons = ", ".join(f"{reason.replace('_', ' ')} {number:,}" for reason, number in sorted(count.lost.items()))
        rows.append(
            f'<tr><th>{html.escape(name)}</th><td class="num">{count.sent:,}</td><td class="num">{count.served:,}</td>'
            f'<td class="num">{count.late:,}</td><td class="num">{count.lost_total:,}</td>'
            f'<td class="num">{max(0, count.sent - count.served - count.lost_total):,}</td>'
            f"<td>{html.escape(reasons or '–')}</td></tr>"
        )
    return "".join(rows)


def _event_rows(run: Run) -> str:
    return "".join(
        f'<tr><td class="num">{(event.at_ms - run.milestones.fault_ms) / 1000:+.2f} s</td>'
        f"<td>{html.escape(event.kind)}</td><td>{html.escape(run.labels.get(event.site, event.site))}</td>"
        f"<td>{html.escape(event.text)}</td></tr>"
        for event in run.events
    )
