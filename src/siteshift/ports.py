"""The ports: what the runtime needs of the outside world. Every port has an in-memory twin in `adapters.memory`
that passes the same contract suite (``tests/contract``) as the real adapter.

Rules for every port
--------------------
must      honour its deadline; raise only `AdapterError` subclasses (never a library's exception); be cancellable.
may       keep connections, batch, and re-read state to answer.
must not  decide anything, retry on its own, or touch what siteshift does not own (law 14).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from siteshift.core.model.codes import Fault, Outcome, Stage, StandbyPhase
from siteshift.core.model.notice import Notice
from siteshift.core.model.probe import ProbeSpec
from siteshift.core.model.steering import EnactResult, ReadBack, Steering
from siteshift.core.model.topology import Member
from siteshift.core.model.units import DriverId, EnactorId, ProbeId, ServiceId, SiteId, TargetId


class Clock(Protocol):
    """Siteshift time (see `core.model.units`)."""

    def now_ms(self) -> int:
        """Milliseconds; never goes back within a process."""


class ProbeResult(NamedTuple):
    """One finished check (a named tuple: it is made 15,000 times a second, at a quarter of a frozen dataclass's cost).
    ``latency_us`` is from start to verdict; ``at_ms`` is siteshift time of the verdict.

    ``started_ms`` is siteshift time of the start: the judge groups by it.
    """

    probe: ProbeId
    outcome: Outcome
    fault: Fault
    latency_us: int
    at_ms: int
    started_ms: int
    detail: str = ""
    must_fail: bool = False
    stage: Stage = Stage.FINAL


ProbeSink = Callable[[ProbeResult], None]
"""Called on the loop for every finished check; must return quickly and must not raise."""


class Prober(Protocol):
    """Carries out probe specifications on their schedule and hands every result to the sink."""

    def configure(self, specs: Sequence[ProbeSpec]) -> None:
        """Replace the whole set. Unchanged specs keep their phase and connections."""

    def hasten(self, probes: Sequence[ProbeId], interval_ms: int, until_ms: int) -> None:
        """Probe these at ``interval_ms`` until ``until_ms`` of siteshift time (bounded by the caller's budget).

        must      wait for a run to end before the next one starts; keep to a fifth of the probe's own interval, and of a
                  journey or command to the time it took lately, where ``interval_ms`` is less.
        """

    async def run(self) -> None:
        """Probe until cancelled."""

    def late_starts(self) -> Iterable[tuple[int, int]]:
        """How late probes were started since the last call: (microseconds, so many starts)."""


class Enactor(Protocol):
    """Brings one data plane to the desired steering and reads it back.

    must      refuse a steering older than what is there (`EnactOutcome.STALE`), answer `AMBIGUOUS` when it cannot
              know whether a write arrived, keep every name answerable at every instant (never an empty answer set).
    must not  repair drift that a person made; it reports it in `ReadBack.drifts`.
    """

    @property
    def id(self) -> EnactorId: ...

    async def enact(self, steering: Steering, *, deadline_ms: int) -> EnactResult:
        """Write the whole desired steering. Never raises for outcomes of the write itself."""

    async def read_back(self, *, deadline_ms: int) -> ReadBack:
        """Read what is there. Raises `AdapterError` when it cannot be read: unknown, not absent."""

    async def close(self) -> None: ...


class StandbyDriver(Protocol):
    """Brings standby members into and out of readiness. Both calls may be repeated safely."""

    @property
    def id(self) -> DriverId: ...

    async def activate(self, member: Member, *, deadline_ms: int) -> None:
        """Start bringing the member up; returns when the start was accepted."""

    async def retire(self, member: Member, *, deadline_ms: int) -> None:
        """Send the member back to standby."""

    async def phase(self, member: Member, *, deadline_ms: int) -> StandbyPhase:
        """Where it is now: COLD, STARTING, READY or FAILED."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficSample:
    """Traffic really seen for a service at a site since the sample before.

    ``requests``, ``errors``, ``answered`` and ``passed_on`` are those of `core.events.SeenTraffic`.
    """

    service: ServiceId
    site: SiteId
    at_ms: int
    window_ms: int
    requests: int
    errors: int
    latency_ms: int | None = None
    answered: int | None = None
    passed_on: int = 0


class TrafficMeter(Protocol):
    """Measures *seen* traffic."""

    async def sample(self, *, deadline_ms: int) -> Sequence[TrafficSample]:
        """Rates since the last call. Raises `AdapterError` when it cannot know."""

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PassiveSample:
    """Real traffic as evidence about a pool or member: counts of a window, or figures somebody else computed.

    ``good_for_ms`` is set for figures that lag (a rate over the last minute): they hold until the next ones are due, and
    they cannot contradict a check, for they may be older than the fault. None: counts up to this moment.
    """

    target: TargetId
    at_ms: int
    requests: int
    errors: int
    latency_ms: int | None = None
    good_for_ms: int | None = None


class EvidenceSource(Protocol):
    """Tells how real users fare. What it cannot tell is no evidence, never a failure."""

    async def sample(self, *, deadline_ms: int) -> Sequence[PassiveSample]:
        """What was seen since the last call; a target nothing is known of is left out. Raises `AdapterError`."""

    async def close(self) -> None: ...


class Store(Protocol):
    """Remembers the controller's durable state. One writer at a time."""

    async def load(self) -> Mapping[str, bytes]:
        """Everything remembered, by key."""

    async def save(self, changes: Mapping[str, bytes | None], *, expect_generation: int | None = None) -> None:
        """Write all or nothing, durably. None deletes. Raises `StaleWrite` when the stored generation differs."""

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """One line of the record. ``data`` is JSON-compatible; ``digest`` chains to the entry before (SHA-256, hex)."""

    sequence: int
    at_ms: int
    kind: str
    data: Mapping[str, object]
    previous: str
    digest: str


class Journal(Protocol):
    """Append-only, hash-chained record of facts, inputs, decisions and read-backs."""

    async def append(self, entries: Sequence[tuple[int, str, Mapping[str, object]]]) -> Sequence[JournalEntry]:
        """Add (at_ms, kind, data) durably and in order. Raises `AdapterError` (disk full) with nothing half-written."""

    def read(self, *, since_ms: int = 0, until_ms: int | None = None) -> AsyncIterator[JournalEntry]:
        """Entries in order."""

    def newest(self, kind: str, *, until_ms: int) -> AsyncIterator[JournalEntry]:
        """Entries of one kind at or before an instant, the latest first; what was found soon costs little."""

    async def verify(self) -> int:
        """Number of entries checked. Raises `JournalBroken` naming the first bad sequence."""

    async def close(self) -> None: ...


JournalRow = tuple[int, str, Mapping[str, object]]
"""(at_ms, kind, data) of an entry to be."""


class Ledger(Protocol):
    """Store and journal as one: what was decided is remembered *and* on record, or neither is. One writer at a time."""

    async def reached(self) -> int:
        """Sequence of the record's last entry, once everything handed in before has ended; 0 when there is none.

        This is what to read after a `commit` whose end is unknown (law 10).
        """

    async def commit(self, changes: Mapping[str, bytes | None], rows: Sequence[JournalRow]) -> int:
        """Write state and rows in one transaction, durably; the sequence reached.

        None deletes a key. Raises `AdapterError`: nothing of it was written, but for `Ambiguous`.
        """

    async def close(self) -> None: ...


class SteeringKeeper(Protocol):
    """Keeps the last steering once more, apart from the store and the data planes."""

    async def keep(self, steering: Steering) -> None:
        """Replace what is kept, durably. Raises `AdapterError`; then what was kept before stands."""


class Notifier(Protocol):
    """Tells people. Must be hosted outside every site it reports about."""

    async def notify(self, notice: Notice, *, at_ms: int, deadline_ms: int) -> None:
        """Deliver one notice, told at ``at_ms`` of siteshift time. Raises `Retryable` (certainly not delivered, may be tried
        again), `Ambiguous` (may have been), `Permanent`.

        must      say the same again when it is called again with the same notice and instant, so that the receiver can tell a
                  repetition.
        """
