"""Draw the whole expected sequence of steps for a change of shares (DESIGN §5, laws 2 and 9).

From a living site: widen, verify, then narrow, in steps no survivor feels. From a dead one: leave at once to what
survivors can carry, then bring up standby for the rest. Back home: the ramp of the policy, then send standby home.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from siteshift.core.decide.demand import load_pm
from siteshift.core.decide.ramp import LEAST_STEP_BP
from siteshift.core.decide.waterfill import part_way, water_fill
from siteshift.core.model.cause import Cause
from siteshift.core.model.codes import StepKind
from siteshift.core.model.finding import Finding
from siteshift.core.model.plan import Plan, Shares, Step, SurvivorLoad
from siteshift.core.model.policy import ServicePolicy
from siteshift.core.model.steering import ServiceSteering
from siteshift.core.model.topology import Member
from siteshift.core.model.units import WHOLE_BP, ServiceId, SiteId

MOST_STEPS = 24
"""A ramp that would take more steps than this ends in one; no plan a person reads is longer."""

_RETURNS = frozenset({Cause.FAILBACK, Cause.RELEASE})


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceChange:
    """What shall change for one service, and what bears on how.

    ``capacity_now_rps``: what each site carries now. ``capacity_rps``: once ``open_standby`` serves (None: the same).
    ``open_standby`` are standby members to bring up, ``retire`` those to send home at the end.
    ``standby_expected_ms``: how long standby is expected to take to be ready. ``old_ttl_left_ms``: what is left of a
    TTL longer than the present one, handed out earlier.
    """

    service: ServiceId
    policy: ServicePolicy
    before: ServiceSteering
    after_bp: Shares
    demand_rps: int
    capacity_now_rps: Mapping[SiteId, int]
    capacity_rps: Mapping[SiteId, int] | None = None
    shed_bp: int = 0
    open_standby: tuple[Member, ...] = ()
    retire: tuple[Member, ...] = ()
    dead_sites: frozenset[SiteId] = frozenset()
    standby_expected_ms: int = 10_000
    old_ttl_left_ms: int = 0

    @property
    def sites(self) -> tuple[SiteId, ...]:
        return tuple(dict.fromkeys((*self.before.shares_bp, *self.after_bp)))

    @property
    def start_bp(self) -> dict[SiteId, int]:
        """Shares before, every site of the change named."""
        return {site: self.before.shares_bp.get(site, 0) for site in self.sites}

    @property
    def end_bp(self) -> dict[SiteId, int]:
        """Shares after, every site of the change named."""
        return {site: self.after_bp.get(site, 0) for site in self.sites}

    @property
    def is_move(self) -> bool:
        return self.start_bp != self.end_bp

    @property
    def ttl_tail_ms(self) -> int:
        return max(self.before.ttl_s * 1_000, self.old_ttl_left_ms) if self.is_move else 0

    def capacity_at(self, site: SiteId) -> int:
        """Capacity once the standby of the plan serves."""
        source = self.capacity_now_rps if self.capacity_rps is None else self.capacity_rps
        return source.get(site, 0)

    def limit_bp(self, capacity_rps: int) -> int:
        """The share a capacity carries within the utilisation limit."""
        return capacity_rps * self.policy.max_utilisation_pm * 10 // max(1, self.demand_rps)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanInputs:
    """Everything a plan is drawn from; services in the order they shall be listed (by tier, then file)."""

    cause: Cause
    changes: tuple[ServiceChange, ...]
    findings: tuple[Finding, ...] = field(default=())


def draw_plan(inputs: PlanInputs) -> Plan:
    """The whole expected plan. Steps of one stage run side by side; they are listed stage by stage."""
    staged: list[tuple[int, int, Step]] = []
    for order, change in enumerate(inputs.changes):
        staged += [(stage, order, step) for stage, step in enumerate(_steps(change, inputs.cause))]
    changes = [change for change in inputs.changes if change.is_move or change.open_standby or change.retire]
    return Plan(
        cause=inputs.cause,
        services=tuple(change.service for change in changes),
        steps=tuple(step for _, _, step in sorted(staged, key=lambda entry: entry[:2])),
        before={change.service: change.start_bp for change in changes},
        after={change.service: change.end_bp for change in changes},
        loads=tuple(load for change in changes for load in _loads(change)),
        shed_bp={change.service: change.shed_bp for change in changes},
        ttl_tail_ms=max((change.ttl_tail_ms for change in changes), default=0),
        expected_ms=max((sum(step.wait_ms for step in _steps(change, inputs.cause)) for change in changes), default=0),
        findings=inputs.findings,
    )


def _steps(change: ServiceChange, cause: Cause) -> list[Step]:
    """The steps of one service, in order."""
    pen = _Pen(change)
    if not change.is_move:
        pen.open_standby()
        pen.retire_standby()
        return pen.steps
    if any(change.end_bp[site] < change.start_bp[site] for site in change.dead_sites & set(change.sites)):
        pen.leave_dead()
        pen.lower_ttl()
        pen.open_standby()
        pen.prove()
        pen.move_rest()
    elif cause in _RETURNS:
        pen.lower_ttl()
        pen.open_standby()
        pen.ramp_back()
    else:
        pen.lower_ttl()
        pen.open_standby()
        pen.prove()
        pen.ramp_out()
    pen.finish()
    return pen.steps


class _Pen:
    """Writes down the steps of one service; ``at`` is where the shares stand after the last step written."""

    def __init__(self, change: ServiceChange) -> None:
        self.change = change
        self.at: dict[SiteId, int] = change.start_bp
        self.steps: list[Step] = []

    def _write(
        self,
        kind: StepKind,
        precondition: str,
        postcondition: str,
        *,
        to_bp: Shares | None = None,
        members: tuple[Member, ...] = (),
        wait_ms: int = 0,
    ) -> None:
        after = self.at if to_bp is None else dict(to_bp)
        self.steps.append(
            Step(
                kind=kind,
                service=self.change.service,
                before_bp=dict(self.at),
                after_bp=dict(after),
                members=tuple(member.id for member in members),
                wait_ms=wait_ms,
                precondition=precondition,
                postcondition=postcondition,
            )
        )
        self.at = dict(after)

    def _go(self, to_bp: Shares, why: str, then: str, wait_ms: int) -> None:
        if dict(to_bp) != self.at:
            self._write(StepKind.MOVE, why, then, to_bp=to_bp, wait_ms=wait_ms)

    def lower_ttl(self) -> None:
        low_s = self.change.policy.ttl_suspect_s
        if self.change.before.ttl_s > low_s:
            self._write(
                StepKind.LOWER_TTL,
                f"answers live {self.change.before.ttl_s} s",
                f"every authoritative server answers with a TTL of {low_s} s",
            )

    def open_standby(self) -> None:
        members = self.change.open_standby
        if not members:
            return
        opened_rps = sum(member.capacity_rps for member in members)
        self._write(
            StepKind.ACTIVATE_STANDBY,
            f"{len(members)} standby members ({opened_rps} rps) are wanted",
            "their drivers accepted the start",
            members=members,
        )
        self._write(
            StepKind.AWAIT_READY,
            "the start was accepted",
            f"all are ready, at the latest after {self.change.policy.standby_deadline_ms // 1_000} s",
            members=members,
            wait_ms=self.change.standby_expected_ms,
        )

    def prove(self) -> None:
        """A little real traffic first: at sites that had none, and through members that just came up."""
        change = self.change
        proof_bp = change.policy.proof_bp
        new = {site: min(proof_bp, end) for site, end in change.end_bp.items() if end and not self.at[site]}
        if not new and not change.open_standby:
            return
        to_bp = dict(self.at)
        left = sum(new.values()) - max(0, WHOLE_BP - sum(self.at.values()))
        losers = sorted(change.sites, key=lambda site: change.end_bp[site] - self.at[site])
        for site in losers:
            taken = max(0, min(left, to_bp[site] - change.end_bp[site]))
            to_bp[site] -= taken
            left -= taken
        if left > 0:
            to_bp = dict(self.at)
            new = {}
        for site, share_bp in new.items():
            to_bp[site] += share_bp
        where = ", ".join(new) or ", ".join(dict.fromkeys(member.site for member in change.open_standby))
        self._write(
            StepKind.PROOF,
            "ready by probes",
            f"{proof_bp / 100:g} % of real traffic at {where} goes well for {change.policy.proof_ms / 1_000:g} s",
            to_bp=to_bp,
            members=change.open_standby,
            wait_ms=change.policy.proof_ms,
        )

    def leave_dead(self) -> None:
        """At once, to what survivors carry now; what they cannot is lost already and is shed until standby is up."""
        change = self.change
        to_bp = {site: min(share, change.end_bp[site]) if site in change.dead_sites else share for site, share in self.at.items()}
        gone_bp = sum(self.at.values()) - sum(to_bp.values())
        gains = [0 if site in change.dead_sites else max(0, change.end_bp[site] - to_bp[site]) for site in change.sites]
        rooms = [
            max(0, min(change.limit_bp(change.capacity_now_rps.get(site, 0)), change.end_bp[site]) - to_bp[site])
            for site in change.sites
        ]
        for site, more_bp in zip(change.sites, water_fill(gone_bp, gains, rooms), strict=True):
            to_bp[site] += more_bp
        dead = ", ".join(sorted(site for site in change.dead_sites if change.start_bp.get(site, 0)))
        self._go(to_bp, f"{dead} answers nothing", "read back everywhere; survivors within their limit", 0)

    def move_rest(self) -> None:
        self._go(self.change.end_bp, "what came up is proven", "read back everywhere", self.change.policy.proof_ms)

    def ramp_out(self) -> None:
        """From a living site: each step takes at most half of the room of those who gain (`ramp`)."""
        change = self.change
        for _ in range(MOST_STEPS):
            if self.at == change.end_bp:
                return
            self._go(self._next_bp(), "those who gain are up", "no survivor got worse", change.policy.proof_ms)
        self._go(change.end_bp, "those who gain are up", "no survivor got worse", change.policy.proof_ms)

    def _next_bp(self) -> dict[SiteId, int]:
        """The step `ramp.next_shares` would take from here; what is shed goes the like part of its way."""
        change, part_bp = self.change, WHOLE_BP
        for site, share_bp in self.at.items():
            gain_bp = change.end_bp[site] - share_bp
            if gain_bp > 0:
                room_bp = max(0, change.limit_bp(change.capacity_at(site)) - share_bp)
                part_bp = min(part_bp, max(LEAST_STEP_BP, room_bp // 2) * WHOLE_BP // gain_bp)
        parts = part_way(list(self.at.values()), list(change.end_bp.values()), part_bp)
        return dict(zip(change.sites, parts, strict=True))

    def ramp_back(self) -> None:
        """The policy's ramp, each step soaked."""
        change = self.change
        start, end = list(self.at.values()), list(change.end_bp.values())
        for part_bp in change.policy.ramp_bp:
            to_bp = dict(zip(change.sites, part_way(start, end, part_bp), strict=True))
            self._go(
                to_bp,
                "the returning site is up and has room",
                f"no regress for {change.policy.soak_ms / 1_000:g} s",
                change.policy.soak_ms,
            )
        self._go(change.end_bp, "the ramp is through", "no regress", change.policy.soak_ms)

    def finish(self) -> None:
        change = self.change
        self._write(
            StepKind.VERIFY,
            "every data plane confirmed the shares",
            "clients are given the new answer",
            wait_ms=change.policy.proof_ms,
        )
        self._write(
            StepKind.AWAIT_TTL,
            f"answers of up to {change.ttl_tail_ms / 1_000:g} s were handed out",
            "the old TTL has run out",
            wait_ms=change.ttl_tail_ms,
        )
        if any(self.at[site] == 0 and change.start_bp[site] for site in change.sites):
            self._write(
                StepKind.WATCH_RESIDUAL,
                "resolvers should have let go",
                f"seen traffic at the drained sites is below {change.policy.residual_done_bp / 100:g} %",
            )
        self.retire_standby()
        low_s = min(change.before.ttl_s, change.policy.ttl_suspect_s)
        if change.policy.ttl_normal_s > low_s:
            self._write(
                StepKind.RESTORE_TTL,
                "nothing is moving",
                f"every authoritative server answers with a TTL of {change.policy.ttl_normal_s} s",
            )

    def retire_standby(self) -> None:
        if self.change.retire:
            self._write(
                StepKind.RETIRE_STANDBY,
                "the standby members carry nothing that is needed",
                "they are back in standby",
                members=self.change.retire,
            )


def _loads(change: ServiceChange) -> Iterator[SurvivorLoad]:
    """The load of every site that serves before or after."""
    for site in change.sites:
        before_bp, after_bp = change.start_bp[site], change.end_bp[site]
        if before_bp or after_bp:
            capacity_rps = change.capacity_at(site)
            yield SurvivorLoad(
                service=change.service,
                site=site,
                capacity_rps=capacity_rps,
                before_rps=before_bp * change.demand_rps // WHOLE_BP,
                after_rps=after_bp * change.demand_rps // WHOLE_BP,
                utilisation_pm=load_pm(after_bp * change.demand_rps, capacity_rps),
            )
