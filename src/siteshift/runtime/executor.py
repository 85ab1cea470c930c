"""Carries out commands, and turns every end into an event.

Order is the promise: what must be remembered is durable, and the journal has it, before a data plane is written
(laws 12 and 16) and before the person who asked for it is told that it holds. The work itself is done by
`remembering` (store and journal), `plane_workers`, `standby_workers` and `notices`. Retries live there for calls that are
safe to repeat; whether a *write* is tried again is the core's decision.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from siteshift.core.lifecycle.instants import ClockNote
from siteshift.core.messages.commands import (
    ActivateStandby,
    Answer,
    AskStandby,
    Command,
    Enact,
    ReadMeters,
    ReadPlane,
    Remember,
    ReprobeStandby,
    RetireStandby,
    Tell,
)
from siteshift.core.messages.events import Event
from siteshift.core.model.units import EnactorId
from siteshift.core.state.controller_state import ControllerState
from siteshift.ports import Clock, Ledger, SteeringKeeper
from siteshift.runtime.backlog import Backlog
from siteshift.runtime.equipment import Equipment
from siteshift.runtime.metrics import Told
from siteshift.runtime.notices import Notices
from siteshift.runtime.plane_workers import PlaneWorkers
from siteshift.runtime.remembering import Remembering
from siteshift.runtime.standby_workers import StandbyWorkers


@dataclass(slots=True, kw_only=True)
class Executor:
    """Everything that acts. ``offer`` takes the events; ``answered``, ``watch`` and ``read_meters`` take what it says to us."""

    clock: Clock
    ledger: Ledger
    equipment: Equipment
    offer: Callable[[Event], None]
    answered: Callable[[Answer], None]
    watch: Callable[[ReprobeStandby], None]
    read_meters: Callable[[ReadMeters], None]
    state_now: Callable[[], Mapping[str, object]]
    """The whole state as a document, for the journal."""
    on_error: Callable[[str, BaseException], None]
    on_told: Callable[[str, Told], None]
    on_written: Callable[[int, int, int], None]
    """Journal rows written, the sequence reached, milliseconds it took."""
    keeper: SteeringKeeper | None = None
    clock_note: Callable[[], ClockNote] | None = None
    remembering: Remembering = field(init=False)
    planes: PlaneWorkers = field(init=False)
    standbys: StandbyWorkers = field(init=False)
    notices: Notices = field(init=False)

    def __post_init__(self) -> None:
        clock, equipment, offer, on_error = self.clock, self.equipment, self.offer, self.on_error
        self.planes = PlaneWorkers(clock=clock, equipment=equipment, offer=offer, on_error=on_error)
        self.standbys = StandbyWorkers(clock=clock, equipment=equipment, offer=offer, on_error=on_error)
        self.notices = Notices(clock=clock, equipment=equipment, on_error=on_error, on_told=self.on_told)
        self.remembering = Remembering(
            clock=clock,
            ledger=self.ledger,
            backlog=Backlog(limit=equipment.limits.journal_rows),
            offer=offer,
            act=self._act,
            answered=self.answered,
            tell=self.notices.take,
            state_now=self.state_now,
            on_error=on_error,
            on_written=self.on_written,
            keeper=self.keeper,
            clock_note=self.clock_note,
        )

    def refit(self, equipment: Equipment) -> None:
        """Take other equipment; what is under way ends with what it began with."""
        self.equipment = equipment
        self.planes.equipment = self.standbys.equipment = self.notices.equipment = equipment
        self.remembering.backlog.limit = equipment.limits.journal_rows

    def carry_out(self, commands: tuple[Command, ...], state: ControllerState) -> None:
        """Take the commands of one step. Never blocks. Watches, readings of meters, and answers that change nothing, go at once.

        So does an answer given while the core knows that the store is lost: it grants only what needs no store.
        """
        owed: list[Answer] = []
        must_save = any(isinstance(command, Remember) for command in commands)
        for command in commands:
            match command:
                case Answer() if must_save and state.is_store_usable:
                    owed.append(command)
                case Answer():
                    self.answered(command)
                case ReprobeStandby():
                    self.watch(command)
                case ReadMeters():
                    self.read_meters(command)
                case Tell():
                    self.notices.take(command)
                case _:
                    pass
        if any(not isinstance(command, ReadMeters) for command in commands):
            self.remembering.take(commands, state, tuple(owed))

    def note(self, kind: str, data: Mapping[str, object]) -> None:
        """Add a row to the journal; written with the next commit, in order."""
        self.remembering.note(kind, data)

    def _act(self, commands: tuple[Command, ...], is_durable: bool) -> None:
        for command in commands:
            match command:
                case Enact(enactor=enactor, steering=steering):
                    if is_durable:
                        self.planes.write(enactor, steering)
                    else:
                        self.planes.refuse(enactor, steering)
                case ReadPlane(enactor=enactor):
                    self.planes.read(enactor)
                case ActivateStandby() if not is_durable:
                    self.standbys.refuse(command)
                case ActivateStandby() | RetireStandby() | AskStandby():
                    self.standbys.take(command)
                case _:
                    pass

    async def run_plane(self, enactor: EnactorId) -> None:
        """The worker of one data plane."""
        await self.planes.run(enactor)
