"""A plan on the screen: shares before and after, load against capacity, steps, waits and rules, in 100 columns."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from siteshift.cli.exits import Document
from siteshift.cli.figures import BAD, GOOD, QUIET, WATCH, percent
from siteshift.cli.show_findings import finding_lines
from siteshift.cli.times import span_text

FULL_PM, NEAR_PM = 1_000, 900
"""Beyond capacity, and beyond the default limit of utilisation."""
LEAST_WAIT_MS = 1_000
"""A look at the data planes that takes less is no line of its own: it comes after every move."""
NARROW_PERCENT = "\N{NO-BREAK SPACE}%"
"""Keeps 60 % together at the end of a line."""


def plan_renderables(plan: Document, rules: str = "Rules touched:") -> Iterator[RenderableType]:
    """Everything a person should see before saying yes. ``rules`` stands above what the rules say."""
    if not plan["steps"]:
        held = any(entry["severity"] != "allowed" for entry in plan["findings"])
        yield Text("nothing moves now" if held else "nothing would move: the steering already is as wanted")
        yield from finding_lines(plan["findings"])
        return
    yield Text(f"plan {plan['digest']}  cause: {plan['cause']}, of {', '.join(plan['services'])}", style="bold")
    yield _shares(plan)
    yield _steps(plan)
    tail, whole = span_text(plan["ttl_tail_ms"]), span_text(plan["expected_ms"])
    yield Text(f"Old answers live on for up to {tail}. The whole is expected to take {whole}.")
    if plan["is_cut"]:
        yield Text("There are more steps than a plan may have; the rest is planned when these are done.", style=WATCH)
    if plan["findings"]:
        yield Text(rules)
    yield from finding_lines(plan["findings"])


def _shares(plan: Document) -> Table:
    table = Table(box=None, pad_edge=False, header_style=QUIET, title_justify="left")
    for heading in ("service", "site", "share now", "then", "rps now", "then", "capacity", "used then"):
        is_name = heading in ("service", "site")
        table.add_column(heading, justify="left" if is_name else "right", no_wrap=not is_name, overflow="fold")
    loads = {(entry["service"], entry["site"]): entry for entry in plan["loads"]}
    for service in plan["services"]:
        for site, after_bp in plan["after_bp"][service].items():
            load = loads.get((service, site))
            if load is None:
                continue
            before_bp = plan["before_bp"][service].get(site, 0)
            table.add_row(
                service,
                site,
                percent(before_bp),
                Text(percent(after_bp), style="" if after_bp == before_bp else "bold"),
                str(load["before_rps"]),
                str(load["after_rps"]),
                str(load["capacity_rps"]),
                _used(load),
            )
        if shed_bp := plan["shed_bp"].get(service, 0):
            table.add_row(service, Text("(shed)", style=BAD), "", Text(percent(shed_bp), style=BAD), "", "", "", "")
    return table


def _used(load: Document) -> Text:
    if not load["capacity_rps"]:
        return Text("no capacity", style=BAD) if load["after_rps"] else Text("-")
    used_pm = load["utilisation_pm"]
    style = BAD if used_pm > FULL_PM else WATCH if used_pm > NEAR_PM else GOOD
    return Text(f"{used_pm / 10:.0f} %{' !' if used_pm > FULL_PM else ''}", style=style)


def _steps(plan: Document) -> Table:
    table = Table(box=None, pad_edge=False, header_style=QUIET)
    table.add_column("", justify="right")
    table.add_column("step", no_wrap=True)
    several = len(plan["services"]) > 1
    if several:
        table.add_column("service", overflow="fold")
    table.add_column("what", ratio=1, overflow="fold")
    table.add_column("wait", justify="right", no_wrap=True)
    table.add_column("done when", ratio=1, overflow="fold")
    shown = (step for step in plan["steps"] if step["kind"] != "verify" or step["wait_ms"] >= LEAST_WAIT_MS)
    for number, step in enumerate(shown, 1):
        row = [str(number), step["kind"].replace("_", " ")]
        row += [step["service"]] if several else []
        wait = span_text(step["wait_ms"]) if step["wait_ms"] else ""
        table.add_row(*row, _what(step), wait, step["postcondition"])
    return table


def _what(step: Document) -> str:
    changes = [
        f"{site} {percent(step['before_bp'].get(site, 0))} → {percent(after_bp)}"
        for site, after_bp in step["after_bp"].items()
        if after_bp != step["before_bp"].get(site, 0)
    ]
    weights = step["weights_pm"]
    changes += [_short(member) + (" out" if weights.get(member) == 0 else "") for member in step["members"]]
    if step["ttl_s"] is not None:
        changes.append(f"TTL {step['ttl_s']} s")
    return ", ".join(changes).replace(" %", NARROW_PERCENT)


def _short(member: str) -> str:
    """``shop/gasan/gs1`` as ``gasan/gs1``: the service stands beside it or in the heading."""
    return member.partition("/")[2] or member
