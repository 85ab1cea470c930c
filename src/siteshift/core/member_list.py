"""Every member on one list: its state, its part of the traffic, what its checks said, and who took it out.

The same facts as in `explain`, member by member, as documents for people and scripts.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Any

from siteshift.core.decide.situation import Situation
from siteshift.core.decide.situations import situation_of
from siteshift.core.model.codes import Fault, MemberRole, OverrideKind, StandbyPhase, Standing
from siteshift.core.model.evidence import Evidence
from siteshift.core.model.override import Override, active
from siteshift.core.model.setup import Setup
from siteshift.core.model.topology import Member, Pool, Service
from siteshift.core.model.units import SiteId, VantageId
from siteshift.core.state.controller_state import ControllerState

Document = dict[str, Any]

MOST_LINES = 8
"""Of a pool that fails whole, a person reads the first few; all are in `siteshift members`."""

FAULT_WORDS = {
    Fault.NONE: "failing",
    Fault.REFUSED: "refused",
    Fault.RESET: "connection reset",
    Fault.UNREACHABLE: "unreachable",
    Fault.TIMEOUT: "timed out",
    Fault.BAD_STATUS: "bad status",
    Fault.BAD_CONTENT: "wrong content",
    Fault.BAD_CERTIFICATE: "bad certificate",
    Fault.PROTOCOL: "protocol error",
    Fault.SLOW: "slow",
    Fault.LOCAL: "could not be asked",
}


class MemberState(StrEnum):
    """What a member does now. A standby that is not open is told by its phase instead."""

    SERVING = "serving"
    DEPOOLED = "depooled"
    """A person took it out."""
    OUT = "out"
    """Its evidence took it out."""
    AWAY = "away"
    """It could serve, and its site gets nothing."""


def members_document(state: ControllerState, setup: Setup, now_ms: int) -> Document:
    """All members, in the order of the file."""
    return {
        "at_ms": now_ms,
        "generation": state.steering.generation,
        "blind": state.picture.blind,
        "members": [
            _member(state, situation, pool, member)
            for service in setup.topology.services
            for situation in (situation_of(state, setup, service, now_ms),)
            for pool in service.pools
            for member in pool.members
        ],
    }


def _member(state: ControllerState, situation: Situation, pool: Pool, member: Member) -> Document:
    by = _taken_out_by(state, situation, member)
    seen = situation.pools.get(pool.site)
    view = seen.members.get(member.id) if seen is not None else None
    is_standby = member.role is MemberRole.STANDBY
    evidence = [_evidence(name, said, situation.now_ms) for name, said in _said_of(state, member)]
    return {
        "member": member.id,
        "service": member.service,
        "site": member.site,
        "name": member.name,
        "address": f"{member.address}:{member.port}",
        "role": member.role.value,
        "phase": situation.phase(member).value if is_standby else None,
        "state": _state_of(situation, member),
        "standing": situation.standing_of(member).value,
        "since_ms": view.since_ms if view is not None else 0,
        "weight_pm": situation.current.members_pm.get(member.id, 0),
        "desired_bp": desired_bp(situation, pool, member),
        "actual_bp": _actual_bp(state, member),
        "reason": _reason(state, situation, member, by, evidence),
        "taken_out_by": _override(by) if by is not None else None,
        "evidence": evidence,
    }


def _state_of(situation: Situation, member: Member) -> str:
    phase = situation.phase(member)
    if member.id in situation.forced.depooled:
        return MemberState.DEPOOLED.value
    if member.role is MemberRole.STANDBY and phase is not StandbyPhase.PROVEN:
        return phase.value
    if member.id not in situation.current.members_pm:
        return MemberState.OUT.value
    has_traffic = situation.current.shares_bp.get(member.site, 0) > 0
    return MemberState.SERVING.value if has_traffic else MemberState.AWAY.value


def desired_bp(situation: Situation, pool: Pool, member: Member) -> int:
    """The part of its service's traffic that is meant for a member: of its site's share, by weight and capacity."""
    weights = {m.id: situation.current.members_pm.get(m.id, 0) * m.capacity_rps for m in pool.members}
    whole = sum(weights.values())
    return situation.current.shares_bp.get(pool.site, 0) * weights[member.id] // whole if whole else 0


def _actual_bp(state: ControllerState, member: Member) -> int | None:
    """The same as read back: the mean over the data planes that know members; None where none can be read."""
    found = [
        track.read_back.members_bp[member.id]
        for track in state.planes.values()
        if track.read_back is not None and track.unread_since_ms is None and member.id in track.read_back.members_bp
    ]
    return sum(found) // len(found) if found else None


def _taken_out_by(state: ControllerState, situation: Situation, member: Member) -> Override | None:
    """The person's override that keeps a member from serving: of itself, or of its site."""
    for entry in active(state.overrides, situation.now_ms):
        if entry.kind is OverrideKind.DEPOOL and entry.member == member.id:
            return entry
    return situation.forced.by.get(member.site)


def _override(entry: Override) -> Document:
    return {
        "override": entry.id,
        "kind": entry.kind.value,
        "owner": entry.owner,
        "reason": entry.reason,
        "ticket": entry.ticket,
        "expires_ms": entry.expires_ms,
    }


def _reason(
    state: ControllerState, situation: Situation, member: Member, by: Override | None, evidence: list[Document]
) -> str:
    """Why it is not plainly serving; empty where it is."""
    said: list[str] = []
    if by is not None:
        ticket = f", {by.ticket}" if by.ticket else ""
        said.append(f"{by.kind.value} by {by.owner}: {by.reason} ({by.id}{ticket})")
    if evidence:
        said += [f"{entry['vantage']}: {entry['text']}" for entry in evidence]
    elif situation.standing_of(member) is Standing.UNKNOWN:
        said.append("no evidence")
    track = state.standbys.get(member.id)
    if track is not None and track.detail and member.role is MemberRole.STANDBY:
        said.append(f"standby: {track.detail}")
    current = situation.tracks[member.site]
    if by is None and current.left_because is not None and not situation.current.shares_bp.get(member.site, 0):
        said.append(f"{member.site} is {current.life.value} ({current.left_because.value})")
    return "; ".join(said)


def _said_of(state: ControllerState, member: Member) -> Iterator[tuple[VantageId, Evidence]]:
    """What the checks of each vantage said of a member that it does not see up."""
    for name, report in state.reports.items():
        view = report.views.get(member.target)
        if view is not None and view.standing is not Standing.UP and view.evidence is not None:
            yield name, view.evidence


def _evidence(vantage: VantageId, said: Evidence, now_ms: int) -> Document:
    return {
        "vantage": vantage,
        "fault": said.fault.value,
        "detail": said.detail,
        "check": said.check,
        "alike": said.alike,
        "failed": said.failed,
        "checks": said.checks,
        "since_ms": said.since_ms,
        "text": evidence_text(said, now_ms),
    }


def evidence_text(said: Evidence, now_ms: int) -> str:
    """``bad status (status 500) in 37 of 60 checks, for 62 s``."""
    words = FAULT_WORDS[said.fault]
    detail = f" ({said.detail})" if said.detail and said.detail.lower() != words else ""
    check = f"{said.check}: " if said.check else ""
    others = f", {said.failed - said.alike} failed otherwise" if said.failed > said.alike else ""
    span_s = max(0, now_ms - said.since_ms) // 1_000
    if not said.failed:
        return f"{check}none of the last {said.checks} checks failed; before that {words}{detail}, first {span_s} s ago"
    return f"{check}{words}{detail} in {said.alike} of {said.checks} checks{others}, for {span_s} s"


def member_lines(state: ControllerState, service: Service, site: SiteId, now_ms: int) -> Iterator[str]:
    """One sentence for each member of a pool that is not plainly serving, the first few."""
    pool = service.pool_at(site)
    lines = [
        f"member {member.name}: {name} says {evidence_text(said, now_ms)}"
        for member in (pool.members if pool is not None else ())
        for name, said in _said_of(state, member)
    ]
    yield from lines[:MOST_LINES]
    if len(lines) > MOST_LINES:
        yield f"and {len(lines) - MOST_LINES} more like these: `siteshift members {site}`"
