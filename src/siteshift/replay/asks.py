"""What people asked for, as asks of a scenario: what changed something, and nothing else.

What was refused, joined an identical request or only showed a plan is left out. What lifts, approves or takes back another
request names digests and overrides of that run, which another run does not have: it is written with the name of the ask it is
about.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any

from siteshift.core.messages.events import Asked
from siteshift.core.messages.requests import ApproveRequest, LiftRequest, OperatorRequest, RevokeRequest
from siteshift.core.model.codes import Severity
from siteshift.core.operate.answer import answer
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.draft import Draft
from siteshift.core.state.goals import GoalTrack
from siteshift.replay.as_recorded import Refolded

Entry = dict[str, Any]
PROPOSED = "proposed"
"""What a scenario writes instead of the digest of what siteshift itself proposed (`sim.faults.acts`)."""
_VERBS: dict[type, str] = {LiftRequest: "lifted", ApproveRequest: "approved", RevokeRequest: "took back"}


@dataclass(slots=True, kw_only=True)
class _Kept:
    """One request that changed something. ``about``: the name of the ask that it lifts, approves or takes back.

    ``note`` instead of an ask: what cannot be asked for in a scenario, and why.
    """

    at_ms: int
    asking: OperatorRequest
    about: str = ""
    note: str = ""
    name: str = ""


@dataclass(slots=True)
class Asks:
    """Feed every request to `take`; `events` are the asks of the scenario."""

    _kept: list[_Kept] = field(default_factory=list)
    _by_override: dict[str, _Kept] = field(default_factory=dict)
    _by_goal: dict[str, _Kept] = field(default_factory=dict)

    @property
    def instants(self) -> list[int]:
        """When something was asked for, in ms of the record."""
        return [kept.at_ms for kept in self._kept if not kept.note]

    def take(self, refolded: Refolded) -> None:
        """One request, with the states before and after it."""
        assert isinstance(refolded.heard, Asked)
        if not _changed(refolded, refolded.heard):
            return
        asking, before, after = refolded.heard.asking, refolded.before, refolded.decision.state
        kept, about = _Kept(at_ms=refolded.event.at_ms, asking=asking), None
        match asking.request:
            case ApproveRequest(digest=digest) | RevokeRequest(digest=digest):
                track = _track(before, digest)
                about = self._by_goal.get(track.goal.digest) if track is not None else None
                if track is None or track.is_proposed:
                    kept.about = PROPOSED
                else:
                    self._refer(kept, about, f"a request of {track.goal.owner}")
            case LiftRequest(override=override):
                self._refer(kept, self._by_override.get(override), f"override {override}")
            case _:
                pass
        self._kept.append(kept)
        self._remember(kept, about, before, after)

    def _remember(self, kept: _Kept, about: _Kept | None, before: ControllerState, after: ControllerState) -> None:
        """Which request laid which override, and which goal is whose."""
        were = {entry.id for entry in before.overrides}
        for entry in after.overrides:
            if entry.id not in were:
                self._by_override[entry.id] = about or kept
        for goal, track in after.goals.items():
            if goal not in before.goals and not track.is_proposed:
                self._by_goal[goal] = about or kept

    def _refer(self, kept: _Kept, other: _Kept | None, what: str) -> None:
        if other is None:
            did = next(verb for kind, verb in _VERBS.items() if isinstance(kept.asking.request, kind))
            kept.note = f"{kept.asking.person} {did} {what}, which is older than this part of the record: not played"
            return
        if not other.name:
            verb = _request_name(other.asking.request)
            other.name = f"{verb} {sum(entry.name.startswith(verb) for entry in self._kept) + 1}"
        kept.about = other.name

    def events(self, zero_ms: int) -> Iterator[Entry]:
        """The asks, in their order; instants count from ``zero_ms``."""
        for kept in self._kept:
            at_s = round((kept.at_ms - zero_ms) / 1_000, 3)
            if kept.note:
                if at_s >= 0:
                    yield {"at_s": at_s, "note": kept.note}
                continue
            asking = kept.asking
            entry: Entry = {"at_s": at_s, "ask": _request_name(asking.request)}
            entry |= _arguments(asking.request, kept.about)
            entry["person"] = asking.person
            if asking.reason:
                entry["reason"] = asking.reason
            if asking.ticket:
                entry["ticket"] = asking.ticket
            life_ms = asking.life_ms or (None if asking.expires_ms is None else asking.expires_ms - kept.at_ms)
            if life_ms is not None:
                entry["expires_after_s"] = max(1, round(life_ms / 1_000, 3))
            if asking.digest is not None:
                entry["confirms"] = True
            if kept.name:
                entry["name"] = kept.name
            yield entry


def _changed(refolded: Refolded, heard: Asked) -> bool:
    """Whether the request was not refused then, and changes the state here."""
    if refolded.answered is Severity.REFUSED:
        return False
    draft = Draft(state=refolded.before, setup=refolded.setup, now_ms=heard.at_ms)
    draft.foreseen = heard.foreseen
    return answer(draft, heard.asking)


def _track(state: ControllerState, digest: str) -> GoalTrack | None:
    return next((track for track in state.goals.values() if digest in (track.digest, track.fresh_digest)), None)


def _request_name(request: object) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(request).__name__.removesuffix("Request")).lower()


def _arguments(request: Any, about: str) -> Entry:
    """A request's fields as a scenario writes them: shares in per cent, and what is not said left out."""
    found: Entry = {}
    for entry in fields(request):
        value: Any = about if about and entry.name in ("digest", "override") else getattr(request, entry.name)
        if value is None:
            continue
        if entry.name.endswith("_bp"):
            found[entry.name.removesuffix("_bp") + "_percent"] = {str(site): bp / 100 for site, bp in value.items()}
        else:
            found["whose" if entry.name == "person" else entry.name] = str(value)
    return found
