"""The `events:` of a scenario: faults, their healing, what people ask for, reloads, notes.

Each entry has an instant and one of ``fault``, ``heal``, ``ask``, ``reload``, ``note``; the rest are arguments of that:

    - {at_s: 60, fault: crash, site: pangyo, fraction: 0.3, name: first power cut}
    - {at_s: 90, heal: first power cut}
    - {at_s: 120, ask: drain, site: gasan, person: kim, reason: router work}
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any, get_args

from siteshift.core.messages.requests import Request
from siteshift.core.model.policy import Policy
from siteshift.sim.faults import control, world
from siteshift.sim.faults.acts import PROPOSED, Act, Ask, Heal, Note, Reload, TimedEvent
from siteshift.sim.nodes.cluster import LEADER
from siteshift.sim.scenario.document import ScenarioDocument, ScenarioProblemCode, Spot, Value
from siteshift.sim.scenario.fields import FieldKey, Names, keys_of, note_missing, read_fields
from siteshift.sim.scenario.policy import read_policy
from siteshift.sim.world.spec import ANCHORS, OUTSIDE, USERS

Code = ScenarioProblemCode


def _faults() -> dict[str, type[Any]]:
    """Every fault by its kind."""
    found: dict[str, type[Any]] = {}
    for module in (world, control):
        for name, made in vars(module).items():
            kind = getattr(made, "kind", "")
            if isinstance(made, type) and is_dataclass(made) and isinstance(kind, str) and kind and not name.startswith("_"):
                found[kind] = made
    return found


def _request_name(made: type) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", made.__name__.removesuffix("Request")).lower()


FAULTS: dict[str, type[Any]] = _faults()
"""What may stand behind ``fault:``."""
REQUESTS: dict[str, type[Any]] = {_request_name(made): made for made in get_args(Request)}
"""What may stand behind ``ask:``."""
ACTS = ("fault", "heal", "ask", "reload", "note")
_ALWAYS = frozenset({"at_s", "until_s", "name", *ACTS})
_ASK_KEYS = {key: entry for key, entry in keys_of(Ask).items() if entry.field != "request"}
_WHOSE = "whose"
"""Instead of ``person`` in a request about somebody's approval: ``person`` is who asks."""
_OVERRIDE_ID = re.compile(r"o\d+")
_DIGEST = re.compile(r"[0-9a-f]{8,}")
_PLACE_FIELDS = frozenset({"sides", "one", "other"})


def read_events(
    document: ScenarioDocument, value: Value, spot: Spot, names: Names, policy: Policy, lasts_ms: int
) -> tuple[TimedEvent, ...]:
    """Read the list; problems are noted. Events come back in the order of their instants."""
    if not isinstance(value, list):
        document.note(Code.WRONG_TYPE, spot, "must be a list of events", "write `- {at_s: 0, fault: crash, site: pangyo}`")
        return ()
    found: list[TimedEvent] = []
    for number, entry in enumerate(value):
        here = (*spot, number)
        if not isinstance(entry, dict):
            document.note(Code.WRONG_TYPE, here, "must hold `at_s` and what happens")
            continue
        act = _act(document, entry, here, names, policy)
        at_ms = _instant(document, entry, here, "at_s", lasts_ms)
        until_ms = _instant(document, entry, here, "until_s", lasts_ms) if "until_s" in entry else None
        if at_ms is not None and until_ms is not None and until_ms <= at_ms:
            document.note(Code.DOES_NOT_FIT, (*here, "until_s"), "ends before it begins")
        if act is not None and at_ms is not None:
            found.append(TimedEvent(at_ms=at_ms, act=act, until_ms=until_ms, label=_label(document, entry, here)))
    _check_heals(document, found, value, spot)
    _check_asks(document, found, value, spot)
    return tuple(sorted(found, key=lambda event: event.at_ms))


def _label(document: ScenarioDocument, entry: Mapping[str, Value], spot: Spot) -> str:
    name = entry.get("name", "")
    if not isinstance(name, str):
        document.note(Code.WRONG_TYPE, (*spot, "name"), "must be text")
        return ""
    return name


def _instant(document: ScenarioDocument, entry: Mapping[str, Value], spot: Spot, key: str, lasts_ms: int) -> int | None:
    value = entry.get(key)
    if key not in entry:
        document.note(Code.MISSING, spot, f"needs `{key}`", "say when, in seconds of the scenario")
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        document.note(Code.WRONG_TYPE, (*spot, key), "must be a number of seconds")
        return None
    at_ms = round(value * 1_000)
    if at_ms > lasts_ms:
        remedy = "raise `lasts_s`, or move the event"
        document.note(Code.AFTER_THE_END, (*spot, key), f"the scenario ends at {lasts_ms / 1000:g} s", remedy)
    return at_ms


def _act(document: ScenarioDocument, entry: Mapping[str, Value], spot: Spot, names: Names, policy: Policy) -> Act | None:
    said = [name for name in ACTS if name in entry]
    if len(said) != 1:
        message = f"must have exactly one of {', '.join(ACTS)}" + (f", not {' and '.join(said)}" if said else "")
        document.note(Code.MISSING if not said else Code.DOES_NOT_FIT, spot, message)
        return None
    match said[0]:
        case "fault":
            return _fault(document, entry, spot, names)
        case "ask":
            return _ask(document, entry, spot, names)
        case "heal":
            _only(document, entry, spot)
            return Heal(label=str(entry["heal"]))
        case "reload":
            _only(document, entry, spot)
            return Reload(policy=read_policy(document, entry["reload"], (*spot, "reload"), names).over(policy))
        case _:
            _only(document, entry, spot)
            return Note(text=str(entry["note"]))


def _only(document: ScenarioDocument, entry: Mapping[str, Value], spot: Spot) -> None:
    """Nothing but what every event may say."""
    for key in entry:
        if key not in _ALWAYS:
            document.note(Code.UNKNOWN_KEY, (*spot, key), f"`{key}` is not known here")


def _fault(document: ScenarioDocument, entry: Mapping[str, Value], spot: Spot, names: Names) -> Act | None:
    kind = entry["fault"]
    made = FAULTS.get(str(kind))
    if made is None:
        remedy = f"known: {', '.join(sorted(FAULTS))}"
        document.note(Code.UNKNOWN_FAULT, (*spot, "fault"), f"there is no fault `{kind}`", remedy)
        return None
    keys = keys_of(made)
    what = f"the fault `{kind}`"
    given = {key: value for key, value in entry.items() if key not in _ALWAYS}
    before = len(document.problems)
    found = read_fields(document, given, spot, keys, names, what=what)
    note_missing(document, given, spot, keys, what=what)
    _check_nodes(document, given, spot, names)
    _check_places(document, found, spot, names, keys)
    if isinstance(fraction := found.get("fraction"), float) and not 0 <= fraction <= 1:
        document.note(Code.OUT_OF_RANGE, (*spot, "fraction"), "must be between 0 and 1")
    if len(document.problems) > before:
        return None
    fault: Act = made(**found)
    return fault


def _ask(document: ScenarioDocument, entry: Mapping[str, Value], spot: Spot, names: Names) -> Act | None:
    made = REQUESTS.get(str(entry["ask"]))
    if made is None:
        remedy = f"known: {', '.join(sorted(REQUESTS))}"
        document.note(Code.UNKNOWN_FAULT, (*spot, "ask"), f"nobody can ask for `{entry['ask']}`", remedy)
        return None
    own = {_WHOSE if key == "person" else key: field for key, field in keys_of(made).items()}
    given = {key: value for key, value in entry.items() if key not in _ALWAYS}
    what = f"asking for `{entry['ask']}`"
    before = len(document.problems)
    asked = {key: value for key, value in given.items() if key not in own}
    of_ask = read_fields(document, asked, spot, _ASK_KEYS, names, what=what)
    wanted = {key: value for key, value in given.items() if key in own}
    of_request = read_fields(document, wanted, spot, own, names, what=what)
    note_missing(document, given, spot, own, what=what)
    _check_nodes(document, given, spot, names)
    if len(document.problems) > before:
        return None
    return Ask(request=made(**of_request), **of_ask)


def _check_nodes(document: ScenarioDocument, given: Mapping[str, Value], spot: Spot, names: Names) -> None:
    for key in ("node", "nodes"):
        said = given.get(key, [])
        for name in said if isinstance(said, list) else [said]:
            if name != LEADER and not names.has("node", str(name)):
                remedy = f"this world has {names.listing('node')}; `leader` means whoever leads"
                document.note(Code.UNKNOWN_NAME, (*spot, key), f"there is no node `{name}`", remedy)


def _check_places(
    document: ScenarioDocument, found: Mapping[str, Any], spot: Spot, names: Names, keys: Mapping[str, FieldKey]
) -> None:
    for field in _PLACE_FIELDS & {key.field for key in keys.values()} & set(found):
        value = found[field]
        places = [place for side in value for place in side] if field == "sides" else [value]
        for place in places:
            service, at, site = place.rpartition("@")
            known = names.has("site", site) and (not at or names.has("service", service))
            if not known and place not in (USERS, ANCHORS, OUTSIDE):
                remedy = f"a place is a site ({names.listing('site')}), service@site, {USERS}, {ANCHORS} or {OUTSIDE}"
                document.note(Code.UNKNOWN_NAME, (*spot, field), f"there is no place `{place}`", remedy)


def _check_heals(document: ScenarioDocument, events: list[TimedEvent], value: list[Value], spot: Spot) -> None:
    named = {event.label for event in events if event.label and not isinstance(event.act, (Heal, Note, Ask, Reload))}
    for number, entry in enumerate(value):
        if isinstance(entry, dict) and "heal" in entry and entry["heal"] not in named:
            remedy = "give the fault a `name:` and heal that"
            message = f"no fault is named `{entry['heal']}`"
            document.note(Code.NOTHING_TO_HEAL, (*spot, number, "heal"), message, remedy)


def _check_asks(document: ScenarioDocument, events: list[TimedEvent], value: list[Value], spot: Spot) -> None:
    """What lifts, approves or takes back another request names one of this file, or an id that a run gives."""
    named = {event.label for event in events if event.label and isinstance(event.act, Ask)}
    for number, entry in enumerate(value):
        if not isinstance(entry, dict):
            continue
        match entry.get("ask"):
            case "lift":
                key, is_id = "override", _OVERRIDE_ID.fullmatch(str(entry.get("override")))
            case "approve" | "revoke":
                key, is_id = "digest", _DIGEST.fullmatch(str(entry.get("digest")))
            case _:
                continue
        said = entry.get(key)
        if isinstance(said, str) and not is_id and said not in named and not (key == "digest" and said == PROPOSED):
            remedy = "give the ask a `name:` and write that" + (f", or `{PROPOSED}`" if key == "digest" else "")
            document.note(Code.UNKNOWN_NAME, (*spot, number, key), f"no ask is named `{said}`", remedy)
