"""The state of everything on one page, for `status` and `top`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, JustifyMethod, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from siteshift.cli.exits import Document
from siteshift.cli.figures import BAD, QUIET, WATCH, percent, pm_percent, word
from siteshift.cli.show_findings import ending_lines, finding_lines, overrides_table
from siteshift.cli.show_goals import waiting_lines
from siteshift.cli.times import clock_text, span_text


def status_renderables(status: Document) -> Iterator[RenderableType]:
    """The whole page."""
    yield headline(status)
    yield from warnings(status)
    for service in status["services"]:
        yield Text()
        yield ServiceTable(service)
        yield from service_notes(service, status["at_ms"])
    yield from waiting_lines(status["goals"])
    yield from _diagnoses(status)
    if status["overrides"]:
        yield Text()
        yield overrides_table(status["overrides"])
        yield from ending_lines(status["overrides"])
    yield Text()
    yield _planes(status)
    yield from _drifts(status)
    yield from _standbys(status)
    yield from _vantages(status)


def headline(status: Document) -> Text:
    """Who says so, and when."""
    generation = f"generation {status['generation']}, term {status['term']}"
    return Text(f"{status['node']}  {generation}  at {clock_text(status['at_ms'])[:-4]}", style="bold")


def warnings(status: Document) -> Iterator[Text]:
    """What concerns everything, in full sentences."""
    if not status["fresh"]:
        yield Text("NOT FRESH: started lately and has not seen enough; nothing is changed until it has", style=WATCH)
    if status["blind"]:
        yield Text("BLIND: no vantage is credible, so nothing is believed and nothing changes; look at the anchors", style=BAD)
    if status["switched_off"]:
        yield Text("SWITCHED OFF: no automatic action; `siteshift switch on` ends this", style=BAD)
    idle = [f"{entry['service']} ({entry['mode']})" for entry in status["services"] if entry["mode"] != "auto"]
    if idle:
        way = "`mode: auto` in the configuration, or `siteshift override mode SERVICE auto`, changes that"
        yield Text(f"NOTHING MOVES BY ITSELF: {', '.join(idle)}; {way}", style=WATCH)
    if not status["store_usable"]:
        yield Text("STORE LOST: nothing can be remembered, so steering holds still; look at the disk", style=BAD)
    if refused := status["reload_refused"]:
        at, problems = clock_text(refused["at_ms"])[:-4], refused["problems"]
        more = f" (and {len(problems) - 1} more: `siteshift journal tail -k reload_refused`)" if len(problems) > 1 else ""
        yield Text(f"RELOAD REFUSED at {at}; the configuration that runs stays: {problems[0]}{more}", style=BAD)
    if status["record"]["has_gap"]:
        counted = status["record"]["summarised_rows"]
        yield Text(f"RECORD HAS A GAP: {counted} journal rows were counted instead of kept; look at the disk", style=BAD)


class ServiceTable:
    """One service: a row for each site. Columns are left out until the rest fits; what stands in the way stands below."""

    def __init__(self, service: Document) -> None:
        self._service = service

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        dropped: tuple[str, ...] = ()
        table = self._table(dropped)
        for heading in ("limit", "capacity", "members", "standing"):
            if console.measure(table, options=options.update(max_width=10_000)).maximum <= options.max_width:
                break
            dropped = (*dropped, heading)
            table = self._table(dropped)
        yield table

    def _table(self, dropped: tuple[str, ...]) -> Table:
        service = self._service
        title = f"{service['service']}  tier {service['tier']}, {service['mode']}, {service['demand_rps']} rps, "
        title += f"TTL {service['ttl_s']} s, {'in step' if service['in_step'] else 'data planes NOT in step'}"
        table = Table(title=Text(title), title_justify="left", title_style="bold", box=None, pad_edge=False, header_style=QUIET)
        for heading in _COLUMNS:
            if heading not in dropped:
                justify: JustifyMethod = "right" if heading in _FIGURES else "left"
                table.add_column(heading, justify=justify, no_wrap=heading != "site", overflow="fold")
        for site, row in service["sites"].items():
            cells: dict[str, str | Text] = {
                "site": site,
                "standing": _standing(row),
                "life": _life(row),
                "desired": percent(row["desired_bp"]),
                "actual": unless_same(row["actual_bp"], row["desired_bp"]),
                "seen": percent(row["seen_bp"]),
                "used": _used(row, service["max_utilisation_pm"]),
                "limit": pm_percent(service["max_utilisation_pm"]),
                "capacity": f"{row['capacity_rps']} rps",
                "members": _members(row["members"]),
            }
            table.add_row(*(cells[heading] for heading in _COLUMNS if heading not in dropped))
        return table


NOISE_BP = 100
"""1 %: HAProxy's weights are whole numbers up to 256, DNS gives whole addresses."""
_COLUMNS = ("site", "standing", "life", "desired", "actual", "seen", "used", "limit", "capacity", "members")
_FIGURES = frozenset({"desired", "actual", "seen", "used", "limit", "capacity"})


def _standing(row: Document) -> Text:
    text = word(row["standing"])
    if row["score_pm"] is not None and row["standing"] in ("degraded", "suspect"):
        text.append(f" {row['score_pm']}")
    return text


def _life(row: Document) -> Text:
    """What is shown, and the real life underneath when it is another (law 5)."""
    text = word(row["life"])
    if row["life"] != row["real_life"]:
        text.append(f" ({row['real_life']})")
    return text


def unless_same(actual_bp: int | None, desired_bp: int | None) -> Text:
    """What was read back; coloured where it differs by more than rounding and weights in whole numbers explain."""
    is_same = actual_bp is not None and desired_bp is not None and abs(actual_bp - desired_bp) < NOISE_BP
    return Text(percent(actual_bp), style="" if is_same or actual_bp == desired_bp else WATCH)


def _used(row: Document, limit_pm: int) -> Text:
    used_pm = row["utilisation_pm"]
    over = used_pm > limit_pm
    return Text(pm_percent(used_pm) + (" !" if over else ""), style=BAD if over else "")


def _members(members: Document) -> Text:
    """``4/4 up``, and how many wait in standby."""
    serving = [entry for entry in members.values() if entry["role"] == "active" or entry["phase"] == "proven"]
    up = sum(1 for entry in serving if entry["standing"] == "up")
    text = Text(f"{up}/{len(serving)} up", style="" if up == len(serving) else WATCH)
    waiting = Counter(entry["phase"] for entry in members.values() if entry["role"] == "standby" and entry["phase"] != "proven")
    for phase, count in waiting.items():
        text.append(f" +{count} {phase}", style=QUIET)
    return text


def service_notes(service: Document, now_ms: int) -> Iterator[Text]:
    """What stands in the way, what is shed, what still runs out."""
    if service["global_fault"]:
        yield Text("global fault: it fails everywhere alike, so nothing is drained", style=BAD)
    if service["shed_bp"]:
        yield Text(f"shed: {percent(service['shed_bp'])} of the demand {_shed_goes(service['shed_stays'])}", style=BAD)
    for site, row in service["sites"].items():
        for entry in row["delivered_by"]:
            yield Text(f"{site} is NOT drained: {entry['text']}", style=BAD)
        if (cap := row.get("cap")) is not None:
            text = f"{site} failed at {cap['failed_at_rps']} requests/s and gets {cap['most_rps']} at most"
            yield Text(f"{text}: `siteshift why {site}`; if it is repaired, `siteshift ack {site}`")
        if row.get("needs"):
            yield Text(f"{service['service']} {row['needs']}: `siteshift why {service['service']}`", style=BAD)
    tail_ms = service["tail_until_ms"] - now_ms
    if tail_ms > 0:
        yield Text(f"old answers live on for another {span_text(tail_ms)} at most")
    yield from finding_lines(service["findings"])
    if any(entry["severity"] == "needs_approval" and entry["code"] != "ENVELOPE_LEFT" for entry in service["findings"]):
        yield Text("    The plan that waits and its digest: `siteshift plan`", style=QUIET)


def _shed_goes(stays: Document | None) -> str:
    if stays is None:
        return "is turned away openly"
    planes = ", ".join(stays["planes"])
    return f"finds no room; {planes} has no answer for it (`shed_answers`), so it still goes to {stays['site']}"


def _diagnoses(status: Document) -> Iterator[Text]:
    for entry in status["diagnoses"]:
        where = entry["member"] or "/".join(part for part in (entry["service"], entry["site"]) if part)
        since = f", for {span_text(status['at_ms'] - entry['since_ms'])}" if entry["since_ms"] else ""
        yield Text.assemble((entry["code"], BAD), f" {where}: {entry['reason']}{since}")


def _planes(status: Document) -> Table:
    table = Table(box=None, pad_edge=False, header_style=QUIET)
    for heading in ("data plane", "standing", "generation"):
        table.add_column(heading, no_wrap=heading != "data plane", overflow="fold")
    table.add_column("says", ratio=1, overflow="fold")
    for name, plane in status["planes"].items():
        unread_ms = plane["unreadable_since_ms"]
        standing = word(plane["standing"])
        if unread_ms is not None:
            standing = Text(f"unreadable for {span_text(status['at_ms'] - unread_ms)}", style=BAD)
        if plane["out_of_service"] is not None:
            standing = Text("out of service", style=WATCH)
        table.add_row(name, standing, str(plane["confirmed_generation"] or "-"), plane["detail"])
    return table


def _drifts(status: Document) -> Iterator[Text]:
    for name, plane in status["planes"].items():
        for drift in plane["drifts"]:
            whose = "" if drift["ours"] else " (not ours: left alone)"
            text = f"drift at {name}: {drift['what']}: wanted {drift['wanted']}, found {drift['found']}{whose}"
            yield Text(text, style=WATCH)
        for found in plane["obstacles"]:
            yield Text(f"obstacle at {name}: {found['what']}: {found['text']}; {found['remedy']}", style=WATCH)


def _standbys(status: Document) -> Iterator[Text]:
    """Only those that are neither asleep nor at work: on the way, or failed."""
    for member, track in status["standbys"].items():
        if track["phase"] in ("cold", "proven"):
            continue
        detail = f": {track['detail']}" if track["detail"] else ""
        since = span_text(status["at_ms"] - track["since_ms"])
        yield Text(f"standby {member} is {track['phase']} for {since}{detail}", style=BAD if track["phase"] == "failed" else "")


def _vantages(status: Document) -> Iterator[Text]:
    for name, vantage in status["vantages"].items():
        anchors = f"{vantage['anchors_ok']}/{vantage['anchors_total']} anchors"
        credible = "credible" if vantage["credible"] else "NOT credible"
        broken = f", checks that cannot fail: {', '.join(vantage['broken_checks'])}" if vantage["broken_checks"] else ""
        text = f"vantage {name} ({vantage['site'] or 'outside'}): {credible}, {anchors}, "
        text += f"{span_text(vantage['age_ms'])} old{broken}"
        yield Text(text, style="" if vantage["credible"] and not broken else WATCH)
