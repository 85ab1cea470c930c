"""A line of the journal, and of the event stream, for people."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping

from rich.text import Text

from siteshift.cli.exits import Document
from siteshift.cli.figures import BAD, QUIET, WATCH, percent
from siteshift.cli.times import clock_text, instant_text

LONGEST = 400

_GRAVE = frozenset({"violation", "reload_refused", "store_set_aside", "dropped"})


def entry_text(entry: Document) -> Text:
    """One entry of the record: when, which, what."""
    text = Text(f"{instant_text(entry['at_ms'])}{clock_text(entry['at_ms'])[-4:]} ", style=QUIET)
    text.append(f"#{entry['sequence']} ", style=QUIET)
    text.append(f"{entry['kind']}", style=_style(entry))
    text.append(f"  {sentence(entry)}", style="")
    return text


def event_text(message: Document) -> Text:
    """One message of the event stream: like an entry, without a place in the record."""
    at = clock_text(message["at_ms"]) if "at_ms" in message else " " * 12
    text = Text(f"{at}  ", style=QUIET)
    text.append(str(message["kind"]), style=_style(message))
    text.append(f"  {sentence(message)}", style="")
    return text


def _style(entry: Document) -> str:
    return BAD if entry["kind"] in _GRAVE else WATCH if entry["kind"] in ("life", "decision") else ""


def sentence(entry: Document) -> str:
    """What an entry says. A kind nobody wrote a sentence for shows its data."""
    data = entry["data"]
    write = _SENTENCES.get(entry["kind"])
    if write is not None:
        try:
            return write(data)
        except (KeyError, TypeError, AttributeError):  # written by another version: show what there is
            pass
    text = json.dumps(data, ensure_ascii=False, separators=(", ", ": "))
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text)} characters; whole with --json)"


def _life(data: Document) -> str:
    because = f", because {data['because']}" if data.get("because") else ""
    return f"{data['service']}/{data['site']}: {data['from']} → {data['to']}{because}"


def _decision(data: Document) -> str:
    parts = []
    for entry in data["services"]:
        shares = ", ".join(f"{site} {percent(bp)}" for site, bp in entry["after_bp"].items())
        because = f" ({entry['cause']})" if entry["cause"] else ""
        parts.append(f"{entry['service']}{because}: {shares}")
    return f"generation {data['generation']}: {'; '.join(parts)}"


def _belief(data: Document) -> str:
    said = [f"{e['code']} {e['member'] or e['site'] or e['service'] or ''}: {e['reason']}" for e in data["diagnoses"]]
    return "blind" if data["blind"] else "; ".join(said) or "nothing is wrong"


def _answer(data: Document) -> str:
    why = f" ({data['reason']})" if data["reason"] else ""
    codes = ", ".join(entry["code"] for entry in data["findings"])
    override = f", override {data['override']}" if data["override"] else ""
    verdict = f"{data['severity'].replace('_', ' ')}{override}{f' [{codes}]' if codes else ''}"
    peer = f" ({data['peer']})" if data.get("peer") else ""
    named = sorted(data.get("about", {}).items(), key=lambda entry: entry[0] == "service")
    about = "".join(f" {_about(name, value)}" for name, value in named)
    ticket = f" [{data['ticket']}]" if data.get("ticket") else ""
    return f"{data['person']}{peer} asked: {_request_words(data['request'])}{about}{why}{ticket}: {verdict}"


def _about(name: str, value: object) -> str:
    """What a request names, in a few words: a site, a service, shares."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {percent(part)}" for key, part in value.items())
    return f"of {value}" if name == "service" else str(value)


def _request_words(kind: str) -> str:
    """``SwitchOffRequest`` as ``switch off``."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", kind.removesuffix("Request")).lower()


def _findings(data: Document) -> str:
    said = "; ".join(f"{entry['severity'].replace('_', ' ')} {entry['code']}: {entry['text']}" for entry in data["findings"])
    return f"{data['service']}: {said or 'nothing stands in the way'}"


def _why(data: Document) -> str:
    return f"{data['service']}/{data['site']}: {' | '.join(str(line).strip() for line in data['lines'])}"


def _standby(data: Document) -> str:
    why = f": {data['why']}" if data.get("why") else ""
    return f"{data['member']} is {data['phase']}{why}"


def _enacted(data: Document) -> str:
    detail = f": {data['detail']}" if data.get("detail") else ""
    return f"{data['enactor']}: generation {data['generation']} {data['outcome']}{detail}"


def _goal(data: Document) -> str:
    override = f" as override {data['override']}" if data.get("override") else ""
    because = f": {data['because']}" if data.get("because") else ""
    return f"goal {data['digest']} is {data['state']}{override}{because}"


def _approval(data: Document) -> str:
    return f"{data['person']} ({data['rank'] or 'person'}): approval of {data['digest']} {data['state'].replace('_', ' ')}"


MIB = 1024 * 1024


def kept_lines(document: Document) -> Iterator[Text]:
    """What is kept of the record, the oldest last."""
    database = document.get("database")
    if database is not None:
        since = instant_text(database["first_ms"]) if database["first_ms"] else "now on"
        entries = f"entries {database['first']} to {database['last']}"
        yield Text(f"database: {entries}, since {since}, {database['bytes'] / MIB:.1f} MiB")
        bounds = f"{database['keep_days']} days and up to {database['keep_mb']} MiB"
        yield Text(f"          kept for {bounds}, then sealed", style=QUIET)
    segments = document["segments"]
    sealed = sum(segment["bytes"] for segment in segments) / MIB
    yield Text(f"sealed:   {len(segments)} segments, {sealed:.1f} MiB, in {document.get('folder', 'no folder')}")
    if database is not None:
        days = "for ever" if document["sealed_days"] is None else f"for {document['sealed_days']} days"
        room = "without bound" if document["sealed_mb"] is None else f"up to {document['sealed_mb']} MiB"
        yield Text(f"          kept {days} and {room}, then removed", style=QUIET)
    for segment in reversed(segments):
        day = f"{segment['day'][:4]}-{segment['day'][4:6]}-{segment['day'][6:]}"
        size = f"{segment['bytes'] / MIB:.1f} MiB"
        yield Text(f"  {segment['file']}  entries {segment['first']} to {segment['last']}, until {day}, {size}")


def _traffic(data: Document) -> str:
    counts = ", ".join(f"{key.replace('|', ' at ')} {row['rate_mrps'] / 1_000:.3g}" for key, row in data["traffic"].items())
    return f"requests/s: {counts}"


_SENTENCES: Mapping[str, Callable[[Document], str]] = {
    "life": _life,
    "decision": _decision,
    "belief": _belief,
    "answer": _answer,
    "goal": _goal,
    "approval": _approval,
    "envelope_left": lambda data: f"goal {data['digest']} left its envelope: {data['field']}, now {data['now']}",
    "offer": lambda data: f"goal {data['goal']} is offered afresh as {data['digest']}",
    "findings": _findings,
    "why": _why,
    "standby": _standby,
    "enacted": _enacted,
    "started": lambda data: f"{data['node']} with configuration {data['setup']}",
    "setup": lambda data: f"configuration {data['digest']}",
    "state": lambda data: f"a replay can begin here, at generation {data['state']['steering']['generation']}",
    "fresh": lambda data: f"has seen enough after {data['after_ms']} ms",
    "term": lambda data: f"term {data['term']}",
    "notice": lambda data: f"{data['code']}: {data['text']}",
    "violation": lambda data: f"law {data['law']} broken: {data['text']}",
    "reload": lambda data: f"configuration {data['digest']}: {len(data['changes'])} changes",
    "traffic": _traffic,
    "input": lambda data: str(data["event"]["type"]),
    "override_expired": lambda data: f"{data['id']} ({data['kind']}) of {data['owner']}",
}
