"""From steering to what every server of a backend shall be. Pure: states in, targets out.

A server that shall serve is ``ready`` with a weight. One that shall not:

=============================================  =======================================================================
tunnel to another site, shed server            ``drain``: its check goes on, so that it can open at once
member that may serve, its site has no share   ``drain``: requests in flight and persistent clients end in peace
active member that is absent from members_pm   ``maint``: even persistent clients go elsewhere
anything that leads to a dead site             ``maint``: a cookie, a stick table or ``use-server`` would send users to it
standby member that is not open                ``maint``, or ``drain`` when its driver has begun to start it
=============================================  =======================================================================

A server that no command can bring to serve (`why_out`) gets no part. A ``backup`` is such a one while another serves: one of a
site with a share stays ready behind the others, and a site that has nothing else gets nothing.

A backend whose steering cannot be delivered is left as it is, with a `Problem` that says why: never an empty set, and
never one site's share pushed upon another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from siteshift.adapters.haproxy.plane import Algorithm, BackendMap, HaproxyPlane, PlaneMode, ServerMap
from siteshift.adapters.haproxy.server_state import AdminState, ServerState
from siteshift.adapters.haproxy.weights import WEIGHT_MAX, as_heavy_as, integer_weights
from siteshift.core.model.codes import EnactOutcome, MemberRole
from siteshift.core.model.steering import ServiceSteering
from siteshift.core.model.units import WHOLE_BP, SiteId

FULL_PM = 1_000
NAMED = 5
"""Servers that are named in a note; of more, the number is told."""
Reason = tuple[str, str]
"""Why a server is out, and the remedy."""
NOTED_BP = 100
"""A site's share that is off by more than one per cent is worth a word; rounding stays below half of that."""


class Target(NamedTuple):
    """What one server shall be. ``weight`` None: any weight above 0 (static algorithms, servers that do not serve).

    ``or_else`` is as good as ``admin`` where it is found: somebody else may choose between the two.
    """

    admin: AdminState
    weight: int | None = None
    or_else: AdminState | None = None

    def met_by(self, state: ServerState) -> bool:
        if state.admin is self.or_else:
            return True
        if self.admin is not state.admin:
            return False
        return self.admin is not AdminState.READY or state.weight == self.weight or self._any_weight(state)

    def _any_weight(self, state: ServerState) -> bool:
        return self.weight is None and state.weight > 0

    def __str__(self) -> str:
        return f"{self.admin} weight {self.weight}" if self.weight is not None else self.admin.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why a backend is left as it is, and how the write ends because of it."""

    outcome: EnactOutcome
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendPlan:
    """Targets of one backend, or the problem; ``missing`` servers are mapped but HAProxy does not have them.

    ``note``: what the weights cannot express, with the remedy; empty: nothing worth a word.
    """

    backend: BackendMap
    targets: Mapping[str, Target] = field(default_factory=dict)
    problem: Problem | None = None
    missing: tuple[str, ...] = ()
    note: str = ""


def plan_backend(
    plane: HaproxyPlane, backend: BackendMap, wanted: ServiceSteering, states: Mapping[str, ServerState] | None
) -> BackendPlan:
    """What every server of the backend shall be under this steering, given what is there."""
    if states is None:
        return _kept(backend, EnactOutcome.FAILED, "no such backend")
    missing = tuple(server for server in mapped_servers(backend) if server not in states)
    algorithm = plane.algorithm_of(backend)
    mapped = {server: states[server] for server in mapped_servers(backend) if server in states}
    stuck = {server for server, state in mapped.items() if is_without_weight(state, algorithm)}
    backups = frozenset(server for server, state in mapped.items() if state.is_backup)
    fractions = deliverable(plane, backend, wanted, frozenset((*missing, *stuck)), backups)
    if isinstance(fractions, Problem):
        problem = replace(fractions, detail=fractions.detail + _reasons(mapped, algorithm))
        return BackendPlan(backend=backend, problem=problem, missing=missing)
    targets = _targets(plane, backend, wanted, fractions, states)
    if not _would_serve(targets, states):
        detail = "would be left without a usable server" + _reasons(mapped, algorithm)
        return _kept(backend, EnactOutcome.REFUSED, detail, missing)
    notes = (_note(plane, backend, fractions, targets), _note_on_others(backend, targets, states))
    return BackendPlan(backend=backend, targets=targets, missing=missing, note="; ".join(filter(None, notes)))


def why_out(state: ServerState, algorithm: Algorithm) -> Reason | None:
    """Why a server cannot be given users by any command; None when it can."""
    if state.bound is not None:
        return state.bound.value, state.bound.remedy
    if state.is_backup:
        text = "`backup` in haproxy.cfg, so it gets nothing while another server is usable"
        return text, "remove `backup`; a server that shall only help out is `role: standby` in siteshift's configuration"
    if is_without_weight(state, algorithm):
        return "of `weight 0` in haproxy.cfg, which a static algorithm cannot change", "give it a weight there"
    return None


def is_without_weight(state: ServerState, algorithm: Algorithm) -> bool:
    """Whether a server weighs nothing for good: a static algorithm takes per cents of the weight in haproxy.cfg, which is 0."""
    return algorithm is Algorithm.STATIC and not state.initial_weight and not state.weight


def _reasons(mapped: Mapping[str, ServerState], algorithm: Algorithm) -> str:
    found = [(server, reason) for server, state in mapped.items() if (reason := why_out(state, algorithm)) is not None]
    return "".join(f"; {server} is {text}: {remedy}" for server, (text, remedy) in found[:NAMED])


def mapped_servers(backend: BackendMap) -> tuple[str, ...]:
    return (*(mapped.server for mapped in backend.servers), *backend.shed_servers)


def deliverable(
    plane: HaproxyPlane,
    backend: BackendMap,
    wanted: ServiceSteering,
    missing: frozenset[str] = frozenset(),
    backups: frozenset[str] = frozenset(),
) -> dict[str, float] | Problem:
    """As `serving_fractions`, without servers that are ``backup`` where another one serves."""
    found = serving_fractions(plane, backend, wanted, missing)
    if isinstance(found, Problem) or backups.isdisjoint(found) or backups.issuperset(found):
        return found
    return serving_fractions(plane, backend, wanted, missing | backups)


def serving_fractions(
    plane: HaproxyPlane, backend: BackendMap, wanted: ServiceSteering, missing: frozenset[str] = frozenset()
) -> dict[str, float] | Problem:
    """The part of the backend's traffic each serving server shall get; servers that get nothing are left out."""
    shares = dict(wanted.shares_bp)
    shed_bp = wanted.shed_bp if backend.shed_servers else 0
    if plane.mode is PlaneMode.LOCAL and plane.beside is not None:
        own_bp = shares.get(plane.beside, 0)
        local = _of_site(backend, plane.beside, wanted, missing)
        if own_bp and local:
            shares = {plane.beside: own_bp}
            shed_bp = shed_bp if wanted.shed_at == plane.beside else 0
        else:
            parts = wanted.residual_bp(plane.beside, answers_shed=bool(backend.shed_servers))
            if parts.get(plane.beside) and not own_bp and not local:
                detail = f"{wanted.shed_bp} bp are shed and {plane.beside} is drained: no shed server here to take them"
                return Problem(outcome=EnactOutcome.REFUSED, detail=detail)
            shed_bp = parts.pop(None, 0)
            shares = {site: bp for site, bp in parts.items() if site is not None and (local or site != plane.beside)}
            if not any(_of_site(backend, site, wanted, missing) for site in shares):
                shares = {site: bp for site, bp in wanted.shares_bp.items() if site != plane.beside}
    elif wanted.shed_bp and not shed_bp and wanted.shed_at is not None:
        shares[wanted.shed_at] = shares.get(wanted.shed_at, 0) + wanted.shed_bp
    return _fractions(backend, wanted, shares, shed_bp, missing, plane.mode)


def _fractions(
    backend: BackendMap,
    wanted: ServiceSteering,
    shares: Mapping[SiteId, int],
    shed_bp: int,
    missing: frozenset[str],
    mode: PlaneMode,
) -> dict[str, float] | Problem:
    fractions: dict[str, float] = {}
    for site, share_bp in shares.items():
        if not share_bp:
            continue
        strength = _of_site(backend, site, wanted, missing)
        whole = sum(strength.values())
        if not whole and mode is PlaneMode.LOCAL:
            continue
        if not whole:
            detail = f"{site} has {share_bp} bp and no server here that may serve"
            return Problem(outcome=EnactOutcome.FAILED, detail=detail)
        for server, part in strength.items():
            fractions[server] = fractions.get(server, 0.0) + share_bp * part / whole
    shed_servers = [server for server in backend.shed_servers if server not in missing]
    for server in shed_servers if shed_bp else ():
        fractions[server] = shed_bp / len(shed_servers)
    if not fractions:
        return Problem(outcome=EnactOutcome.REFUSED, detail="would be left without a usable server")
    return fractions


def _of_site(backend: BackendMap, site: SiteId, wanted: ServiceSteering, missing: frozenset[str]) -> dict[str, int]:
    """Servers that may carry the site's traffic, with their relative strength: goodput times capacity."""
    strength = {}
    for mapped in backend.servers:
        if mapped.site == site and mapped.server not in missing:
            goodput_pm = FULL_PM if mapped.member is None else wanted.members_pm.get(mapped.member, 0)
            if goodput_pm * mapped.capacity_rps > 0:
                strength[mapped.server] = goodput_pm * mapped.capacity_rps
    return strength


def _targets(
    plane: HaproxyPlane,
    backend: BackendMap,
    wanted: ServiceSteering,
    fractions: Mapping[str, float],
    states: Mapping[str, ServerState],
) -> dict[str, Target]:
    targets = {}
    for mapped in backend.servers:
        if mapped.server in states and mapped.server not in fractions:
            is_behind = states[mapped.server].is_backup and mapped.member in wanted.members_pm
            stays = is_behind and wanted.shares_bp.get(mapped.site, 0) > 0
            targets[mapped.server] = Target(AdminState.READY) if stays else _resting(mapped, wanted)
    for server in backend.shed_servers:
        if server in states and server not in fractions:
            targets[server] = Target(AdminState.DRAIN)
    if plane.algorithm_of(backend) is Algorithm.STATIC:
        return targets | {server: Target(AdminState.READY) for server in fractions}
    initial = plane.initial_weights_of(backend)
    weights = integer_weights(fractions, site_groups(backend), initial)
    if initial:  # who else serves is not seen by being asked: keep what the file gives ours together
        weights = as_heavy_as(weights, sum(initial.values()), initial)
    elif others_weights(backend, states):
        weights = as_heavy_as(weights, _weight_of_ours(backend, states))
    return targets | {server: Target(AdminState.READY, weight) for server, weight in weights.items()}


def _weight_of_ours(backend: BackendMap, states: Mapping[str, ServerState]) -> int:
    """What the mapped servers weigh together; those that fail their checks count, for they come back with their weight."""
    present = (states[server] for server in mapped_servers(backend) if server in states)
    return sum(state.weight for state in present if state.admin is AdminState.READY)


def _note(plane: HaproxyPlane, backend: BackendMap, fractions: Mapping[str, float], targets: Mapping[str, Target]) -> str:
    """Which site gets clearly another share than it should, because no weight says it."""
    weights = {server: targets[server].weight or 1 for server in fractions}
    whole, whole_weight = sum(fractions.values()), sum(weights.values())
    worst_bp, words = NOTED_BP, ""
    for servers in site_groups(backend):
        wanted_bp = round(sum(fractions.get(server, 0) for server in servers) / whole * WHOLE_BP)
        given_bp = round(sum(weights.get(server, 0) for server in servers) / whole_weight * WHOLE_BP)
        if abs(given_bp - wanted_bp) > worst_bp:
            worst_bp = abs(given_bp - wanted_bp)
            site = next(mapped.site for mapped in backend.servers if mapped.server == servers[0])
            words = f"{backend.backend}: {site} gets {given_bp / 100:g} % instead of {wanted_bp / 100:g} %; "
    if not words:
        return ""
    if plane.algorithm_of(backend) is Algorithm.STATIC:
        return words + "its algorithm takes no weights at run time, use a dynamic one such as roundrobin"
    if plane.initial_weight is not None:
        return words + "no per cents of the servers' initial weights say it, give them `weight 100` and set initial_weight"
    return words + f"weights reach from 1 to {WEIGHT_MAX}, divide the share among fewer or stronger servers"


def _note_on_others(backend: BackendMap, targets: Mapping[str, Target], states: Mapping[str, ServerState]) -> str:
    """Who else serves in the backend: what they get is missing from every share."""
    others = others_weights(backend, states)
    if not others:
        return ""
    ours = sum(states[s].weight if t.weight is None else t.weight for s, t in targets.items() if t.admin is AdminState.READY)
    per_cent = 100 * sum(others.values()) / (ours + sum(others.values()))
    named = ", ".join(sorted(others)[:NAMED]) + (f" and {len(others) - NAMED} more" if len(others) > NAMED else "")
    return (
        f"{backend.backend}: not in the configuration: {named}, which get {per_cent:.0f} % of it; map them, drain them or give "
        "them a backend of their own"
    )


def usable_weights(backend: BackendMap, present: Mapping[str, ServerState]) -> dict[str, int]:
    """Weights of the mapped servers that get new traffic now."""
    states = ((server, present.get(server)) for server in mapped_servers(backend))
    found = {server: state for server, state in states if state is not None and state.usable}
    if any(state.is_backup for state in found.values()) and _has_first_choice(present):
        found = {server: state for server, state in found.items() if not state.is_backup}
    return {server: state.weight for server, state in found.items()}


def others_weights(backend: BackendMap, present: Mapping[str, ServerState]) -> dict[str, int]:
    """Weights of the servers that are not mapped and get new traffic now: somebody else's, or left behind by a reload."""
    ours = frozenset(mapped_servers(backend))
    if len(present) <= len(ours) and present.keys() <= ours:
        return {}
    found = {server: state for server, state in present.items() if server not in ours and state.usable}
    if any(state.is_backup for state in found.values()) and _has_first_choice(present):
        found = {server: state for server, state in found.items() if not state.is_backup}
    return {server: state.weight for server, state in found.items()}


def _has_first_choice(present: Mapping[str, ServerState]) -> bool:
    """Whether a server that is no ``backup`` is usable: then no backup is asked."""
    return any(state.usable and not state.is_backup for state in present.values())


def _resting(mapped: ServerMap, wanted: ServiceSteering) -> Target:
    """How a server that gets nothing shall wait. A standby that is being started is its driver's business, dead site or not."""
    if mapped.site in wanted.dead_sites:
        return Target(AdminState.MAINT, or_else=AdminState.DRAIN if mapped.role is MemberRole.STANDBY else None)
    if mapped.member is None or mapped.member in wanted.members_pm:
        return Target(AdminState.DRAIN)
    if mapped.role is MemberRole.STANDBY:
        return Target(AdminState.MAINT, or_else=AdminState.DRAIN)
    return Target(AdminState.MAINT)


def site_groups(backend: BackendMap) -> list[list[str]]:
    """The mapped servers, by site."""
    sites: dict[SiteId, list[str]] = {}
    for mapped in backend.servers:
        sites.setdefault(mapped.site, []).append(mapped.server)
    return list(sites.values())


def _would_serve(targets: Mapping[str, Target], states: Mapping[str, ServerState]) -> bool:
    """Whether somebody serves afterwards. A server out of ``maint`` is up until its first check says otherwise.

    When HAProxy's checks already have everything down, the write cannot make it worse.
    """
    opened = [states[server] for server, target in targets.items() if target.admin is AdminState.READY]
    if any(state.bound is None and (state.running or state.admin is AdminState.MAINT) for state in opened):
        return True
    return bool(opened) and not any(states[server].usable for server in targets)


def _kept(backend: BackendMap, outcome: EnactOutcome, detail: str, missing: tuple[str, ...] = ()) -> BackendPlan:
    return BackendPlan(backend=backend, problem=Problem(outcome=outcome, detail=detail), missing=missing)
