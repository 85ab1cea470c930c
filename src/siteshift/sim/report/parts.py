"""The parts of a scenario's report: plots, tables and words, each a piece of HTML."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from siteshift.core.model.units import ServiceId, SiteId
from siteshift.drawing.chart import Axes, Bars, Limit, Mark, Series, Stroke, nice_top, plot_bars, plot_events, plot_lines
from siteshift.sim.criteria.criterion import Evidence, Judged
from siteshift.sim.faults.acts import Ask
from siteshift.sim.peers.nothing import BesideNothing
from siteshift.sim.report.series import envelope, steps, sums
from siteshift.sim.results.loss import WEIGHTS
from siteshift.sim.results.record import Record, Second
from siteshift.sim.run.replay import Figures, Outcome, evidence_of
from siteshift.sim.scenario.scenario import Scenario

MINUTE_S, HOUR_S = 60, 3_600
MOST_ROWS = 400
"""Rows of a table of what was said; the transcript has everything."""


def _asked(ask: Ask) -> str:
    """``kim: drain gasan``."""
    request = ask.request
    word = type(request).__name__.removesuffix("Request").lower()
    about = getattr(request, "member", None) or getattr(request, "site", None) or getattr(request, "service", None)
    return f"{ask.person}: {word} {about}" if about else f"{ask.person}: {word}"


@dataclass(kw_only=True)
class Drawing:
    """The plots of one run on one time axis."""

    scenario: Scenario
    record: Record

    @cached_property
    def evidence(self) -> Evidence:
        return evidence_of(self.scenario, self.record)

    @cached_property
    def sites(self) -> tuple[SiteId, ...]:
        return self.scenario.world.topology.site_ids

    @cached_property
    def _span(self) -> tuple[float, float, float, str]:
        """First and last second, and in what the axis counts."""
        until_s = self.record.duration_ms / 1000
        from_s = -min(self.scenario.warm_up_ms / 1000, max(5.0, until_s / 60))
        if until_s <= 5 * MINUTE_S:
            return from_s, until_s, 1, "seconds of the scenario"
        if until_s <= 6 * HOUR_S:
            return from_s, until_s, MINUTE_S, "minutes of the scenario"
        return from_s, until_s, HOUR_S, "hours of the scenario"

    def _axes(self, top: float, unit: str, height: int = 220, digits: int = 0) -> Axes:
        from_s, until_s, tick_s, label = self._span
        return Axes(
            from_s=from_s,
            until_s=until_s,
            top=top,
            unit=unit,
            height=height,
            digits=digits,
            tick_s=tick_s,
            time_label=label,
            gap_s=max(2.5, (until_s - from_s) / 50),
            marks=self._injuries(),
        )

    def _injuries(self) -> tuple[Mark, ...]:
        marks = [Mark(at_s=entry.at_ms / 1000, css="m-fault") for entry in self.record.injuries]
        marks += [Mark(at_s=e.healed_ms / 1000, css="m-return") for e in self.record.injuries if e.healed_ms is not None]
        return tuple(marks)

    def timeline(self) -> str:
        """Faults, heals, what people asked for, and the first move after any of it."""
        marks = [
            Mark(at_s=entry.at_ms / 1000, css="m-fault", label=(entry.label or entry.text)[:60]) for entry in self.record.injuries
        ]
        marks += [
            Mark(at_s=entry.healed_ms / 1000, css="m-return", label=f"healed: {entry.label or entry.kind}"[:60])
            for entry in self.record.injuries
            if entry.healed_ms is not None
        ]
        asks = [(event.at_ms, event.act) for event in self.scenario.events if isinstance(event.act, Ask)]
        marks += [Mark(at_s=at_ms / 1000, css="m-person", label=_asked(ask)) for at_ms, ask in asks]
        began_ms = min([*(entry.at_ms for entry in self.record.injuries), *(at_ms for at_ms, _ in asks)], default=0)
        first = next((move for move in self.record.moves if move.at_ms >= began_ms), None)
        if first is not None:
            marks.append(Mark(at_s=first.at_ms / 1000, css="m-write", label="first move"))
        return plot_events(self._axes(1, ""), marks)

    def shares(self, service: ServiceId) -> str:
        """Desired, actual and seen shares of a service."""
        lines = []
        for number, site in enumerate(self.sites):
            series = self.evidence.by_place.get((service, site), [])
            css = f"s{number}"
            lines.append(Series(label=f"{site} seen", css=css, points=envelope(series, lambda s: s.seen_bp / 100)))
            for stroke, field in _STROKES:
                lines.append(Series(label=f"{site} {stroke}", css=css, points=steps(series, field), stroke=stroke, steps=True))
        return plot_lines(self._axes(100, "share of traffic, %", 250), lines)

    def utilisation(self) -> str:
        """How full the sites were: the fullest service of each."""
        lines = []
        highest = 100.0
        for number, site in enumerate(self.sites):
            points = envelope(self._fullest(site), lambda s: s.utilisation_pm / 10)
            highest = max([highest, *(value for _, value in points)])
            lines.append(Series(label=str(site), css=f"s{number}", points=points))
        limit_pm = self.scenario.policy.default.max_utilisation_pm
        limits = [Limit(value=limit_pm / 10, label=f"limit {limit_pm / 10:g} %", anchor="end")]
        return plot_lines(self._axes(min(250.0, nice_top(highest)), "load on open capacity, %"), lines, limits)

    def _fullest(self, site: SiteId) -> list[Second]:
        every = [series for (_, at), series in self.evidence.by_place.items() if at == site]
        return [max(group, key=lambda s: s.utilisation_pm) for group in zip(*every, strict=False)]

    def losses(self) -> str:
        """Requests lost by site."""
        from_s, until_s, _, _ = self._span
        width_s = max(1, round((until_s - from_s) / 300))
        layers = []
        stacked: dict[float, float] = {}
        for number, site in enumerate(self.sites):
            every = [s for (_, at), series in self.evidence.by_place.items() if at == site for s in series]
            points = sums(every, lambda s: s.lost, width_s)
            for at_s, value in points:
                stacked[at_s] = stacked.get(at_s, 0.0) + value
            layers.append(Bars(label=str(site), css=f"s{number}", points=points, width_s=width_s))
        top = nice_top(max([1.0, *stacked.values()]), 4)
        return plot_bars(self._axes(top, "requests lost per second", 180, digits=0 if top >= 4 else 1), layers)


_STROKES: tuple[tuple[Stroke, Callable[[Second], float]], ...] = (
    (Stroke.DASHED, lambda s: s.desired_bp / 100),
    (Stroke.DOTTED, lambda s: s.actual_bp / 100),
)


def legend(entries: Iterable[tuple[str, str]]) -> str:
    """Colours and what they stand for."""
    return "".join(f'<span class="key"><i class="swatch {css}"></i>{html.escape(label)}</span>' for css, label in entries)


def seconds(value_ms: float | None) -> str:
    """A time for a cell; a dash for what did not happen."""
    return "–" if value_ms is None else f"{value_ms / 1000:.2f} s" if value_ms < 100_000 else f"{value_ms / 1000:.0f} s"


def lost_text(figures: Figures) -> str:
    return "–" if figures.lost_s is None else f"{figures.lost_s:.1f} s"


def tiles(figures: Figures) -> str:
    """The run in seven figures."""
    part = 100 * figures.loss.weighed() / max(1.0, figures.offered_requests)
    entries = [
        (seconds(figures.detect_ms), "T_detect", "the leader calls the site bad"),
        (seconds(figures.decide_ms), "T_decide", "its desired share falls"),
        (seconds(figures.t95_ms), "T95", f"T50 {seconds(figures.t50_ms)}"),
        (lost_text(figures), "lost, in seconds of the site's traffic", f"{part:.3g} % of all requests"),
        (f"{figures.peak_utilisation_pm / 10:.0f} %", "fullest healthy site", ""),
        (str(figures.moves), "moves", f"{figures.wrong_moves} of them wrong"),
        (f"{figures.extra_probes_pm / 10:.1f} %", "extra probe load", ""),
    ]
    return "".join(
        f'<div class="tile"><b>{html.escape(value)}</b><span>{html.escape(name)}</span><small>{html.escape(note)}</small></div>'
        for value, name, note in entries
    )


def losses_beside(beside: BesideNothing) -> str:
    """Ours and nothing done's: the parts in requests, the loss by weight in seconds of the failed site's traffic."""
    heads = ("", "failed", "shed", "late", *(f"w = {name}" for name in WEIGHTS))
    head = "".join(f'<th class="num">{html.escape(name)}</th>' for name in heads)
    body = ""
    for name, loss in (("siteshift", beside.ours), ("nothing done", beside.nothing)):
        cells = [f"{amount:,.0f}" for amount in (loss.failed, loss.shed, loss.late)]
        cells += [f"{loss.weighed(weight) / beside.site_rps:.1f} s" for weight in WEIGHTS.values()]
        body += f"<tr><td>{name}</td>" + "".join(f'<td class="num">{cell}</td>' for cell in cells) + "</tr>"
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def losses_by_fault(beside: BesideNothing) -> str:
    """The same fault by fault, beside nothing done and the peer that lost least then; empty where nothing befell."""
    heads = ("from", "siteshift", "nothing done", "best peer", "more than nothing")
    head = "<th>after</th>" + "".join(f'<th class="num">{html.escape(name)}</th>' for name in heads)
    body = ""
    for one in beside.faults:
        site_rps, best = one.beside.site_rps, one.best_peer
        peer = "–" if best is None else f"{best[0]} {best[1].weighed() / site_rps:.1f} s"
        more = f"{one.beside.more_s():+.1f} s"
        cells = [
            f"{one.stretch.from_ms / 1_000:g} s",
            *(f"{loss.weighed() / site_rps:.1f} s" for loss in (one.beside.ours, one.beside.nothing)),
            peer,
        ]
        mark = f'<span class="mark-bad">{more}</span>' if one.beside.is_worse else more
        row = "".join(f'<td class="num">{html.escape(cell)}</td>' for cell in cells)
        body += f'<tr><td>{html.escape(one.stretch.label)}</td>{row}<td class="num">{mark}</td></tr>'
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if body else ""


def verdict(outcome: Outcome) -> str:
    """Every criterion with what was found, and what cannot be judged yet."""
    rows = "".join(_criterion_row(entry) for entry in outcome.judged)
    rows += "".join(
        f'<li class="later"><b>○</b> {html.escape(entry.what)} <em>not yet judged: needs {html.escape(entry.needs)}</em></li>'
        for entry in outcome.later
    )
    missed = len(outcome.missed)
    waiting = f"; {len(outcome.later)} not yet judged" if outcome.later else ""
    head = f"{missed} of {len(outcome.judged)} criteria missed" if missed else f"All {len(outcome.judged)} criteria met"
    css = "bad" if missed else "ok"
    return f'<section class="verdict {css}"><h3>{head}{waiting}</h3><ul>{rows}</ul></section>'


def _criterion_row(entry: Judged) -> str:
    css, sign = ("ok", "✓") if entry.is_met else ("bad", "✗")
    return f'<li class="{css}"><b>{sign}</b> {html.escape(entry.demand)} <em>{html.escape(entry.found)}</em></li>'


def rows(cells: Iterable[Sequence[str]]) -> str:
    """Table rows; the first cell is a time."""
    return "".join(
        f'<tr><td class="num">{html.escape(first)}</td>' + "".join(f"<td>{html.escape(cell)}</td>" for cell in rest) + "</tr>"
        for first, *rest in cells
    )
