"""The embedded server delivers the shares it was told, to everybody, from the next query on."""

import asyncio

import pytest
import scipy.stats

from contract.enactor_suite import ANYANG, GASAN, PANGYO, SITES
from siteshift.adapters.dns.embedded import SHED
from siteshift.adapters.dns.embedded_slots import SLOTS, Walk, slot_table
from siteshift.core.model.codes import EnactOutcome

from .embedded_world import WEB_ADDRESS, ask, serving, steer, values

SIGNIFICANCE = 0.001
ODD_SHARES = (6_543, 3_456, 1)


def walked(shares: tuple[int, ...], queries: int, *, start: int = 0) -> list[int]:
    walk = Walk(slot_table(shares, (1,) * len(shares)), len(shares), start)
    return [walk.step() for _ in range(queries)]


@pytest.mark.parametrize("shares", [(5_000, 3_000, 2_000), (9_900, 100), (10_000,), ODD_SHARES, (1, 1, 1), (3_334, 6_666)])
def test_ten_thousand_queries_get_the_shares_exactly(shares: tuple[int, ...]) -> None:
    got = walked(shares, SLOTS)
    total = sum(shares)
    for variant, share in enumerate(shares):
        assert abs(got.count(variant) - share * SLOTS / total) < 1


@pytest.mark.parametrize("start", [0, 1, 4_999, 7_777])
def test_any_few_queries_already_look_like_the_whole(start: int) -> None:
    for queries in (10, 30, 100, 1_000):
        got = walked((5_000, 3_000, 2_000), queries, start=start)
        for variant, share in enumerate((0.5, 0.3, 0.2)):
            assert abs(got.count(variant) - share * queries) <= 3


@pytest.mark.parametrize("beat", [2, 3, 4, 5, 7, 10, 16, 60])
def test_a_resolver_that_comes_at_a_regular_beat_sees_the_shares_too(beat: int) -> None:
    got = walked((5_000, 3_000, 2_000), 400 * beat)[::beat]
    for variant, share in enumerate((0.5, 0.3, 0.2)):
        assert abs(got.count(variant) / len(got) - share) < 0.03


async def test_over_many_resolvers_the_shares_are_as_configured() -> None:
    """Each resolver has its own socket and asks a few times; the sum must fit the shares (chi-square)."""
    async with serving(initial=steer(1)) as server:

        async def resolver(number: int) -> list[str]:
            return [values(await ask(server, "web.example.test"))[0] for _ in range(1 + number % 3)]

        got: list[str] = []
        for batch in range(20):
            for answers in await asyncio.gather(*(resolver(batch + n) for n in range(30))):
                got += answers
        seen = [got.count(WEB_ADDRESS[site]) for site in SITES]
        wanted = [len(got) * share for share in (0.5, 0.3, 0.2)]
        assert scipy.stats.chisquare(seen, wanted).pvalue > SIGNIFICANCE, (seen, wanted)
        given = server.answers_given()["web"]
        assert {site: given[site] for site in SITES} == dict(zip(SITES, seen, strict=True))


async def test_new_weights_live_on_the_very_next_query() -> None:
    async with serving(initial=steer(1, (10_000, 0, 0))) as server:
        for generation in range(2, 12):
            site = SITES[generation % 3]
            shares = tuple(10_000 if s == site else 0 for s in SITES)
            result = await server.enact(steer(generation, shares), deadline_ms=5_000)  # type: ignore[arg-type]
            assert result.outcome is EnactOutcome.APPLIED
            assert values(await ask(server, "web.example.test")) == [WEB_ADDRESS[site]]


async def test_no_query_during_a_change_goes_unanswered_or_gets_a_third_answer() -> None:
    async with serving(initial=steer(1, (10_000, 0, 0))) as server:
        answers: list[str] = []
        done = asyncio.Event()

        async def client() -> None:
            while not done.is_set():
                answers.extend(values(await ask(server, "web.example.test")))

        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(client())
            for generation in range(2, 40):
                shares = (10_000, 0, 0) if generation % 2 else (0, 10_000, 0)
                await server.enact(steer(generation, shares), deadline_ms=5_000)
            done.set()
        assert set(answers) <= {WEB_ADDRESS[PANGYO], WEB_ADDRESS[GASAN]}


async def test_counts_survive_a_change_of_steering_and_name_shed_answers() -> None:
    async with serving(initial=steer(1, (10_000, 0, 0))) as server:
        for _ in range(5):
            await ask(server, "shed.example.test")
        await server.enact(steer(2, (0, 0, 0), shed_bp=10_000, shed_at=PANGYO), deadline_ms=5_000)
        for _ in range(3):
            await ask(server, "shed.example.test", way="tcp")
        given = server.answers_given()["shed"]
        assert (given[PANGYO], given[SHED]) == (5, 3)


async def test_a_steering_to_nowhere_keeps_the_last_good_answers_and_says_so() -> None:
    async with serving(initial=steer(1, (0, 0, 10_000))) as server:
        assert (await server.enact(steer(2, (0, 0, 0)), deadline_ms=5_000)).outcome is EnactOutcome.APPLIED
        assert values(await ask(server, "web.example.test")) == [WEB_ADDRESS[ANYANG]]
        read = await server.read_back(deadline_ms=5_000)
        assert read.shares_bp["web"] == {ANYANG: 10_000}
        assert "answers of web" in {drift.what for drift in read.drifts}
        await server.enact(steer(3), deadline_ms=5_000)
        assert not (await server.read_back(deadline_ms=5_000)).drifts
