"""The contract every `ports.Enactor` keeps, real or in memory.

Use: derive a test class and give it a ``plane`` fixture that yields an `EnactorPlane`; the tests come with the class.
The plane must carry the services of `suite_topology` (or at least those in `EnactorPlane.services`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from siteshift.core.model.codes import EnactOutcome, MemberRole
from siteshift.core.model.mark import Origin, PlaneMark
from siteshift.core.model.steering import ServiceSteering, Steering
from siteshift.core.model.topology import Member, Pool, Service, Site, Topology
from siteshift.core.model.units import MemberId, ServiceId, SiteId
from siteshift.ports import Enactor

PANGYO, GASAN, ANYANG = SiteId("pangyo"), SiteId("gasan"), SiteId("anyang")
SITES = (PANGYO, GASAN, ANYANG)
WEB, CHAT = ServiceId("web"), ServiceId("chat")
NOMINAL_BP = (5_000, 3_000, 2_000)
DEADLINE_MS = 20_000
"""Generous: these tests are about what happens, not how fast."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnactorPlane:
    """One data plane under test.

    ``writer`` makes an enactor for the *same* plane: calls after the first stand for other nodes, or for this node
    started again (an enactor whose plane is itself may return the same object). ``tolerance_bp`` is how far the plane's
    own arithmetic may stay from the shares asked for.
    """

    writer: Callable[[], Enactor]
    signed: Callable[[Origin], Enactor] | None = None
    """An enactor for the same plane that signs so; for planes that several controllers can reach (`SharedPlaneContract`)."""
    services: tuple[ServiceId, ...] = (WEB, CHAT)
    tolerance_bp: int = 0
    topology: Topology = field(default_factory=lambda: suite_topology())


def suite_topology() -> Topology:
    """Two services at three sites; ten IPv4 and two IPv6 answers, and two members, at each."""
    return Topology(sites=tuple(Site(id=site) for site in SITES), services=(_service(WEB, 1), _service(CHAT, 2)))


def _service(service: ServiceId, number: int) -> Service:
    return Service(
        id=service,
        names=(f"{service}.example.test",),
        tier=number,
        demand_rps=1_000,
        pools=tuple(_pool(service, number, index, site) for index, site in enumerate(SITES)),
    )


def _pool(service: ServiceId, number: int, index: int, site: SiteId) -> Pool:
    block = 10 * (3 * number + index)
    members = tuple(
        Member(
            id=MemberId(f"{service}/{site}/m{m}"),
            service=service,
            site=site,
            name=f"m{m}",
            address=f"127.0.{number}.{10 * index + m}",
            port=8080,
            capacity_rps=500,
            role=MemberRole.ACTIVE,
        )
        for m in (1, 2)
    )
    v4 = tuple(f"192.0.2.{block + i}" for i in range(10))
    v6 = tuple(f"2001:db8:{number}::{block + i}" for i in range(2))
    return Pool(service=service, site=site, nominal_bp=NOMINAL_BP[index], answers=(*v4, *v6), members=members)


def steer(
    generation: int, web: tuple[int, int, int] = NOMINAL_BP, *, chat: tuple[int, int, int] = NOMINAL_BP, ttl_s: int = 30
) -> Steering:
    """A steering of the suite's topology: shares in the order of `SITES`."""
    entries = tuple(
        ServiceSteering(
            service=service,
            shares_bp=dict(zip(SITES, shares, strict=True)),
            members_pm={MemberId(f"{service}/{site}/m{m}"): 1_000 for site in SITES for m in (1, 2)},
            ttl_s=ttl_s,
        )
        for service, shares in ((WEB, web), (CHAT, chat))
    )
    return Steering(generation=generation, term=1, decided_at_ms=generation, services=entries)


async def enact(enactor: Enactor, steering: Steering) -> EnactOutcome:
    """The outcome of one write under the suite's deadline."""
    return (await enactor.enact(steering, deadline_ms=DEADLINE_MS)).outcome


class EnactorContract:
    """The tests. Subclasses provide the ``plane`` fixture."""

    async def expect(self, plane: EnactorPlane, enactor: Enactor, steering: Steering) -> None:
        """The plane holds exactly this steering, as far as it can."""
        read = await enactor.read_back(deadline_ms=DEADLINE_MS)
        assert read.enactor == enactor.id
        assert read.generation == steering.generation
        for service in plane.services:
            entry = steering.of(service)
            assert entry is not None
            for site in SITES:
                found = read.shares_bp[service].get(site, 0)
                assert abs(found - entry.shares_bp[site]) <= plane.tolerance_bp, (service, read.shares_bp)
                assert (found == 0) or entry.shares_bp[site] > 0, f"{site} is drained but still gets {found}"

    async def test_writes_a_first_steering_and_reads_it_back(self, plane: EnactorPlane) -> None:
        enactor = plane.writer()
        result = await enactor.enact(steer(1), deadline_ms=DEADLINE_MS)
        assert (result.outcome, result.generation, result.enactor) == (EnactOutcome.APPLIED, 1, enactor.id), result
        await self.expect(plane, enactor, steer(1))

    async def test_moves_shares_with_the_next_generation(self, plane: EnactorPlane) -> None:
        enactor = plane.writer()
        assert await enact(enactor, steer(1)) is EnactOutcome.APPLIED
        drained = steer(2, (0, 6_000, 4_000))
        assert await enact(enactor, drained) is EnactOutcome.APPLIED
        await self.expect(plane, enactor, drained)

    async def test_a_single_site_can_carry_everything(self, plane: EnactorPlane) -> None:
        enactor = plane.writer()
        last = steer(3, (0, 0, 10_000), chat=(10_000, 0, 0))
        assert await enact(enactor, last) is EnactOutcome.APPLIED
        await self.expect(plane, enactor, last)

    async def test_refuses_an_older_generation_and_changes_nothing(self, plane: EnactorPlane) -> None:
        enactor = plane.writer()
        assert await enact(enactor, steer(5)) is EnactOutcome.APPLIED
        result = await enactor.enact(steer(4, (0, 6_000, 4_000)), deadline_ms=DEADLINE_MS)
        assert (result.outcome, result.found_generation) == (EnactOutcome.STALE, 5)
        await self.expect(plane, enactor, steer(5))

    async def test_the_same_steering_again_is_applied(self, plane: EnactorPlane) -> None:
        enactor = plane.writer()
        for _ in range(3):
            assert await enact(enactor, steer(2)) is EnactOutcome.APPLIED
        await self.expect(plane, enactor, steer(2))

    async def test_generations_may_skip_numbers(self, plane: EnactorPlane) -> None:
        enactor = plane.writer()
        assert await enact(enactor, steer(1)) is EnactOutcome.APPLIED
        assert await enact(enactor, steer(1_000_000)) is EnactOutcome.APPLIED
        await self.expect(plane, enactor, steer(1_000_000))

    async def test_a_writer_that_slept_through_a_newer_generation_is_refused(self, plane: EnactorPlane) -> None:
        sleeper, other = plane.writer(), plane.writer()
        assert await enact(sleeper, steer(1)) is EnactOutcome.APPLIED
        newer = steer(3, (0, 6_000, 4_000))
        assert await enact(other, newer) is EnactOutcome.APPLIED
        result = await sleeper.enact(steer(2), deadline_ms=DEADLINE_MS)
        assert (result.outcome, result.found_generation) == (EnactOutcome.STALE, 3)
        await self.expect(plane, sleeper, newer)

    async def test_of_racing_writers_the_newest_generation_stays(self, plane: EnactorPlane) -> None:
        writers = [plane.writer() for _ in range(4)]
        steerings = [steer(10 + n, (10_000 - 1_000 * n, 1_000 * n, 0)) for n in range(1, 5)]
        outcomes = await asyncio.gather(*(enact(w, s) for w, s in zip(writers, steerings, strict=True)))
        assert set(outcomes) <= {EnactOutcome.APPLIED, EnactOutcome.STALE, EnactOutcome.FAILED}
        assert outcomes[-1] is EnactOutcome.APPLIED
        await self.expect(plane, writers[0], steerings[-1])

    async def test_reading_back_twice_says_the_same(self, plane: EnactorPlane) -> None:
        enactor = plane.writer()
        assert await enact(enactor, steer(1)) is EnactOutcome.APPLIED
        one = await enactor.read_back(deadline_ms=DEADLINE_MS)
        two = await enactor.read_back(deadline_ms=DEADLINE_MS)
        assert (one.generation, one.shares_bp, one.drifts) == (two.generation, two.shares_bp, two.drifts)
        assert one.drifts == ()

    async def test_carries_only_services_it_knows(self, plane: EnactorPlane) -> None:
        enactor = plane.writer()
        known = steer(1)
        stranger = ServiceSteering(service=ServiceId("stranger"), shares_bp={PANGYO: 10_000}, members_pm={}, ttl_s=5)
        both = Steering(generation=1, term=1, decided_at_ms=1, services=(*known.services, stranger))
        assert await enact(enactor, both) is EnactOutcome.APPLIED
        read = await enactor.read_back(deadline_ms=DEADLINE_MS)
        assert ServiceId("stranger") not in read.shares_bp
        assert set(plane.services) <= set(read.shares_bp)

    async def test_a_steering_to_nowhere_never_empties_a_service(self, plane: EnactorPlane) -> None:
        enactor = plane.writer()
        assert await enact(enactor, steer(1)) is EnactOutcome.APPLIED
        await enactor.enact(steer(2, (0, 0, 0)), deadline_ms=DEADLINE_MS)
        read = await enactor.read_back(deadline_ms=DEADLINE_MS)
        if WEB in plane.services:
            assert sum(read.shares_bp[WEB].values()) > 0, read

    async def test_no_time_at_all_is_an_outcome_not_an_exception(self, plane: EnactorPlane) -> None:
        enactor = plane.writer()
        assert await enact(enactor, steer(1)) is EnactOutcome.APPLIED
        result = await enactor.enact(steer(2, (0, 6_000, 4_000)), deadline_ms=0)
        read = await enactor.read_back(deadline_ms=DEADLINE_MS)
        match result.outcome:
            case EnactOutcome.APPLIED:
                assert read.generation == 2
            case EnactOutcome.FAILED:
                assert read.generation == 1
            case other:
                assert other is EnactOutcome.AMBIGUOUS
        assert await enact(enactor, steer(3)) is EnactOutcome.APPLIED

    async def test_a_cancelled_write_leaves_a_plane_that_can_be_written(self, plane: EnactorPlane) -> None:
        enactor = plane.writer()
        assert await enact(enactor, steer(1)) is EnactOutcome.APPLIED
        task = asyncio.create_task(enactor.enact(steer(2, (0, 6_000, 4_000)), deadline_ms=DEADLINE_MS))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
            raise asyncio.CancelledError  # it was quicker than the cancellation: just as well
        assert await enact(enactor, steer(3)) is EnactOutcome.APPLIED
        await self.expect(plane, enactor, steer(3))

    async def test_closing_twice_is_closing(self, plane: EnactorPlane) -> None:
        enactor = plane.writer()
        await enactor.close()
        await enactor.close()


OURS, OTHERS, NEIGHBOUR = Origin(cluster="shop", node="a"), Origin(cluster="other", node="a"), Origin(cluster="shop", node="b")


class SharedPlaneContract(EnactorContract):
    """Beyond the contract: what two controllers on one plane may do to each other, which is nothing."""

    @staticmethod
    def signed(plane: EnactorPlane, origin: Origin) -> Enactor:
        assert plane.signed is not None, "the plane fixture must say how to sign"
        return plane.signed(origin)

    async def test_what_is_written_is_signed(self, plane: EnactorPlane) -> None:
        enactor = self.signed(plane, OURS)
        assert await enact(enactor, steer(3)) is EnactOutcome.APPLIED
        read = await enactor.read_back(deadline_ms=DEADLINE_MS)
        assert (read.generation, read.mark) == (3, PlaneMark(generation=3, term=1, origin=OURS))

    @pytest.mark.parametrize("other", [OTHERS, NEIGHBOUR], ids=["another cluster", "another node in the same term"])
    async def test_another_controllers_plane_is_named_and_left_alone(self, plane: EnactorPlane, other: Origin) -> None:
        theirs, ours = self.signed(plane, other), self.signed(plane, OURS)
        drained = steer(5, (0, 6_000, 4_000))
        assert await enact(theirs, drained) is EnactOutcome.APPLIED
        mark = PlaneMark(generation=5, term=1, origin=other)
        for generation in (4, 5, 6, 1_000):
            result = await ours.enact(steer(generation), deadline_ms=DEADLINE_MS)
            assert (result.outcome, result.found_mark) == (EnactOutcome.REFUSED, mark), result
        read = await ours.read_back(deadline_ms=DEADLINE_MS)
        assert (read.generation, read.mark) == (None, mark)
        await self.expect(plane, theirs, drained)

    async def test_only_the_mark_that_a_person_was_shown_is_taken_over(self, plane: EnactorPlane) -> None:
        theirs, ours = self.signed(plane, OTHERS), self.signed(plane, OURS)
        assert await enact(theirs, steer(5)) is EnactOutcome.APPLIED
        shown = PlaneMark(generation=5, term=1, origin=OTHERS)
        assert await enact(theirs, steer(6)) is EnactOutcome.APPLIED
        assert await enact(ours, replace(steer(7), taken_over=shown)) is EnactOutcome.REFUSED
        shown = PlaneMark(generation=6, term=1, origin=OTHERS)
        assert await enact(ours, replace(steer(7), taken_over=shown)) is EnactOutcome.APPLIED
        await self.expect(plane, ours, steer(7))
        assert await enact(theirs, steer(8)) is EnactOutcome.REFUSED

    async def test_what_the_version_before_wrote_is_taken_over(self, plane: EnactorPlane) -> None:
        before, ours = plane.writer(), self.signed(plane, OURS)
        assert await enact(before, steer(5)) is EnactOutcome.APPLIED
        assert (await ours.read_back(deadline_ms=DEADLINE_MS)).generation == 5
        assert await enact(ours, steer(4)) is EnactOutcome.STALE
        assert await enact(ours, steer(6)) is EnactOutcome.APPLIED
        assert (await ours.read_back(deadline_ms=DEADLINE_MS)).mark == PlaneMark(generation=6, term=1, origin=OURS)

    async def test_a_leader_of_a_later_term_goes_on_where_the_former_one_was(self, plane: EnactorPlane) -> None:
        former, later = self.signed(plane, NEIGHBOUR), self.signed(plane, OURS)
        assert await enact(former, steer(5)) is EnactOutcome.APPLIED
        assert await enact(later, replace(steer(6), term=2)) is EnactOutcome.APPLIED
        assert await enact(former, steer(7)) is EnactOutcome.STALE
