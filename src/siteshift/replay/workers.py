"""A model of the workers: data planes and standbys, for commands of another policy that nobody ever carried out.

Planes take every write and have what they were given, after as long as the last recorded write to them took. A standby is
ready after as long as the last recorded start took; nothing recorded: `START_MS`. They never fail; what went wrong with
them then is in the record, and belongs to what was sent then.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field

from siteshift.core.messages.commands import ActivateStandby, AskStandby, Command, Enact, ReadPlane, RetireStandby
from siteshift.core.messages.events import EnactFinished, Event, ReadBackArrived, ReadBackFailed, StandbyReported
from siteshift.core.model.codes import EnactOutcome, StandbyPhase
from siteshift.core.model.steering import EnactResult, ReadBack, Steering
from siteshift.core.model.units import EnactorId, MemberId, ServiceId, SiteId
from siteshift.core.state.controller_state import ControllerState

ANSWER_MS = 20
START_MS = 15_000
OF_WORKERS = (EnactFinished, ReadBackArrived, ReadBackFailed, StandbyReported)
"""Events that answer commands."""
TO_HANDS = (Enact, ReadPlane, ActivateStandby, RetireStandby, AskStandby)


@dataclass(slots=True, kw_only=True)
class Workers:
    """What planes and standbys do. `follow` while nothing differs from the record; `take_over` once something does."""

    write_ms: dict[EnactorId, int] = field(default_factory=dict)
    start_ms: int = START_MS
    planes: dict[EnactorId, Steering] = field(default_factory=dict)
    ready_at_ms: dict[MemberId, int] = field(default_factory=dict)
    """When each started standby is ready."""
    _sent_ms: dict[EnactorId, int] = field(default_factory=dict)
    _writing: dict[EnactorId, Steering] = field(default_factory=dict)
    _reading: set[EnactorId] = field(default_factory=set)
    _started_ms: dict[MemberId, int] = field(default_factory=dict)
    _due: list[tuple[int, int, Event]] = field(default_factory=list)
    _asked: int = 0

    # -- while the record's own workers act --------------------------------------------------------------------------

    def follow(self, event: Event, commands: tuple[Command, ...]) -> None:
        """Learn from one recorded step: what is out, what ended, how long it took."""
        match event:
            case EnactFinished(result=result):
                sent_ms = self._sent_ms.pop(result.enactor, None)
                steering = self._writing.pop(result.enactor, None)
                if sent_ms is not None and result.outcome is EnactOutcome.APPLIED:
                    self.write_ms[result.enactor] = max(1, event.at_ms - sent_ms)
                    if steering is not None:
                        self.planes[result.enactor] = steering
            case ReadBackArrived(read_back=reading):
                self._reading.discard(reading.enactor)
            case ReadBackFailed(enactor=enactor):
                self._reading.discard(enactor)
            case StandbyReported(member=member, phase=StandbyPhase.READY) if member in self._started_ms:
                self.start_ms = max(1, event.at_ms - self._started_ms.pop(member))
                self.ready_at_ms[member] = event.at_ms
            case _:
                pass
        for command in commands:
            self._note(command, event.at_ms)

    def _note(self, command: Command, now_ms: int) -> None:
        match command:
            case Enact(enactor=enactor, steering=steering):
                self._sent_ms[enactor], self._writing[enactor] = now_ms, steering
            case ReadPlane(enactor=enactor):
                self._reading.add(enactor)
            case ActivateStandby(member=member):
                self._started_ms.setdefault(member, now_ms)
            case RetireStandby(member=member):
                self._started_ms.pop(member, None)
                self.ready_at_ms.pop(member, None)
            case _:
                pass

    # -- from the first difference on -------------------------------------------------------------------------------

    def take_over(self, now_ms: int) -> None:
        """Answer what is still out, and everything from now on."""
        for enactor, steering in self._writing.items():
            self._answer_write(enactor, steering, now_ms)
        for enactor in sorted(self._reading):
            self._answer_reading(enactor, now_ms)
        for member, started_ms in self._started_ms.items():
            self.ready_at_ms[member] = max(now_ms, started_ms + self.start_ms)
        self._writing.clear()
        self._reading.clear()
        self._started_ms.clear()

    def carry_out(self, commands: tuple[Command, ...], now_ms: int) -> None:
        """Take commands; the answers come as events when they are due."""
        for command in commands:
            match command:
                case Enact(enactor=enactor, steering=steering):
                    self._answer_write(enactor, steering, now_ms)
                case ReadPlane(enactor=enactor):
                    self._answer_reading(enactor, now_ms)
                case ActivateStandby(member=member):
                    self.ready_at_ms.setdefault(member, now_ms + self.start_ms)
                case RetireStandby(member=member):
                    self.ready_at_ms.pop(member, None)
                case AskStandby(member=member):
                    at_ms = now_ms + ANSWER_MS
                    self._later(at_ms, StandbyReported(at_ms=at_ms, member=member, phase=self.phase(member, at_ms)))
                case _:
                    pass

    def phase(self, member: MemberId, now_ms: int) -> StandbyPhase:
        """Where a standby is."""
        ready_ms = self.ready_at_ms.get(member)
        if ready_ms is None:
            return StandbyPhase.COLD
        return StandbyPhase.READY if now_ms >= ready_ms else StandbyPhase.STARTING

    def next_ms(self) -> int | None:
        """When the next answer is due."""
        return self._due[0][0] if self._due else None

    def take_due(self) -> Event:
        """The next answer. A reading tells what the plane has by then."""
        at_ms, _, event = heapq.heappop(self._due)
        if isinstance(event, EnactFinished):
            steering = self._writing.pop(event.result.enactor, None)
            if steering is not None:
                self.planes[event.result.enactor] = steering
        if isinstance(event, ReadBackArrived):
            return ReadBackArrived(at_ms=at_ms, read_back=self._reading_of(event.read_back.enactor, at_ms))
        return event

    def _answer_write(self, enactor: EnactorId, steering: Steering, now_ms: int) -> None:
        at_ms = now_ms + self.write_ms.get(enactor, ANSWER_MS)
        self._writing[enactor] = steering
        done = EnactResult(enactor=enactor, generation=steering.generation, outcome=EnactOutcome.APPLIED, at_ms=at_ms)
        self._later(at_ms, EnactFinished(at_ms=at_ms, result=done))

    def _answer_reading(self, enactor: EnactorId, now_ms: int) -> None:
        at_ms = now_ms + ANSWER_MS
        self._later(at_ms, ReadBackArrived(at_ms=at_ms, read_back=self._reading_of(enactor, at_ms)))

    def _reading_of(self, enactor: EnactorId, at_ms: int) -> ReadBack:
        steering = self.planes.get(enactor)
        shares: Mapping[ServiceId, Mapping[SiteId, int]] = {}
        if steering is not None:
            shares = {entry.service: entry.shares_bp for entry in steering.services}
        generation = None if steering is None else steering.generation
        return ReadBack(enactor=enactor, at_ms=at_ms, generation=generation, shares_bp=shares)

    def _later(self, at_ms: int, event: Event) -> None:
        self._asked += 1
        heapq.heappush(self._due, (at_ms, self._asked, event))


def to_workers(commands: tuple[Command, ...]) -> tuple[Command, ...]:
    """The commands that workers carry out."""
    return tuple(command for command in commands if isinstance(command, TO_HANDS))


def acts_of(commands: tuple[Command, ...]) -> tuple[Command, ...]:
    """Those of them that do something: that a plane is read some instants earlier or later makes no other policy."""
    return tuple(command for command in to_workers(commands) if not isinstance(command, ReadPlane))


def has_open(state: ControllerState, member: MemberId) -> bool:
    """Whether a standby was open in the record, so that what probes saw of it is evidence."""
    return state.standby(member).phase in (StandbyPhase.READY, StandbyPhase.PROVEN)
