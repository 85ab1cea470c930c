"""The report of one run or of a whole library as a single HTML file: nothing from outside, light and dark, no script.

A run's part is made beside its record (in the process that ran it); the file is put together from the parts.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

from siteshift.sim.peers.nothing import BesideNothing
from siteshift.sim.report.parts import MOST_ROWS, Drawing, legend, losses_beside, losses_by_fault, rows, seconds, tiles, verdict
from siteshift.sim.report.words import sentence
from siteshift.sim.results.record import Line, Record
from siteshift.sim.run.replay import Outcome, Verdict
from siteshift.sim.scenario.scenario import Scenario

TEMPLATE = Path(__file__).with_name("report.html")

ACTS = frozenset({"decision", "answer", "finding", "tell", "term", "command", "violation"})
BELIEFS = frozenset({"belief", "life"})
QUIET_MS = -2_000
"""What was said before belongs to the warm-up: it is in the transcript."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One run's part of a report."""

    outcome: Outcome
    beside: BesideNothing
    body: str


def write_report(parts: Sequence[Part], path: Path) -> None:
    """Write the file; its folder is made when needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(parts), encoding="utf-8")


def render(parts: Sequence[Part]) -> str:
    """The page: a table where there are several runs, and every run's part."""
    single = parts[0].outcome.title if len(parts) == 1 else ""
    head = "" if single else _library(parts)
    bodies = "".join(f'<div class="scenario" id="{html.escape(part.outcome.id)}">{part.body}</div>' for part in parts)
    page = Template(TEMPLATE.read_text(encoding="utf-8"))
    return page.substitute(title=html.escape(single or "Replays"), body=head + bodies)


def part_of(scenario: Scenario, record: Record, outcome: Outcome, beside: BesideNothing) -> Part:
    """What the report says of one run."""
    drawing = Drawing(scenario=scenario, record=record)
    sites = legend([(f"s{number}", str(site)) for number, site in enumerate(drawing.sites)])
    kinds = legend([("solid", "seen in requests"), ("dash", "desired"), ("dots", "actual (what data planes give)")])
    courses = (("fault", "fault"), ("return", "healed"), ("person", "asked by a person"), ("write", "first move"))
    marks = legend([(f"upright m-{css}", text) for css, text in courses])
    source = html.escape(scenario.source)
    if scenario.link:
        source = f'<a href="{html.escape(scenario.link)}">{source}</a>'
    body = [
        f"<h2>{html.escape(scenario.title)}</h2>",
        '<p class="lead"><a class="back" href="#top">to the top</a>'
        f"<b>{html.escape(scenario.id)}</b> · {source} · seed {outcome.seed}</p>",
        f'<section class="story"><div><h3>What happened</h3><p>{html.escape(scenario.happened)}</p></div>'
        f"<div><h3>What it teaches</h3><p>{html.escape(scenario.lesson)}</p></div></section>",
        verdict(outcome),
        f'<div class="tiles">{tiles(outcome.figures)}</div>',
        _section("Beside nothing done", html.escape(_beside_text(beside)), losses_beside(beside)),
        *([_section("Fault by fault", _FAULT_BY_FAULT, found)] if (found := losses_by_fault(beside)) else []),
        _section("The course of events", "", drawing.timeline() + f"<div>{marks}</div>"),
    ]
    for service in drawing.evidence.services:
        body.append(_section(f"Shares of {html.escape(service)}", "", f"<div>{sites}{kinds}</div>{drawing.shares(service)}"))
    note = "What is asked of a site, as a part of the capacity open and alive there."
    body.append(_section("Utilisation", note, f"<div>{sites}</div>{drawing.utilisation()}"))
    body.append(
        _section("Requests lost", "After their retries, by the site that lost them.", f"<div>{sites}</div>{drawing.losses()}")
    )
    if scenario.notes:
        body.append(_section("Not simulated", "", "".join(f"<p>{html.escape(note)}</p>" for note in scenario.notes)))
    body.append('<div class="columns">')
    body.append(_section("Why each act was taken or refused", "", _said(record, ACTS)))
    body.append(_section("What each node believed", "", _said(record, BELIEFS)))
    body.append("</div>")
    return Part(outcome=outcome, beside=beside, body="".join(body))


_FAULT_BY_FAULT = (
    "What was lost from each fault's start to the next one's, or to the end, in seconds of the traffic of the sites it harms (of "
    "all, where it harms none). What an earlier fault still does counts where it happens."
)


def _beside_text(beside: BesideNothing) -> str:
    """What follows from the table."""
    lost_s = beside.nothing.weighed() / beside.site_rps
    more_s = beside.more_s()
    verb = f"{more_s:.1f} s more were lost" if more_s > 0 else f"{abs(more_s):.1f} s of it were saved"
    return (
        f"Nothing done would have lost {lost_s:.1f} s of the failed site's traffic; {verb}. Whole runs of the same world with "
        "the same seed. A late answer counts w of a lost one; a half judges."
    )


def _section(title: str, note: str, body: str) -> str:
    shown = f'<p class="note">{note}</p>' if note else ""
    return f"<section><h3>{title}</h3>{shown}{body}</section>"


def _said(record: Record, kinds: frozenset[str]) -> str:
    """What was said, by whom and when."""
    lines = [line for line in record.transcript if line.kind in kinds and (line.at_ms >= QUIET_MS or line.kind == "violation")]
    shown = rows(_cells(line) for line in lines[:MOST_ROWS])
    more = f'<p class="note">{len(lines) - MOST_ROWS} more in the transcript</p>' if len(lines) > MOST_ROWS else ""
    if not lines:
        return '<p class="note">nothing</p>'
    head = '<thead><tr><th class="num">at</th><th>who</th><th>what</th></tr></thead>'
    return f'<div class="scroll"><table>{head}<tbody>{shown}</tbody></table></div>{more}'


def _cells(line: Line) -> Sequence[str]:
    return (f"{line.at_ms / 1000:+.1f} s", line.node, sentence(line))


_TIMES = ("T_detect", "T_decide", "T50", "T95")
_HEADS = ("scenario", *_TIMES, "moves", "wrong", "lost", "nothing done", "peak", "extra probes", "verdict")


def _library(parts: Sequence[Part]) -> str:
    """The table of the whole library, with links to the runs."""
    met = sum(1 for part in parts if part.outcome.verdict is Verdict.MET)
    waiting = sum(len(part.outcome.later) for part in parts)
    numbers = "".join(f'<th class="num">{name}</th>' for name in _HEADS[1:-1])
    heads = f"<th>{_HEADS[0]}</th>{numbers}<th>{_HEADS[-1]}</th>"
    lead = (
        f"{met} of {len(parts)} scenarios meet all their criteria. Times are those after the fault that cost most; lost is in "
        "seconds of the failed site's traffic over the whole run (a late answer is half a loss), beside what would have been "
        f"lost had nothing been done; peak is the fullest healthy site. {waiting} demands wait for features that are "
        "still to come (○): they count neither as met nor as missed."
    )
    body = "".join(_library_row(part) for part in parts)
    return (
        f'<h1>Replays</h1><p class="lead">{lead}</p><section><table class="library"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table></section>"
    )


def _library_row(part: Part) -> str:
    outcome, beside = part.outcome, part.beside
    figures = outcome.figures
    cells = [
        seconds(figures.detect_ms),
        seconds(figures.decide_ms),
        seconds(figures.t50_ms),
        seconds(figures.t95_ms),
        str(figures.moves),
        str(figures.wrong_moves),
        f"{beside.ours.weighed() / beside.site_rps:.1f} s",
        f"{beside.nothing.weighed() / beside.site_rps:.1f} s",
        f"{figures.peak_utilisation_pm / 10:.0f} %",
        f"{figures.extra_probes_pm / 10:.1f} %",
    ]
    numbers = "".join(f'<td class="num">{cell}</td>' for cell in cells)
    mark = (
        '<span class="mark-ok">met</span>'
        if not outcome.missed
        else f'<span class="mark-bad">{len(outcome.missed)} missed</span>'
    )
    later = f' <span class="mark-wait">○{len(outcome.later)}</span>' if outcome.later else ""
    link = f'<a href="#{html.escape(outcome.id)}" title="{html.escape(outcome.title)}">{html.escape(outcome.id)}</a>'
    return f"<tr><td>{link}</td>{numbers}<td>{mark}{later}</td></tr>"
