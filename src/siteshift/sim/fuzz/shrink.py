"""From a case in which something goes wrong to a short one in which the same thing goes wrong.

Events are taken away, many at a time first and then singly (delta debugging, Zeller and Hildebrandt 2002); then what the
file says of world and policy beyond the usual. A smaller case counts only when the same check finds it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from siteshift.sim.fuzz.fuzz import Found, run_case
from siteshift.sim.fuzz.mutants import MUTANTS, planted
from siteshift.sim.fuzz.swarm import Case
from siteshift.sim.fuzz.troubles import Entry
from siteshift.sim.scenario.document import ScenarioError

MOST_RUNS = 80
"""A shrunk story is worth some minutes, not an hour."""


@dataclass(slots=True)
class Shrinker:
    """One hunt for a smaller case. ``tell`` hears of every run."""

    check: str
    bug: str | None = None
    tell: Callable[[str], None] = lambda _: None
    runs: int = 0
    found: dict[str, Found | None] = field(default_factory=dict)

    def fails(self, case: Case) -> bool:
        """Whether the same check still finds something. False too when no more runs may be made."""
        text = case.text()
        if text not in self.found:
            if self.runs >= MOST_RUNS:
                return False
            if not _is_sound(case):
                return False
            self.runs += 1
            with planted(MUTANTS[self.bug] if self.bug is not None else None):
                self.found[text] = run_case(case).found
            self.tell(f"{self.runs} runs, {len(case.events)} events")
        found = self.found[text]
        return found is not None and found.check == self.check

    def shrink(self, case: Case) -> Case:
        """The smallest case this way leads to; the case itself when nothing can be left out."""
        if not self.fails(case):
            return case
        case = self._fewer_events(self._shorter(case))
        case = self._plainer(case, "policy")
        case = self._plainer(case, "world")
        return self._fewer_events(case)

    def _shorter(self, case: Case) -> Case:
        """What comes after the finding did not cause it. A case that does not come home needs its whole time."""
        found = self.found[case.text()]
        if found is None or found.check == "no-home":
            return case
        lasts_s = max(10, found.at_ms // 1000 + 5)
        kept = [_ended(event, lasts_s) for event in case.events if _number(event, "at_s") < lasts_s]
        shorter = _with(case, events=kept, lasts_s=lasts_s, **{"pass": []})
        return shorter if self.fails(shorter) else case

    def _fewer_events(self, case: Case) -> Case:
        """The healing stays where coming home is the question."""
        size = max(1, len(case.events) // 2)
        while True:
            start = 0
            while start < len(case.events):
                events, gone = case.events, case.events[start : start + size]
                kept = [e for e in gone if self.check == "no-home" and _number(e, "at_s") > case.heal_s]
                fewer = _with(case, events=[*events[:start], *kept, *events[start + size :]])
                if len(kept) < len(gone) and self.fails(fewer):
                    case = fewer
                    start += len(kept)
                else:
                    start += size
            if size == 1:
                return case
            size //= 2

    def _plainer(self, case: Case, section: str) -> Case:
        """Leave out what the section says, key by key; some keys are needed by the events, which is found out by trying."""
        said = case.values[section]
        assert isinstance(said, dict)
        for key in list(said):
            now = case.values[section]
            assert isinstance(now, dict)
            plainer = _with(case, **{section: {name: value for name, value in now.items() if name != key}})
            if self.fails(plainer):
                case = plainer
        return case


def _is_sound(case: Case) -> bool:
    """Whether the file can still be read: its events may name what the plainer world has no more."""
    try:
        case.scenario()
    except ScenarioError:
        return False
    return True


def _with(case: Case, **changes: object) -> Case:
    values: Entry = {**case.values, **changes}  # type: ignore[dict-item]  # only values of scenario files are passed
    return replace(case, values=values)


def _number(event: Entry, key: str) -> float:
    value = event[key]
    assert isinstance(value, int | float)
    return value


def _ended(event: Entry, lasts_s: int) -> Entry:
    """The event without an end that lies after the scenario's."""
    if "until_s" in event and _number(event, "until_s") > lasts_s:
        return {key: value for key, value in event.items() if key != "until_s"}
    return event


def shrunk(case: Case, found: Found, *, bug: str | None = None, tell: Callable[[str], None] = lambda _: None) -> Case:
    """The short story of a finding, told in its texts."""
    smaller = Shrinker(check=found.check, bug=bug, tell=tell).shrink(case)
    return _with(
        smaller,
        title=f"What the fuzz found with seed {case.seed}: {found.check}",
        happened=f"{found.who}: {found.text}.",
    )
