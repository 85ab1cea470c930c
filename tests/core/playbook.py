"""A playbook for the controller: events in, commands out, in virtual time, with every law checked after every step.

The world around the core is as small as it can be: data planes that do what they are told (or what the test says),
standbys that become ready, one vantage whose beliefs the test writes. The real world is `siteshift.sim` and the lab.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

from siteshift.core.controller import step
from siteshift.core.invariants import Violation, check
from siteshift.core.messages.commands import (
    ActivateStandby,
    Answer,
    AskStandby,
    Command,
    Enact,
    ReadPlane,
    Record,
    RetireStandby,
    Tell,
)
from siteshift.core.messages.events import (
    Asked,
    EnactFinished,
    Event,
    ReadBackArrived,
    ReportArrived,
    SeenTraffic,
    StandbyReported,
    Ticked,
    TrafficMeasured,
)
from siteshift.core.messages.requests import ApproveRequest, OperatorRequest, Request
from siteshift.core.model.codes import EnactOutcome, Failback, Hardness, MemberRole, Mode, SiteLife, StandbyPhase, Standing
from siteshift.core.model.evidence import SelfCheck, TargetView, VantageReport
from siteshift.core.model.notice import AlertState
from siteshift.core.model.plan import Step
from siteshift.core.model.policy import JudgePolicy, Policy, ServicePolicy
from siteshift.core.model.setup import PlaneRef, Setup
from siteshift.core.model.steering import EnactResult, ReadBack, Steering
from siteshift.core.model.topology import Member, Pool, Service, Site, Topology
from siteshift.core.model.units import DriverId, EnactorId, MemberId, ServiceId, SiteId, TargetId, VantageId, site_target
from siteshift.core.operate.answer import look_at
from siteshift.core.state.controller_state import ControllerState, initial_state

P, G, A = SiteId("pangyo"), SiteId("gasan"), SiteId("anyang")
WEB = ServiceId("web")
NODE = VantageId("c1")
PLANE = EnactorId("dns")
START_MS = 1_000_000

UP = TargetView(standing=Standing.UP, score_pm=1000)
DOWN = TargetView(standing=Standing.DOWN, score_pm=0, hardness=Hardness.HARD, reason="refused")
SUSPECT = TargetView(standing=Standing.SUSPECT, score_pm=900, hardness=Hardness.HARD)
SICK = TargetView(standing=Standing.DEGRADED, score_pm=700, hardness=Hardness.GREY, reason="30 % errors")
UNKNOWN = TargetView(standing=Standing.UNKNOWN, score_pm=1000)


def pool(service: ServiceId, site: SiteId, nominal_bp: int, active_rps: int, standby_rps: int = 0) -> Pool:
    """Four active members and, where asked for, two standbys."""

    def member(name: str, capacity_rps: int, role: MemberRole) -> Member:
        return Member(
            id=MemberId(f"{service}/{site}/{name}"),
            service=service,
            site=site,
            name=name,
            address="127.0.0.1",
            port=80,
            capacity_rps=capacity_rps,
            role=role,
            standby_driver=DriverId("hook") if role is MemberRole.STANDBY else None,
        )

    members = [member(f"m{i}", active_rps // 4, MemberRole.ACTIVE) for i in range(1, 5)]
    if standby_rps:
        members += [member(f"s{i}", standby_rps // 2, MemberRole.STANDBY) for i in (1, 2)]
    return Pool(service=service, site=site, nominal_bp=nominal_bp, answers=("192.0.2.1",), members=tuple(members))


def three_sites(**policy: object) -> Setup:
    """The world of the replays: shares 50/30/20, capacities 60/40/40, standby 40 spread over gasan and anyang."""
    service = Service(
        id=WEB,
        names=("www.example.test",),
        tier=1,
        demand_rps=100,
        pools=(pool(WEB, P, 5000, 60), pool(WEB, G, 3000, 40, 20), pool(WEB, A, 2000, 40, 20)),
    )
    topology = Topology(sites=(Site(id=P), Site(id=G), Site(id=A)), services=(service,), vantages=((NODE, G),))
    return Setup(
        topology=topology,
        policy=Policy(judge=JudgePolicy(), default=ServicePolicy(**policy)),  # type: ignore[arg-type]
        node=NODE,
        planes=(PlaneRef(id=PLANE, services=(WEB,), answers_itself=True),),
        metered=frozenset({WEB}),
        digest="playbook",
    )


def digest_of(answer: Answer) -> str:
    """What a person confirms or approves of an answer."""
    assert answer.offer is not None
    return answer.offer.digest


@dataclass
class Playbook:
    """Runs the core against a small obedient world. ``violations`` must stay empty."""

    setup: Setup = field(default_factory=three_sites)
    state: ControllerState = field(default_factory=lambda: initial_state(now_ms=START_MS))
    now_ms: int = START_MS
    beliefs: dict[TargetId, TargetView] = field(default_factory=dict)
    self_check: SelfCheck = field(default_factory=lambda: SelfCheck(anchors_ok=2, anchors_total=2))
    commands: list[Command] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    planes: dict[EnactorId, Steering | None] = field(default_factory=dict)
    plane_outcome: EnactOutcome = EnactOutcome.APPLIED
    standby_ms: int = 1_000
    standby_works: bool = True
    is_metered: bool = True
    demand_rps: int = 100
    history: list[tuple[int, dict[SiteId, int], int]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    _later: deque[tuple[int, Event]] = field(default_factory=deque)
    _sequence: int = 0

    def __post_init__(self) -> None:
        for target in self.setup.topology.targets:
            self.beliefs[target] = UP
        for member in self.setup.topology.members.values():
            if member.role is MemberRole.STANDBY:
                self.beliefs[member.target] = DOWN

    # -- what the test says ---------------------------------------------------------------------------------------

    def believe(self, site: SiteId, view: TargetView, service: ServiceId = WEB) -> None:
        """From now on the vantage sees this at a whole pool (active members, pool and, when all pools agree, site)."""
        found = self.setup.topology.pools[(service, site)]
        view = replace(view, since_ms=self.now_ms)
        self.beliefs[found.target] = view
        for member in found.members:
            if member.role is MemberRole.ACTIVE:
                self.beliefs[member.target] = view
        self.beliefs[site_target(site)] = view

    def ask(self, request: Request, **more: object) -> Answer:
        """Put a request and return its answer."""
        self.feed(Asked(at_ms=self.now_ms, asking=self._asking(request, more)))
        return next(c for c in reversed(self.commands) if isinstance(c, Answer))

    def look(self, request: Request, **more: object) -> Answer:
        """What the answer would be; nothing happens."""
        return look_at(self.state, self.setup, self._asking(request, more), self.now_ms)

    def _asking(self, request: Request, more: dict[str, object]) -> OperatorRequest:
        said = {"id": f"a{self.now_ms}", "person": "kim", "reason": "test", "request": request, **more}
        return OperatorRequest(**said)  # type: ignore[arg-type]

    def confirm(self, request: Request, **more: object) -> Answer:
        """Look at what a request means, then put it with the digest of what was shown."""
        shown = self.look(request, **more).offer
        assert shown is not None
        return self.ask(request, digest=shown.digest, shown=shown, **more)

    def approve(self, digest: str, person: str) -> Answer:
        """One person's approval."""
        return self.ask(ApproveRequest(digest=digest), person=person, rank="approver", via="token")

    def feed(self, event: Event) -> None:
        """One event through `step`, with the laws checked and the commands carried out by the small world."""
        before = self.state
        decision = step(before, event, self.setup)
        self.state = decision.state
        self.steps += decision.steps
        self.violations += check(before, event, decision.state, decision.commands, self.setup)
        if before.steering != decision.state.steering:
            entry = decision.state.steering.of(WEB)
            if entry is not None:
                self.history.append((event.at_ms, dict(entry.shares_bp), entry.shed_bp))
        for command in decision.commands:
            self.commands.append(command)
            self._carry_out(command)

    def run(self, for_ms: int, tick_ms: int = 100) -> None:
        """Let time pass: reports each second, traffic each half second, ticks in between."""
        end_ms = self.now_ms + for_ms
        while self.now_ms < end_ms:
            self.now_ms += tick_ms
            while self._later and self._later[0][0] <= self.now_ms:
                _, event = self._later.popleft()
                self.feed(replace(event, at_ms=self.now_ms))
            if self.now_ms % 1_000 < tick_ms:
                self.report()
            if self.is_metered and self.now_ms % 500 < tick_ms:
                self._measure()
            self.feed(Ticked(at_ms=self.now_ms))

    def report(self) -> None:
        self._sequence += 1
        report = VantageReport(
            vantage=NODE,
            site=G,
            at_ms=self.now_ms,
            sequence=self._sequence,
            self_check=self.self_check,
            views=dict(self.beliefs),
        )
        self.feed(ReportArrived(at_ms=self.now_ms, report=report))

    # -- the small world ------------------------------------------------------------------------------------------

    def _soon(self, after_ms: int, event: Event) -> None:
        self._later.append((self.now_ms + after_ms, event))
        self._later = deque(sorted(self._later, key=lambda entry: entry[0]))

    def forget_what_is_under_way(self) -> None:
        """The process died: nothing of what it began ever reports its end."""
        self._later.clear()

    def _carry_out(self, command: Command) -> None:
        match command:
            case Enact(enactor=enactor, steering=steering):
                if self.plane_outcome is EnactOutcome.APPLIED:
                    self.planes[enactor] = steering
                result = EnactResult(
                    enactor=enactor,
                    generation=steering.generation,
                    outcome=self.plane_outcome,
                    at_ms=self.now_ms,
                )
                self._soon(20, EnactFinished(at_ms=self.now_ms, result=result))
            case ReadPlane(enactor=enactor):
                self._soon(20, ReadBackArrived(at_ms=self.now_ms, read_back=self.reading(enactor)))
            case ActivateStandby(member=member):
                phase = StandbyPhase.READY if self.standby_works else StandbyPhase.FAILED
                self._soon(self.standby_ms, StandbyReported(at_ms=self.now_ms, member=member, phase=phase))
                if self.standby_works:
                    self.beliefs[TargetId(f"member:{member}")] = UP
            case RetireStandby(member=member):
                self.beliefs[TargetId(f"member:{member}")] = DOWN
            case AskStandby() | _:
                pass

    def reading(self, enactor: EnactorId) -> ReadBack:
        steering = self.planes.get(enactor)
        return ReadBack(
            enactor=enactor,
            at_ms=self.now_ms,
            generation=steering.generation if steering else None,
            shares_bp={e.service: dict(e.shares_bp) for e in steering.services} if steering else {},
        )

    def _measure(self) -> None:
        entry = next((s.of(WEB) for s in self.planes.values() if s is not None), None)
        shares = entry.shares_bp if entry else {P: 5000, G: 3000, A: 2000}
        seen = tuple(
            SeenTraffic(
                service=WEB, site=site, window_ms=500, requests=self.demand_rps * bp // 20_000, errors=0
            )
            for site, bp in shares.items()
        )
        self.feed(TrafficMeasured(at_ms=self.now_ms, seen=seen))

    # -- what the test looks at -----------------------------------------------------------------------------------

    def shares(self, service: ServiceId = WEB) -> dict[SiteId, int]:
        entry = self.state.steering.of(service)
        return dict(entry.shares_bp) if entry else {}

    def life(self, site: SiteId, service: ServiceId = WEB) -> SiteLife:
        return self.state.track(service, site).life

    def told(self) -> list[str]:
        return [c.code for c in self.commands if isinstance(c, Tell) and c.state is AlertState.FIRING]

    def recorded(self, kind: str) -> list[Record]:
        return [command for command in self.commands if isinstance(command, Record) and command.kind == kind]


__all__ = ["DOWN", "NODE", "SICK", "SUSPECT", "UNKNOWN", "UP", "WEB", "A", "Failback", "G", "Mode", "P", "Playbook"]
