"""A recorded incident as a scenario: what checks saw as faults, counted traffic as surges, what people asked for as asks.

The scenario is played in the world of a configuration (`sim run --config`), whose names it uses. It is what the node
*saw*: a member that refused connections crashes, one that stayed silent hangs, one whose answers erred errs as much, one whose
answers came late is late, as many of them as its checks found. By how much was not recorded, only between what (`late_ms`), and
the file says what was assumed. A pool that was found to carry less than its file says has lost capacity. What no check saw is
not in it, and other trouble that was named overload is left to the virtual world's own queues.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml

from siteshift.core.messages.events import Asked, Reloaded, SeenTraffic, TrafficMeasured
from siteshift.core.model.codes import Fault, Hardness, MemberRole, Standing
from siteshift.core.model.evidence import TargetView
from siteshift.core.model.setup import Setup
from siteshift.core.model.topology import Service
from siteshift.core.model.units import MemberId, ServiceId, SiteId
from siteshift.core.state.carrying import Carrying
from siteshift.core.state.controller_state import ControllerState
from siteshift.errors import SiteshiftError
from siteshift.replay.as_recorded import AsRecorded, Refolded
from siteshift.replay.asks import Asks
from siteshift.replay.counted import Counted
from siteshift.replay.rows import Row, TrafficRow

LEAD_MS = 30_000
"""The scenario begins so long before the first thing that happened."""
TAIL_S = 600
"""And ends so long after the last: for the way back."""
TOGETHER_MS = 3_000
"""Members that fail, or come back, within this time do it together: checks of one fault find it one after another."""
SURGE_PERCENT = 25
"""Demand that differs by less from what was said last is the same."""
BETTER_PERCENT = 110
"""A pool that may have a tenth more than it answered when it failed, and is quiet with it, has its capacity back."""
STALE_MS = 2_000
"""A window this soon after the first failed check may still count answers from before it."""
NOBODY_PERCENT = 2
"""A pool that answers at most so many of a hundred is not full: nobody is answered there, as in a hang."""
GUESSED = (
    "guessed: faults are named by what checks, meters and siteshift's own reckoning saw from outside, and last as long as that "
    "was seen; correct them where you know more"
)
_ILL = (Standing.DOWN, Standing.DEGRADED)
"""A member is, too, that is only suspect while its pool is: of many that fail together the pool is known first."""
_SILENT = ("hang", "crash")
Entry = dict[str, Any]


class NothingHappened(SiteshiftError):
    """The record, or the part of it that was asked for, holds nothing to make a scenario of."""


class _Trouble(NamedTuple):
    """How a member was ill: the fault's name and its arguments, as a scenario writes them."""

    kind: str
    arguments: tuple[tuple[str, object], ...] = ()


class _Spell(NamedTuple):
    """One member ill from then until then. ``until_ms`` None: to the end of the record."""

    service: ServiceId
    site: SiteId
    member: MemberId
    trouble: _Trouble
    from_ms: int
    until_ms: int | None


@dataclass(slots=True, kw_only=True)
class Incident:
    """Feed every row to `take`; `text` is the scenario. Instants of the record between ``from_ms`` and ``until_ms`` count."""

    from_ms: int = 0
    until_ms: int | None = None
    recorded: AsRecorded = field(default_factory=AsRecorded)
    _ill: dict[MemberId, _Spell] = field(default_factory=dict)
    _spells: list[_Spell] = field(default_factory=list)
    _behind: dict[MemberId, _Spell] = field(default_factory=dict)
    _behind_spells: list[_Spell] = field(default_factory=list)
    """What checks said of members whose pool had lost capacity."""
    _full: list[tuple[int, ServiceId, SiteId]] = field(default_factory=list)
    """When which pool was named full."""
    _served: dict[tuple[ServiceId, SiteId], list[tuple[int, SeenTraffic]]] = field(default_factory=dict)
    _asks: Asks = field(default_factory=Asks)
    _reloads: list[int] = field(default_factory=list)
    _counted: Counted = field(default_factory=Counted)
    """Nothing while something of a service was ill, for users tried again."""
    last_ms: int = 0
    """The last instant that counted."""

    def take(self, row: Row) -> None:
        """One row. Raises `CannotReplay`."""
        refolded = self.recorded.take(row)
        if isinstance(row, TrafficRow) and self._counts(row.at_ms):
            well = {key: track for key, track in row.traffic.items() if key[0] not in self._ill_services()}
            self._counted.told(row.at_ms, well)
        if refolded is None or not self._counts(refolded.event.at_ms):
            return
        self.last_ms = refolded.event.at_ms
        self._hear(refolded)
        self._serve(refolded)
        before, after = refolded.before.picture, refolded.decision.state.picture
        if before is not after or not self._spells:
            self._look(refolded.decision.state, refolded.setup, refolded.event.at_ms)

    def _counts(self, at_ms: int) -> bool:
        return self.from_ms <= at_ms and (self.until_ms is None or at_ms <= self.until_ms)

    def _hear(self, refolded: Refolded) -> None:
        match refolded.event:
            case Asked():
                self._asks.take(refolded)
            case Reloaded(at_ms=at_ms):
                self._reloads.append(at_ms)
            case TrafficMeasured(at_ms=at_ms, seen=seen):
                ill = self._ill_services()
                self._counted.measured(at_ms, [sample for sample in seen if sample.service not in ill])

    def _ill_services(self) -> set[ServiceId]:
        return {spell.service for spell in self._ill.values()}

    def _serve(self, refolded: Refolded) -> None:
        if isinstance(refolded.event, TrafficMeasured):
            for sample in refolded.event.seen:
                self._served.setdefault((sample.service, sample.site), []).append((refolded.event.at_ms, sample))

    # -- faults ---------------------------------------------------------------------------------------------------

    def _look(self, state: ControllerState, setup: Setup, at_ms: int) -> None:
        seen: dict[MemberId, _Spell] = {}
        behind: dict[MemberId, _Spell] = {}
        for (service, site), pool in state.picture.pools.items():
            cut = _cut(state, service, site)
            if cut is not None:
                lost = _Trouble("cap_cut", (("factor_percent", max(1, cut.answered_rps * 100 // max(1, cut.open_rps))),))
                begins_ms = min(max(self.from_ms, cut.failed_at_ms), at_ms)
                members = _actives(setup, service, site)
                seen |= {member: _Spell(service, site, member, lost, begins_ms, None) for member in members}
            if state.picture.overload_of(service, site) is not None:
                self._full.append((at_ms, service, site))
                continue
            found = setup.topology.service_by_id.get(service)
            for member, view in pool.members.items() if found is not None else ():
                assert found is not None
                if member not in _actives(setup, service, site) and not _is_used(state, service, member):
                    continue  # a cold standby does not answer, and nothing is wrong with it
                is_ill = view.standing in _ILL or (view.standing is Standing.SUSPECT and pool.standing in _ILL)
                trouble = _trouble(view, found, setup.policy.judge.timeout_ms) if is_ill else None
                if trouble is not None:
                    begins_ms = max(self.from_ms, view.since_ms or at_ms)
                    found_by_checks = behind if cut is not None else seen
                    found_by_checks[member] = _Spell(service, site, member, trouble, min(begins_ms, at_ms), None)
        for member, spell in list(self._ill.items()):
            now = seen.get(member)
            if now is None or now.trouble.kind != spell.trouble.kind:
                self._spells.append(spell._replace(until_ms=at_ms))
                del self._ill[member]
        for member, spell in seen.items():
            if member not in self._ill:
                self._ill[member] = spell
                self._counted.go_on(spell.service, spell.from_ms)
                self._counted.pause(spell.service)
        _follow(behind, self._behind, self._behind_spells, at_ms)

    def _told_apart(self) -> list[_Spell]:
        """All spells; capacity that was not lost, for nobody was answered there and nothing was named full, is what checks said.

        What siteshift took for less capacity lasts until the site was trusted again, long after a hang of a few seconds.
        """
        behind = (*self._behind_spells, *self._behind.values())
        found: list[_Spell] = []
        for spell in (*self._spells, *self._ill.values()):
            said = [one for one in behind if one.member == spell.member and _overlap(one, spell)]
            is_silent = spell.trouble.kind == "cap_cut" and bool(said) and all(map(self._answers_nobody, said))
            found += said if is_silent else [spell]
        return found

    def _answers_nobody(self, spell: _Spell) -> bool:
        """Whether a meter shows that a pool was asked and answered nobody while its checks failed, and was not named full."""
        until_ms = self.last_ms if spell.until_ms is None else spell.until_ms
        here = (spell.service, spell.site)
        is_full = any((service, site) == here and spell.from_ms <= at_ms <= until_ms for at_ms, service, site in self._full)
        if spell.trouble.kind not in _SILENT or is_full:
            return False
        rows = [s for at, s in self._served.get(here, ()) if spell.from_ms + STALE_MS < at - s.window_ms and at <= until_ms]
        asked = sum(row.requests for row in rows)
        answered = sum(row.requests - row.errors if row.answered is None else row.answered for row in rows)
        return asked > 0 and answered * 100 <= asked * NOBODY_PERCENT

    # -- the scenario ---------------------------------------------------------------------------------------------

    def text(self, id: str, source: str) -> str:
        """The scenario file. Raises `NothingHappened`."""
        spells = sorted(self._told_apart(), key=lambda spell: (spell.from_ms, spell.member))
        instants = [spell.from_ms for spell in spells] + self._asks.instants
        if self.recorded.setup is None or not instants:
            raise NothingHappened("nothing was ill and nobody asked for anything in that part of the record")
        zero_ms = min(instants)
        setup = self.recorded.setup
        events = [*_faults(spells, setup, zero_ms), *self._asks.events(zero_ms), *self._surges(setup.topology.services, zero_ms)]
        events += [
            {"at_s": _s(at_ms - zero_ms), "note": "the configuration was reloaded"} for at_ms in self._reloads if at_ms >= zero_ms
        ]
        events.sort(key=lambda event: event["at_s"])
        lasts_s = max(int(max(event.get("until_s", event["at_s"]) for event in events)) + 1, (self.last_ms - zero_ms) // 1_000)
        head = {
            "id": id,
            "title": f"{events[0].get('fault', events[0].get('ask', 'trouble'))} as recorded".replace("_", " "),
            "source": source,
            "happened": "Made from the record of a node: what its checks saw, what it counted, what people asked for.",
            "lesson": "Say here what this shows.",
            "lasts_s": lasts_s + TAIL_S,
        }
        lines = "".join(f"  - {_line(event)}\n" for event in events)
        said = (*([GUESSED] if spells else []), *assumed(spells, setup))
        return (
            f"# Play it in the world it comes from: siteshift sim run --config YOUR-CONFIGURATION.yaml {id}.yaml\n"
            f"{yaml.safe_dump(head, sort_keys=False, width=120, allow_unicode=True)}"
            f"{''.join(f'# {line}{chr(10)}' for line in said)}events:\n{lines}"
            "pass: []   # say what it must show: simulations/README.md lists the criteria\n"
        )

    def _surges(self, services: Iterable[Service], zero_ms: int) -> Iterator[Entry]:
        """Demand in steps, where it was counted: in parts of what the configuration says."""
        for service in services:
            said_percent = 100
            for at_ms, rate_rps in self._counted.rates(service.id, self.last_ms):
                percent = round(100 * rate_rps / max(1, service.demand_rps))
                if abs(percent - said_percent) * 100 >= SURGE_PERCENT * said_percent and percent > 0:
                    said_percent = percent
                    at_s = max(-LEAD_MS / 1_000, _s(at_ms - zero_ms))
                    yield {"at_s": at_s, "fault": "surge", "service": str(service.id), "factor_percent": percent, "ramp_s": 5}


def late_ms(objective_ms: int, timeout_ms: int) -> int:
    """How long a late answer is taken to take: between its objective and its check's timeout, for later it was silence.

    The middle: half as far from the truth as either end can be. Where a check waits no longer than the objective, no check of it
    could say late (its configuration was another one): then twice the objective.
    """
    return (objective_ms + timeout_ms) // 2 if timeout_ms > objective_ms else 2 * objective_ms


def assumed(spells: Sequence[_Spell], setup: Setup) -> Iterator[str]:
    """What the record does not hold and the scenario has to say, a line for each."""
    timeout_ms = setup.policy.judge.timeout_ms
    for spell in {spell.site: spell for spell in spells if spell.trouble.kind == "cap_cut"}.values():
        yield f"assumed: {spell.site} carried what it answered of {spell.service} as it failed, until quiet with a tenth more"
    for name in dict.fromkeys(spell.service for spell in spells if spell.trouble.kind == "latency"):
        service = setup.topology.service_by_id.get(name)
        objective_ms = service.slo_latency_ms if service is not None else 0
        timeout = f"their checks' timeout ({timeout_ms / 1_000:g} s)"
        bounds = f"the middle of their objective ({objective_ms / 1_000:g} s) and {timeout}"
        if timeout_ms <= objective_ms:
            bounds = f"twice their objective: {timeout} is below it"
        yield (
            f"assumed: late answers of {name} come after {late_ms(objective_ms, timeout_ms) / 1_000:g} s, {bounds}; "
            "the record says that they were late, not by how much"
        )


def _is_used(state: ControllerState, service: ServiceId, member: MemberId) -> bool:
    entry = state.steering.of(service)
    return entry is not None and member in entry.members_pm


def _cut(state: ControllerState, service: ServiceId, site: SiteId) -> Carrying | None:
    """The capacity a pool was found to have lost; None: as far as is known it has it all, or the load alone explains it."""
    known = state.transition(service).carrying.get(site)
    if known is None or known.cap_rps is None or known.is_explained or not known.answered_rps:
        return None
    return known if known.proven_rps * 100 <= known.answered_rps * BETTER_PERCENT else None


def _trouble(view: TargetView, service: Service, timeout_ms: int) -> _Trouble:
    """How a member is ill, by what its checks say. ``timeout_ms``: theirs."""
    if view.is_contradicted:
        return _Trouble("check_fails")
    match view.hardness:
        case Hardness.HARD:
            return _Trouble("crash")
        case Hardness.SILENT:
            return _Trouble("hang")
        case Hardness.SLOW:
            add_s = late_ms(service.slo_latency_ms, timeout_ms) / 1_000
            return _Trouble("latency", (("add_s", add_s), ("part_percent", _late_percent(view))))
        case _:
            return _Trouble("errors", (("rate_percent", max(1, round((1_000 - view.score_pm) / 10))),))


def _late_percent(view: TargetView) -> int:
    """How many of a hundred checks found a late answer, from the first one on; all, where the record does not say."""
    said = view.evidence
    if said is None or said.fault is not Fault.SLOW or not said.checks:
        return 100
    return max(1, round(100 * said.alike / said.checks))


def _mean_arguments(spells: Sequence[_Spell]) -> Entry:
    """The arguments of troubles of one kind: parts are their mean, the rest is the first one's."""
    found = dict(spells[0].trouble.arguments)
    for key in (key for key in found if key.endswith("_percent")):
        parts = [part for spell in spells if isinstance(part := dict(spell.trouble.arguments).get(key), int)]
        found[key] = round(sum(parts) / max(1, len(parts)))
    return found


def _faults(spells: list[_Spell], setup: Setup, zero_ms: int) -> Iterator[Entry]:
    """Spells that began and ended together, at one site, are one fault: of the site, of a service there, or of members."""
    number = 0
    rest = list(spells)
    while rest:
        first = rest[0]
        same = [spell for spell in rest if _is_together(first, spell)]
        rest = [spell for spell in rest if spell not in same]
        number += 1
        begins_s = _s(min(spell.from_ms for spell in same) - zero_ms)
        entry: Entry = {"at_s": begins_s, "fault": first.trouble.kind, "site": str(first.site)}
        services = list(dict.fromkeys(spell.service for spell in same))
        if not _is_whole_site(same, setup):
            members = list(dict.fromkeys(str(spell.member) for spell in same))
            if len(services) == 1 and _is_whole_pool(same, setup):
                entry["service"] = str(services[0])
            else:
                entry["members"] = members
        entry |= _mean_arguments(same)
        entry["name"] = f"trouble {number}"
        if first.until_ms is not None:
            ends_ms = max(spell.until_ms or 0 for spell in same)
            entry["until_s"] = max(_s(ends_ms - zero_ms), entry["at_s"] + 0.1)
        yield entry


def _follow(seen: Mapping[MemberId, _Spell], ill: dict[MemberId, _Spell], over: list[_Spell], at_ms: int) -> None:
    """Spells that began, go on or are over by what is seen now."""
    for member, spell in list(ill.items()):
        now = seen.get(member)
        if now is None or now.trouble.kind != spell.trouble.kind:
            over.append(spell._replace(until_ms=at_ms))
            del ill[member]
    for member, spell in seen.items():
        ill.setdefault(member, spell)


def _overlap(one: _Spell, other: _Spell) -> bool:
    one_ends, other_ends = one.until_ms, other.until_ms
    return (other_ends is None or one.from_ms <= other_ends) and (one_ends is None or other.from_ms <= one_ends)


def _is_together(one: _Spell, other: _Spell) -> bool:
    if (one.site, one.trouble.kind) != (other.site, other.trouble.kind) or abs(one.from_ms - other.from_ms) > TOGETHER_MS:
        return False
    if one.until_ms is None or other.until_ms is None:
        return one.until_ms is other.until_ms
    return abs(one.until_ms - other.until_ms) <= TOGETHER_MS


def _actives(setup: Setup, service: ServiceId, site: SiteId) -> set[MemberId]:
    pool = setup.topology.pools.get((service, site))
    return {member.id for member in pool.members if member.role is MemberRole.ACTIVE} if pool is not None else set()


def _is_whole_pool(spells: list[_Spell], setup: Setup) -> bool:
    return _actives(setup, spells[0].service, spells[0].site) <= {spell.member for spell in spells}


def _is_whole_site(spells: list[_Spell], setup: Setup) -> bool:
    site, ill = spells[0].site, {spell.member for spell in spells}
    return all(_actives(setup, service.id, site) <= ill for service in setup.topology.services)




def _s(span_ms: int) -> float:
    return round(span_ms / 1_000, 3)


def _line(event: Mapping[str, object]) -> str:
    """One event on one line."""
    plain = {key: int(value) if isinstance(value, float) and value.is_integer() else value for key, value in event.items()}
    return yaml.safe_dump(plain, sort_keys=False, width=10_000, default_flow_style=True, allow_unicode=True).strip()
