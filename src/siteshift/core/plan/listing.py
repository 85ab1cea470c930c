"""What a fold has found so far, and the plan it makes: the steps of each service with the waits between them."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace

from siteshift.core.decide.demand import load_pm
from siteshift.core.decide.situation import Situation
from siteshift.core.decide.situations import situation_of
from siteshift.core.decide.used import utilisation_of
from siteshift.core.model.cause import Cause
from siteshift.core.model.codes import FindingCode, Severity, SiteLife, StepKind
from siteshift.core.model.finding import RANK, Finding
from siteshift.core.model.plan import TRIFLES, WAIT_STEP, Plan, Shares, Step, SurvivorLoad, Wait, WaitCode
from siteshift.core.model.units import WHOLE_BP, ServiceId
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.draft import Draft
from siteshift.core.state.tracks import ServiceTransition

_BY_WEIGHT = (
    Cause.DEAD,
    Cause.PERSON,
    Cause.DEGRADED,
    Cause.RELIEF,
    Cause.RELEASE,
    Cause.FAILBACK,
    Cause.STANDBY,
    Cause.REBALANCE,
)
_JUDGED = frozenset({StepKind.MOVE, StepKind.UNDO})
"""Steps the gate let through; what others carry along was said of a move that waits."""
_UNLISTED = frozenset({WaitCode.NOTHING_LEFT, WaitCode.CALM})
_SHARED = frozenset({FindingCode.SHED_NEEDED, FindingCode.CAPACITY_SHORT})
"""What a service is told of another that has to give up room for it."""


def _of_another(found: Finding) -> Finding:
    """What is refused to a service that only gives up room: whoever asks for the room may answer for it."""
    if found.severity is not Severity.REFUSED:
        return found
    return replace(found, severity=Severity.NEEDS_APPROVAL, numbers={**found.numbers, "approvals_needed": 0})


@dataclass(slots=True, kw_only=True)
class _Rows:
    """The steps of one service, in order, and the wait it is in."""

    steps: list[Step] = field(default_factory=list)
    wait: Wait | None = None
    since_ms: int = 0
    shares_bp: Shares = field(default_factory=dict)

    def take(self, step: Step, at_ms: int) -> None:
        self.close(at_ms)
        self.steps.append(replace(step, at_ms=at_ms))
        self.shares_bp = step.after_bp

    def hold(self, wait: Wait, at_ms: int, shares_bp: Shares) -> None:
        self.shares_bp = shares_bp
        if self.wait is None or self.wait.code is not wait.code:
            self.close(at_ms)
            self.since_ms = at_ms
        self.wait = wait

    def close(self, at_ms: int) -> None:
        """List the wait that ends now, unless it took no time."""
        wait, self.wait = self.wait, None
        if wait is None or wait.code in _UNLISTED or (at_ms == self.since_ms and wait.until_ms is not None):
            return
        self.steps.append(
            Step(
                kind=WAIT_STEP[wait.code],
                service=wait.service,
                before_bp=self.shares_bp,
                after_bp=self.shares_bp,
                at_ms=self.since_ms,
                wait_ms=at_ms - self.since_ms,
            )
        )


@dataclass(slots=True, kw_only=True)
class Listing:
    """Steps and waits as they come, by service; then the plan."""

    began_ms: int
    is_cut: bool = False
    _rows: dict[ServiceId, _Rows] = field(default_factory=dict)
    _waits: dict[ServiceId, Wait] = field(default_factory=dict)
    _findings: dict[ServiceId, list[Finding]] = field(default_factory=dict)
    _start: dict[ServiceId, Shares] = field(default_factory=dict)
    _end: dict[ServiceId, Situation] = field(default_factory=dict)
    _tails_ms: dict[ServiceId, int] = field(default_factory=dict)

    @property
    def longest(self) -> int:
        """The most steps any service takes; a full move in steps of 5 % takes twenty, with waits between them."""
        return max((sum(not step.is_wait for step in rows.steps) for rows in self._rows.values()), default=0)

    def acts(self, service: ServiceId) -> bool:
        """Whether the plan does anything for a service that a person would want to know, or hangs on its data planes."""
        rows, wait = self._rows.get(service), self._waits.get(service)
        if wait is not None and wait.code is WaitCode.PLANES:
            return True
        return rows is not None and any(not step.is_wait and step.kind not in TRIFLES for step in rows.steps)

    def note(self, draft: Draft, before: ControllerState) -> Generator[None, None, None]:
        """Note one look: what was done, what is waited for, which sites are left for good. Yields after each step."""
        at_ms = draft.now_ms - self.began_ms
        for step in draft.steps:
            rows = self._rows.setdefault(step.service, _Rows())
            situation = situation_of(draft.state, draft.setup, draft.setup.topology.service_by_id[step.service], draft.now_ms)
            rows.take(replace(step, utilisation_pm=utilisation_of(situation, situation.current)), at_ms)
            tail_ms = situation.transition.tail_until_ms - draft.now_ms
            self._tails_ms[step.service] = max(self._tails_ms.get(step.service, 0), tail_ms)
            yield
        if draft.state.tracks is not before.tracks:
            self._note_left(draft, before, at_ms)
        for service, wait in draft.waits.items():
            entry = draft.state.steering.of(service)
            shares_bp: Shares = entry.shares_bp if entry is not None else {}
            self._rows.setdefault(service, _Rows()).hold(wait, at_ms, shares_bp)
            self._waits[service] = wait
        for step in draft.steps:
            self._waits.pop(step.service, None)

    def _note_left(self, draft: Draft, before: ControllerState, at_ms: int) -> None:
        """A site whose traffic is gone: by what is seen, where it is counted (law 8)."""
        for (service, site), track in draft.state.tracks.items():
            if track.life is not SiteLife.DRAINED or before.track(service, site).life is SiteLife.DRAINED:
                continue
            rows = self._rows.setdefault(service, _Rows())
            entry = draft.state.steering.of(service)
            rows.close(at_ms)
            if service in draft.setup.metered and entry is not None:
                shares = entry.shares_bp
                step = Step(kind=StepKind.WATCH_RESIDUAL, service=service, before_bp=shares, after_bp=shares, at_ms=at_ms)
                rows.steps.append(step)

    def end(self, situation: Situation, start_bp: Shares, findings: list[Finding]) -> None:
        """Note where a service ends, and what is to be said of that."""
        service = situation.service.id
        self._start[service], self._end[service], self._findings[service] = start_bp, situation, findings

    def plan(
        self, *, only: ServiceId | None, standing: Mapping[ServiceId, ServiceTransition]
    ) -> Generator[None, None, Plan | None]:
        """The plan; None when nothing would be done and nothing is to be said. Yields after each service."""
        for service, rows in self._rows.items():
            wait = self._waits.get(service)
            rows.close(rows.since_ms if wait is None or wait.until_ms is None else wait.until_ms - self.began_ms)
        told: list[Finding] = []
        loads: list[SurvivorLoad] = []
        for service in self._end:
            told += self._said(service, only, standing)
            loads += self._loads(service) if self.acts(service) else ()
            yield
        services = tuple(service for service in self._end if self.acts(service))
        if not services and all(found.severity is Severity.ALLOWED for found in told):
            return None
        steps = [step for service in services for step in self._rows[service].steps]
        causes = [step.cause for step in steps if step.cause is not None]
        return Plan(
            cause=min(causes, key=_BY_WEIGHT.index, default=Cause.REBALANCE),
            services=services,
            steps=tuple(sorted(steps, key=lambda step: step.at_ms)),
            before={service: self._all_sites(service, self._start[service]) for service in services},
            after={service: self._all_sites(service, self._end[service].current.shares_bp) for service in services},
            loads=tuple(loads),
            shed_bp={service: self._end[service].current.shed_bp for service in services},
            ttl_tail_ms=max((self._tails_ms.get(service, 0) for service in services), default=0),
            expected_ms=max((step.at_ms + step.wait_ms for step in steps), default=0),
            findings=tuple(told),
            waits={service: self._waits[service] for service in services if service in self._waits},
            is_cut=self.is_cut,
        )

    def _said(self, service: ServiceId, only: ServiceId | None, standing: Mapping[ServiceId, ServiceTransition]) -> list[Finding]:
        """What the gates said to the steps and say at the end, each code once a site, the gravest first met.

        Of a service that only shares room with the one asked for, only what the request takes from it: nobody's request is
        refused for another's trouble.
        """
        rows, wait = self._rows.get(service), self._waits.get(service)
        found = [entry for step in rows.steps if step.kind in _JUDGED for entry in step.findings] if rows is not None else []
        found = [self._as_passing(service, entry) for entry in found]
        if wait is not None and wait.code is not WaitCode.PLANES:
            found += wait.findings
        worst: dict[tuple[FindingCode, object], Finding] = {}
        for entry in (*found, *self._findings[service]):
            key = (entry.code, entry.numbers.get("site") or entry.numbers.get("plane"))
            if key not in worst or _gravity(entry) > _gravity(worst[key]):
                worst[key] = entry
        if only in (None, service):
            return list(worst.values())
        known = {entry.code for entry in standing[service].findings} if service in standing else set()
        return [_of_another(entry) for entry in worst.values() if entry.code in _SHARED - known]

    def _as_passing(self, service: ServiceId, entry: Finding) -> Finding:
        """What is crowded by a step and less so at the end, with where that is: the table of the plan shows the end."""
        site, used_pm = entry.numbers.get("site"), entry.numbers.get("utilisation_pm")
        if entry.code is not FindingCode.CAPACITY_SHORT or used_pm is None:
            return entry
        end_pm = next((load.utilisation_pm for load in self._loads(service) if load.site == site), 0)
        if end_pm >= int(used_pm):
            return entry
        return replace(entry, text=f"{entry.text}; this is on the way, it ends at {end_pm / 10:.0f} %")

    def _all_sites(self, service: ServiceId, shares_bp: Shares) -> Shares:
        sites = self._end[service].service.sites
        return {site: shares_bp.get(site, 0) for site in (*sites, *(s for s in shares_bp if s not in sites))}

    def _loads(self, service: ServiceId) -> list[SurvivorLoad]:
        """The load of every site that serves before or after."""
        situation, found = self._end[service], []
        for pool in situation.service.pools:
            before_bp = self._start[service].get(pool.site, 0)
            after_bp = situation.current.shares_bp.get(pool.site, 0)
            if before_bp or after_bp:
                capacity_rps = situation.open_rps(pool)
                found.append(
                    SurvivorLoad(
                        service=service,
                        site=pool.site,
                        capacity_rps=capacity_rps,
                        before_rps=before_bp * situation.demand_rps // WHOLE_BP,
                        after_rps=after_bp * situation.demand_rps // WHOLE_BP,
                        utilisation_pm=load_pm(after_bp * situation.demand_rps, capacity_rps),
                    )
                )
        return found


def _gravity(entry: Finding) -> tuple[int, int]:
    """How bad a finding is beside another of its code: by severity, then by how much is crowded, shed or left behind."""
    numbers = (int(entry.numbers.get(name, 0)) for name in ("utilisation_pm", "shed_bp", "stays_bp"))
    return RANK[entry.severity], max(numbers)
