"""What is, why, and why not: the state as documents for people and scripts.

`held` and `blind` appear here: a life is shown as held while a person or a rule stands in its way, and as blind while
nobody credible sees anything. Underneath the real life is unchanged (law 5).
"""

from __future__ import annotations

from typing import Any

from siteshift.core.beliefs.life import AWAY, is_left_unexplained
from siteshift.core.beliefs.picture import describe
from siteshift.core.beliefs.traffic import seen_bp
from siteshift.core.decide.carrying import raise_at_ms, raise_waits_for
from siteshift.core.decide.situation import Situation
from siteshift.core.decide.situations import situation_of
from siteshift.core.decide.used import utilisation_of
from siteshift.core.enact.planes import foreign_text
from siteshift.core.explain_needs import needs_lines, needs_text
from siteshift.core.member_list import member_lines
from siteshift.core.model.codes import FindingCode, Hardness, LeftBecause, MemberRole, Severity, SiteLife, Standing
from siteshift.core.model.finding import Finding, finding
from siteshift.core.model.override import Override, warn_at_ms
from siteshift.core.model.remedy import REMEDIES
from siteshift.core.model.setup import Setup
from siteshift.core.model.topology import Service
from siteshift.core.model.units import EnactorId, SiteId
from siteshift.core.operate.expiry import at_its_end
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.plane_queries import in_service, in_step, taken_out_by
from siteshift.core.state.tracks import PlaneTrack

Document = dict[str, Any]


def status_document(state: ControllerState, setup: Setup, now_ms: int) -> Document:
    """Everything on one page: sites, services with desired, actual and seen, planes, overrides, diagnoses."""
    return {
        "at_ms": now_ms,
        "node": setup.node,
        "generation": state.steering.generation,
        "term": state.term,
        "fresh": state.is_fresh,
        "blind": state.picture.blind,
        "switched_off": state.is_switched_off,
        "store_usable": state.is_store_usable,
        "setup": setup.digest,
        "adoption": adoption_document(state),
        "sites": {site: _site(state, setup, site) for site in setup.topology.site_ids},
        "services": [service_document(state, setup, service, now_ms) for service in setup.topology.services],
        "diagnoses": [describe(entry) for entry in state.picture.diagnoses],
        "overrides": [override_in_force(state, setup, entry, now_ms) for entry in state.overrides],
        "planes": {plane.id: plane_document(state, plane.id) for plane in setup.planes},
        "standbys": {
            member: {"phase": track.phase.value, "since_ms": track.since_ms, "detail": track.detail}
            for member, track in state.standbys.items()
        },
        "vantages": {
            name: {
                "site": report.site,
                "age_ms": now_ms - report.at_ms,
                "anchors_ok": report.self_check.anchors_ok,
                "anchors_total": report.self_check.anchors_total,
                "credible": name in state.picture.credible,
                "broken_checks": list(report.self_check.broken_checks),
            }
            for name, report in state.reports.items()
        },
    }


def _site(state: ControllerState, setup: Setup, site: SiteId) -> Document:
    lives = [shown_life(state, setup, service, site) for service in setup.topology.services if service.pool_at(site)]
    return {
        "standing": state.picture.sites.get(site, Standing.UNKNOWN).value,
        "life": sum_up(lives).value,
    }


_ORDER = (
    SiteLife.BLIND,
    SiteLife.HELD,
    SiteLife.DRAINING,
    SiteLife.RETURNING,
    SiteLife.SUSPECT,
    SiteLife.DRAINED,
    SiteLife.SERVING,
)


def sum_up(lives: list[SiteLife]) -> SiteLife:
    """One word for a whole site: the one that most wants a person's eye; drained only when all services are."""
    if lives and all(life is SiteLife.DRAINED for life in lives):
        return SiteLife.DRAINED
    return min(lives, key=_ORDER.index, default=SiteLife.SERVING)


def shown_life(state: ControllerState, setup: Setup, service: Service, site: SiteId) -> SiteLife:
    """The life as a person should read it."""
    if state.picture.blind:
        return SiteLife.BLIND
    track = state.track(service.id, site)
    if track.life in AWAY and is_left_unexplained(track):
        return SiteLife.HELD
    if track.life is SiteLife.DRAINED and delivered_by(state, setup, service, site):
        return SiteLife.DRAINING
    stopped = [e for e in state.transition(service.id).findings if e.severity is not Severity.ALLOWED]
    current = state.steering.of(service.id)
    share = current.shares_bp.get(site, 0) if current else 0
    waits_to_leave = track.life is SiteLife.DRAINING and share > 0
    if stopped and (waits_to_leave or track.life is SiteLife.RETURNING):
        return SiteLife.HELD
    return track.life


def service_document(state: ControllerState, setup: Setup, service: Service, now_ms: int) -> Document:
    """One service: per site its standing, life and the three shares; and what stands in its way."""
    situation = situation_of(state, setup, service, now_ms)
    mode = situation.forced.mode or situation.policy.mode
    steering = state.steering.of(service.id)
    desired = dict(steering.shares_bp) if steering else {}
    seen = seen_bp(state, service, now_ms)
    utilisation = utilisation_of(situation, situation.current)
    transition = state.transition(service.id)
    return {
        "service": service.id,
        "tier": service.tier,
        "mode": mode.value,
        "demand_rps": situation.demand_rps,
        "max_utilisation_pm": situation.policy.max_utilisation_pm,
        "ttl_s": situation.current.ttl_s,
        "shed_bp": situation.current.shed_bp,
        "shed_stays": _shed_stays(setup, situation),
        "in_step": in_step(state, in_service(state, setup.planes_of(service.id))),
        "tail_until_ms": transition.tail_until_ms,
        "global_fault": situation.is_global_fault,
        "sites": {
            site: {
                "standing": _standing(situation, site).value,
                "score_pm": situation.pools[site].score_pm if site in situation.pools else None,
                "life": shown_life(state, setup, service, site).value,
                "real_life": situation.tracks[site].life.value,
                "desired_bp": desired.get(site),
                "actual_bp": actual_bp(state, setup, service, site),
                "delivered_by": delivered_by(state, setup, service, site),
                "needs": needs_text(state, setup, service, site),
                "seen_bp": seen.get(site) if seen is not None else None,
                "nominal_bp": pool.nominal_bp,
                "utilisation_pm": utilisation.get(site, 0),
                "limit_bp": situation.limit_bp(site),
                "capacity_rps": situation.open_rps(pool),
                "hold_until_ms": situation.tracks[site].hold_until_ms,
                "cap": _cap_document(situation, site),
                "members": {
                    m.name: {
                        "standing": situation.standing_of(m).value,
                        "weight_pm": situation.current.members_pm.get(m.id, 0),
                        "role": m.role.value,
                        "phase": situation.phase(m).value if m.role is MemberRole.STANDBY else None,
                    }
                    for m in pool.members
                },
            }
            for pool in service.pools
            for site in (pool.site,)
        },
        "findings": [finding_document(entry) for entry in standing_findings(state, setup, service)],
    }


def _tried(cap: Document, now_ms: int) -> str:
    """When a capped site gets more."""
    left_s = f"{(cap['more_at_ms'] - now_ms) / 1000:.0f} s"
    if cap["waits_for"]:
        return f"when {cap['waits_for']}" + (f", and not before {left_s} from now" if cap["more_at_ms"] > now_ms else "")
    return f"in {left_s} if it is quiet until then" if cap["more_at_ms"] > now_ms else "now"


def _cap_document(situation: Situation, site: SiteId) -> Document | None:
    """The most a site is given after it failed under load, and when more is tried if it is quiet until then. None: no cap."""
    cap = situation.transition.cap_of(site)
    if cap is None:
        return None
    place = situation.service.pool_at(site)
    return {
        "most_rps": cap.most_rps(situation.nameplate_rps(place)) if place is not None else cap.cap_rps,
        "failed_at_rps": cap.failed_rps,
        "since_ms": cap.failed_at_ms,
        "more_at_ms": raise_at_ms(situation, cap),
        "is_explained": cap.is_explained,
        "waits_for": raise_waits_for(situation, place, cap) if place is not None else "",
    }


def adoption_document(state: ControllerState) -> Document | None:
    """What is held as it was found because nobody remembers why it is so; None: nothing is."""
    adoption = state.adoption
    if adoption is None:
        return None
    return {
        "found": adoption.found.value,
        "why": adoption.why,
        "since_ms": adoption.since_ms,
        "sites": [{"service": service, "site": site} for service, site in sorted(adoption.sites)],
        "members_out": sorted(adoption.members_out),
        "remedy": REMEDIES[FindingCode.HELD_AS_ADOPTED],
    }


def standing_findings(state: ControllerState, setup: Setup, service: Service) -> tuple[Finding, ...]:
    """What stands in a service's way or is to be known: what the last move met, sites held as found, planes that another
    controller holds."""
    found = state.transition(service.id).findings
    for plane in setup.planes_of(service.id):
        mark = state.plane(plane.id).foreign
        if mark is not None:
            text = foreign_text(plane.id, mark)
            found = (*found, finding(FindingCode.PLANE_FOREIGN, Severity.REFUSED, text, plane=plane.id, mark=mark.text()))
    held = [site for site in service.sites if state.is_held(service.id, site)]
    if not held or state.adoption is None or any(entry.code is FindingCode.HELD_AS_ADOPTED for entry in found):
        return found
    text = f"{service.id}: {', '.join(held)} held as found, cause unknown: {state.adoption.why}"
    return (*found, finding(FindingCode.HELD_AS_ADOPTED, Severity.REFUSED, text, sites=",".join(held)))


def _shed_stays(setup: Setup, situation: Situation) -> Document | None:
    """Where the shed part goes on being sent for want of another answer, and by which planes; None: nowhere."""
    current = situation.current
    planes = setup.without_shed_answer(situation.service.id)
    if not current.shed_bp or current.shed_at is None or not planes:
        return None
    return {"site": current.shed_at, "planes": [plane.id for plane in planes]}


def _standing(situation: Situation, site: SiteId) -> Standing:
    pool = situation.pools.get(site)
    return pool.standing if pool is not None else Standing.UNKNOWN


def actual_bp(state: ControllerState, setup: Setup, service: Service, site: SiteId) -> int | None:
    """The share as read back: the mean over the planes that carry the service; None while none can be read."""
    found = [
        shares[service.id].get(site, 0)
        for plane in in_service(state, setup.planes_of(service.id))
        if (track := state.plane(plane.id)).read_back is not None and track.unread_since_ms is None
        for shares in (track.read_back.shares_bp,)
        if service.id in shares
    ]
    return sum(found) // len(found) if found else None


def delivered_by(state: ControllerState, setup: Setup, service: Service, site: SiteId) -> list[Document]:
    """The data planes that were read to send users to a site that should get none although they confirmed our generation.

    Such a site is not drained, whatever we wrote: somebody changed a plane by hand, and the drifts say what.
    """
    steering = state.steering.of(service.id)
    if steering is None or steering.brings_bp(site):
        return []
    found: list[Document] = []
    for plane in in_service(state, setup.planes_of(service.id)):
        track = state.plane(plane.id)
        reading = track.read_back
        if reading is None or track.unread_since_ms is not None or reading.generation != state.steering.generation:
            continue
        share_bp = reading.shares_bp.get(service.id, {}).get(site, 0)
        if share_bp:
            drifts = "; ".join(f"{drift.what} is {drift.found}, we wrote {drift.wanted}" for drift in reading.drifts)
            text = f"{plane.id} still sends {share_bp / 100:g} % here" + (f": {drifts}" if drifts else "")
            entry = {"plane": plane.id, "share_bp": share_bp, "drifts": _drift_documents(track), "text": text}
            found.append(entry)
    return found


def plane_document(state: ControllerState, plane: EnactorId) -> Document:
    """One data plane: where it stands, what it says, what was found there, and who took it out of service."""
    track, out = state.plane(plane), taken_out_by(state, plane)
    obstacles = track.read_back.obstacles if track.read_back else ()
    return {
        "out_of_service": {"owner": out.owner, "reason": out.reason, "expires_ms": out.expires_ms} if out is not None else None,
        "standing": track.standing.value,
        "confirmed_generation": track.confirmed_generation,
        "outcome": track.outcome.value if track.outcome else None,
        "foreign": track.foreign.text() if track.foreign is not None else None,
        "unreadable_since_ms": track.unread_since_ms,
        "detail": track.detail,
        "drifts": _drift_documents(track),
        "obstacles": [
            {"what": found.what, "text": found.text, "remedy": found.remedy, "closes": found.closes} for found in obstacles
        ],
    }


def _drift_documents(track: PlaneTrack) -> list[Document]:
    drifts = track.read_back.drifts if track.read_back else ()
    return [{"what": drift.what, "wanted": drift.wanted, "found": drift.found, "ours": drift.ours} for drift in drifts]


def override_in_force(state: ControllerState, setup: Setup, override: Override, now_ms: int) -> Document:
    """An override with what its end brings, and whether that is so near that people are told."""
    ends_soon = now_ms >= warn_at_ms(override, setup.policy.override_warn_ms)
    return {
        **override_document(override, now_ms),
        "ends_soon": ends_soon,
        "at_its_end": at_its_end(state, setup, override, now_ms),
    }


def override_document(override: Override, now_ms: int) -> Document:
    return {
        "id": override.id,
        "kind": override.kind.value,
        "owner": override.owner,
        "reason": override.reason,
        "ticket": override.ticket,
        "service": override.service,
        "site": override.site,
        "member": override.member,
        "plane": override.plane,
        "shares_bp": dict(override.shares_bp) if override.shares_bp else None,
        "mode": override.mode.value if override.mode else None,
        "created_ms": override.created_ms,
        "expires_ms": override.expires_ms,
        "left_ms": max(0, override.expires_ms - now_ms),
        "approved_by": list(override.approved_by),
        "digest": override.plan_digest,
    }


def finding_document(entry: Finding) -> Document:
    return {
        "code": entry.code.value,
        "severity": entry.severity.value,
        "text": entry.text,
        "remedy": entry.remedy,
        "numbers": dict(entry.numbers),
    }


def why_document(state: ControllerState, setup: Setup, site: SiteId, now_ms: int) -> Document:
    """Why a site gets what it gets now: what was seen, what it amounts to, what people forced, what stands in the way."""
    return {
        "site": site,
        "at_ms": now_ms,
        "generation": state.steering.generation,
        "diagnoses": [describe(e) for e in state.picture.diagnoses if e.site in (None, site)],
        "services": {
            service.id: {"lines": why_lines(state, setup, service, site, now_ms)}
            for service in setup.topology.services
            if service.pool_at(site)
        },
    }


def why_lines(state: ControllerState, setup: Setup, service: Service, site: SiteId, now_ms: int) -> list[str]:
    """The chain from evidence to share, one sentence each."""
    situation = situation_of(state, setup, service, now_ms)
    track = situation.tracks[site]
    share = situation.current.shares_bp.get(site, 0)
    lines = [_evidence_line(state, situation, site)]
    lines += [_vantage_line(name, state, service, site) for name in state.reports]
    lines += member_lines(state, service, site, now_ms)
    lines += needs_lines(state, setup, service, site, now_ms)
    lines.append(_life_line(situation, site, now_ms))
    if site in situation.forced.drained_sites:
        owner = situation.forced.by[site]
        lines.append(f"override {owner.id}: drained by {owner.owner}: {owner.reason} ({owner.ticket or 'no ticket'})")
    for entry in standing_findings(state, setup, service):
        what = "to know" if entry.severity is Severity.ALLOWED else "stopped"
        lines.append(f"{what}: {entry.code.value}: {entry.text}. {entry.remedy}")
    if track.left_because is not None and track.hold_until_ms > now_ms:
        lines.append(f"held down for another {(track.hold_until_ms - now_ms) / 1000:.0f} s after {track.flaps} flaps")
    cap = _cap_document(situation, site)
    if cap is not None:
        lines.append(
            f"capped: it failed at {cap['failed_at_rps']} requests/s and gets {cap['most_rps']} at most; "
            f"{'all of its share' if cap['is_explained'] else 'a little more'} is tried {_tried(cap, now_ms)}"
        )
    lines.append(f"share: {share / 100:.2f} % desired, {_percent(actual_bp(state, setup, service, site))} actual, ")
    seen = seen_bp(state, service, now_ms)
    lines[-1] += f"{_percent(seen.get(site) if seen is not None else None)} seen"
    stays = _shed_stays(setup, situation)
    if stays is not None and stays["site"] == site:
        lines.append(
            f"shed: {situation.current.shed_bp / 100:.2f} % of the demand finds no room and still comes here by "
            f"{', '.join(stays['planes'])}, which has no other answer for it (`shed_answers`)"
        )
    lines += [f"not drained: {entry['text']}" for entry in delivered_by(state, setup, service, site)]
    tail_ms = situation.transition.tail_until_ms - now_ms
    if share == 0 and tail_ms > 0:
        lines.append(f"answers given before the move live for another {tail_ms / 1000:.0f} s at most")
    return lines


def _percent(bp: int | None) -> str:
    return "unknown" if bp is None else f"{bp / 100:.2f} %"


def _evidence_line(state: ControllerState, situation: Situation, site: SiteId) -> str:
    pool = situation.pools.get(site)
    if state.picture.blind:
        return "blind: no credible vantage, so nothing is believed and nothing changes"
    if pool is None:
        return "nothing is known of it yet"
    down = sum(1 for view in pool.members.values() if view.standing is Standing.DOWN)
    evidence = f"{pool.hardness.value} evidence, " if pool.hardness is not Hardness.NONE else ""
    text = f"{pool.standing.value} (goodput {pool.score_pm / 10:g} %, {evidence}"
    text += f"{down} of {len(pool.members)} members down)"
    return f"global fault: {text}; a fault everywhere drains nothing" if situation.is_global_fault else text


def _vantage_line(name: str, state: ControllerState, service: Service, site: SiteId) -> str:
    report = next(r for n, r in state.reports.items() if n == name)
    pool = service.pool_at(site)
    view = report.views.get(pool.target) if pool else None
    says = f"{view.standing.value}: {view.reason}" if view else "nothing"
    return f"vantage {name} says {says}"


def _life_line(situation: Situation, site: SiteId, now_ms: int) -> str:
    track = situation.tracks[site]
    because = f" because {track.left_because.value}" if isinstance(track.left_because, LeftBecause) else ""
    since = f" for {(now_ms - track.since_ms) / 1000:.0f} s" if track.since_ms else ""
    return f"{track.life.value}{since}{because}; signal now: {situation.signals[site].value.replace('_', ' ')}"


def why_unready(state: ControllerState, setup: Setup, now_ms: int) -> tuple[str, ...]:
    """Why a node with this state cannot do its job now; empty when it can. Ready is: sees, has seen enough, remembers."""
    own = state.reports.get(setup.node)
    found: list[str] = []
    if own is None:
        found.append("no picture yet: its own checks have not reported")
    elif now_ms - own.at_ms > setup.policy.judge.report_stale_ms:
        found.append(f"blind: its own checks have not reported for {(now_ms - own.at_ms) // 1_000} s")
    elif state.picture.blind:
        isolated = setup.node in state.picture.isolated
        found.append("blind: it reaches no anchor, so its own line may be cut" if isolated else "blind: no credible vantage")
    elif not state.is_fresh:
        found.append("no picture yet: it has not watched long enough to act")
    if not state.is_store_usable:
        found.append("the store cannot be written: nothing is changed until it can")
    return tuple(found)
