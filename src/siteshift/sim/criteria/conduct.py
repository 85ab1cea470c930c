"""Criteria on how the nodes conducted themselves: what they named, told and refused, who led, what they started."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from siteshift.core.model.codes import DiagnosisCode, FindingCode, NoticeCode
from siteshift.core.model.units import SiteId
from siteshift.sim.criteria.criterion import Evidence, Judged, criterion
from siteshift.sim.criteria.outcome import percent, seconds
from siteshift.sim.results.record import Line


def _first(name: str, demand: str, lines: Iterable[Line], start_ms: int | None, within_ms: int) -> Judged:
    """Whether one of these lines comes within a time after an instant."""
    if start_ms is None:
        return Judged(name=name, demand=demand, found="the event it waits for did not happen", is_met=False)
    found = next((line for line in lines if line.at_ms >= start_ms), None)
    if found is None:
        return Judged(name=name, demand=demand, found="never", is_met=False)
    took_ms = found.at_ms - start_ms
    shown = f"{seconds(took_ms)}: {found.node} {found.text}"
    return Judged(name=name, demand=demand, found=shown[:160], is_met=took_ms <= within_ms)


def _when(after: str) -> str:
    return f' after "{after}"' if after else ""


@criterion
@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosed:
    """A node names the fault in time: this code (any, if none is given), at this site."""

    NAME: ClassVar[str] = "diagnosis"
    within_ms: int
    code: DiagnosisCode | None = None
    site: SiteId | None = None
    after: str = ""

    def judge(self, evidence: Evidence) -> Judged:
        start_ms = evidence.instant(self.after)
        what = f"{self.code or 'a fault'}{f' at {self.site}' if self.site else ''}"
        demand = f"{what} is named within {seconds(self.within_ms)}{_when(self.after)}"
        lines = [line for line in evidence.lines("belief") if any(self._fits(word) for word in line.text.split())]
        # A belief holds until the next one: what was named before and still stands is named at once.
        return _first(self.NAME, demand, lines, start_ms, self.within_ms)

    def _fits(self, word: str) -> bool:
        """Words that name faults look like ``SITE_DOWN(web@pangyo)``."""
        code, opened, where = word.partition("(")
        if not opened or (self.code is not None and code != self.code.value):
            return False
        return self.site is None or where.rstrip(")").endswith(f"@{self.site}") or f"/{self.site}/" in where


@criterion
@dataclass(frozen=True, slots=True, kw_only=True)
class NotDiagnosed:
    """No node ever names this fault."""

    NAME: ClassVar[str] = "never_diagnosed"
    code: DiagnosisCode

    def judge(self, evidence: Evidence) -> Judged:
        found = next((line for line in evidence.lines("belief") if f"{self.code.value}(" in line.text), None)
        shown = "never named" if found is None else f"{found.node} at {seconds(found.at_ms)}"
        return Judged(name=self.NAME, demand=f"{self.code.value} is never named", found=shown, is_met=found is None)


@criterion
@dataclass(frozen=True, slots=True, kw_only=True)
class Blind:
    """Whoever leads says in time that it is blind."""

    NAME: ClassVar[str] = "blind"
    within_ms: int
    after: str = ""

    def judge(self, evidence: Evidence) -> Judged:
        demand = f"the state is called blind within {seconds(self.within_ms)}{_when(self.after)}"
        lines = (line for line in evidence.lines("belief") if line.text == "blind")
        return _first(self.NAME, demand, lines, evidence.instant(self.after), self.within_ms)


TOLD_CODES = frozenset(code.value for code in (*NoticeCode, *FindingCode, *DiagnosisCode))
"""All that people may be told."""


@criterion
@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """People are told this code in time."""

    NAME: ClassVar[str] = "told"
    within_ms: int
    code: str
    after: str = ""

    def judge(self, evidence: Evidence) -> Judged:
        demand = f"people are told {self.code} within {seconds(self.within_ms)}{_when(self.after)}"
        lines = (line for line in evidence.lines("tell") if f" firing {self.code}:" in line.text)
        return _first(self.NAME, demand, lines, evidence.instant(self.after), self.within_ms)


@criterion
@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """What somebody asks for (the event of this name) is refused: with this code, if one is given."""

    NAME: ClassVar[str] = "refused"
    after: str
    code: str = ""

    def judge(self, evidence: Evidence) -> Judged:
        start_ms = evidence.instant(self.after)
        demand = f'"{self.after}" is refused{f" with {self.code}" if self.code else ""}'
        answers = [line for line in evidence.lines("answer") if start_ms is not None and line.at_ms >= start_ms]
        if not answers:
            return Judged(name=self.NAME, demand=demand, found="no answer", is_met=False)
        text = answers[0].text
        is_met = ": refused" in text and (not self.code or self.code in text)
        return Judged(name=self.NAME, demand=demand, found=text, is_met=is_met)


@criterion
@dataclass(frozen=True, slots=True, kw_only=True)
class NotGranted:
    """What somebody asks for (the event of this name) is not done as asked: refused, or held for another person."""

    NAME: ClassVar[str] = "not_granted"
    after: str
    code: str = ""

    def judge(self, evidence: Evidence) -> Judged:
        start_ms = evidence.instant(self.after)
        demand = f'"{self.after}" is not granted{f", because of {self.code}" if self.code else ""}'
        answers = [line for line in evidence.lines("answer") if start_ms is not None and line.at_ms >= start_ms]
        if not answers:
            return Judged(name=self.NAME, demand=demand, found="no answer", is_met=False)
        text = answers[0].text
        is_met = ": allowed" not in text and (not self.code or self.code in text)
        return Judged(name=self.NAME, demand=demand, found=text, is_met=is_met)


@criterion
@dataclass(frozen=True, slots=True, kw_only=True)
class NewLeader:
    """Somebody leads within so many seconds: the one who led before, if alive, or another."""

    NAME: ClassVar[str] = "new_leader_s"
    at_most_ms: int
    after: str = ""

    def judge(self, evidence: Evidence) -> Judged:
        demand = f"somebody leads within {seconds(self.at_most_ms)}{_when(self.after)}"
        start_ms = evidence.instant(self.after)
        if start_ms is None:
            return _first(self.NAME, demand, (), None, self.at_most_ms)
        leader = _leader_after(evidence, start_ms)
        if leader:
            return Judged(name=self.NAME, demand=demand, found=f"{leader} led all along", is_met=True)
        lines = (line for line in evidence.lines("term") if line.text.startswith("leads with term"))
        return _first(self.NAME, demand, lines, start_ms, self.at_most_ms)


SETTLED_MS = 5_000
"""Who leads at an event is known a lease later: a leader that dies is not struck from the record at once."""


def _leader_after(evidence: Evidence, start_ms: int) -> str:
    """Who leads at an instant and is still there a while later; empty: nobody."""
    leader = ""
    for line in evidence.record.transcript:
        if line.at_ms > start_ms + SETTLED_MS:
            break
        if line.kind == "term" and line.text.startswith("leads with term"):
            if line.at_ms > start_ms and leader != line.node:
                return ""
            leader = line.node
        elif line.node == leader and (line.kind == "term" or line.text in ("dies", "is paused")):
            leader = ""
    return leader


@criterion
@dataclass(frozen=True, slots=True, kw_only=True)
class StandbyOpen:
    """A standby is ready within so many seconds."""

    NAME: ClassVar[str] = "standby_open_s"
    at_most_ms: int
    after: str = ""

    def judge(self, evidence: Evidence) -> Judged:
        demand = f"a standby is ready within {seconds(self.at_most_ms)}{_when(self.after)}"
        start_ms = evidence.instant(self.after)
        ready: set[str] = set()
        for line in evidence.lines("standby"):
            if start_ms is not None and line.at_ms >= start_ms:
                break
            member, _, phase = line.text.rpartition(" ")
            ready = ready | {member} if phase == "ready" else ready - {member}
        if ready:
            return Judged(name=self.NAME, demand=demand, found=f"{min(ready)} was ready already", is_met=True)
        lines = (line for line in evidence.lines("standby") if line.text.endswith(" ready"))
        return _first(self.NAME, demand, lines, start_ms, self.at_most_ms)


def extra_probes_pm(evidence: Evidence) -> int:
    """Checks made beyond one per target and interval, in per mille, of the node that made most."""
    checks = len(evidence.world.topology.members) + evidence.world.anchors
    span_ms = evidence.record.duration_ms + evidence.warm_up_ms
    usual = checks * span_ms / evidence.policy.judge.interval_ms
    made = max(evidence.record.probes.values(), default=0)
    return round(1_000 * (made / usual - 1)) if usual else 0


@criterion
@dataclass(frozen=True, slots=True, kw_only=True)
class ExtraProbes:
    """Probes beyond the usual ones, over the whole run, of the node that made most, in per cent."""

    NAME: ClassVar[str] = "extra_probes_percent"
    at_most_pm: int

    def judge(self, evidence: Evidence) -> Judged:
        found = extra_probes_pm(evidence)
        return Judged(
            name=self.NAME,
            demand=f"at most {percent(self.at_most_pm)} more probes than usual",
            found=percent(found),
            is_met=found <= self.at_most_pm,
        )
