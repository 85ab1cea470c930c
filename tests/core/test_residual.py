"""What still comes to a drained site is sent on by what the others gain, so that nobody gets more than its share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.playbook import DOWN, WEB, A, G, P, Playbook, three_sites
from siteshift.core.decide.steering import sent_on
from siteshift.core.model.steering import ServiceSteering
from siteshift.core.model.units import SiteId


def steering(shares: dict[SiteId, int], cached: dict[SiteId, int], shed_bp: int = 0) -> ServiceSteering:
    return sent_on(ServiceSteering(service=WEB, shares_bp=shares, members_pm={}, ttl_s=30, shed_bp=shed_bp), cached)


@pytest.mark.parametrize(
    ("shares", "shed_bp", "cached", "parts"),
    [
        ({P: 5400, G: 0, A: 4600}, 0, {P: 5000, G: 3000, A: 2000}, {P: 400, A: 2600}),
        ({P: 0, G: 3600, A: 3600}, 2800, {P: 5000, G: 3000, A: 2000}, {G: 600, A: 1600, None: 2800}),
        ({P: 0, G: 3600, A: 5400}, 1000, {P: 5000, G: 3000, A: 2000}, {G: 600, A: 3400, None: 1000}),
        ({P: 0, G: 2000, A: 3000}, 5000, {P: 5000, G: 2000, A: 3000}, {None: 5000}),
        ({P: 0, G: 6000, A: 4000}, 0, {}, {G: 6000, A: 4000}),
        ({P: 0, G: 6000, A: 3000}, 1000, {P: 0, G: 6000, A: 3000}, {G: 6000, A: 3000, None: 1000}),
    ],
)
def test_the_residual_goes_where_shares_grew(
    shares: dict[SiteId, int], shed_bp: int, cached: dict[SiteId, int], parts: dict[SiteId | None, int]
) -> None:
    assert steering(shares, cached, shed_bp).residual_bp(P, answers_shed=True) == parts


def test_what_is_shed_stays_where_nothing_answers_it() -> None:
    entry = steering({P: 0, G: 3600, A: 3600}, {P: 5000, G: 3000, A: 2000}, 2800)
    assert entry.residual_bp(P, answers_shed=False) == {G: 600, A: 1600, P: 2800}
    entry = steering({P: 0, G: 3600, A: 3600}, {P: 0, G: 3600, A: 3600}, 2800)
    assert entry.residual_bp(P, answers_shed=False) == {P: 2800}


SHARES = st.lists(st.integers(0, 100), min_size=4, max_size=4).filter(any)


def whole(numbers: list[int]) -> list[int]:
    found = [number * 10_000 // sum(numbers) for number in numbers]
    found[-1] += 10_000 - sum(found)
    return found


@given(before=SHARES, after=SHARES, old_pm=st.integers(0, 1_000))
def test_however_many_caches_are_old_nobody_gets_more_than_its_share_or_what_it_had(
    before: list[int], after: list[int], old_pm: int
) -> None:
    """Sites one and two are left: of each site's old and new share, the greater is the most it ever gets."""
    old, new = whole(before), whole([0, 0, *after[2:]] if any(after[2:]) else [0, 0, 1, 1])
    sites = [SiteId(name) for name in ("one", "two", "three")]
    entry = steering(dict(zip(sites, new, strict=False)), dict(zip(sites, old, strict=False)), new[3])
    parts = entry.residual_bp(sites[0], answers_shed=True)
    residual = (old[0] + old[1]) * old_pm / 1_000
    comes = (old[2] * old_pm + new[2] * (1_000 - old_pm)) / 1_000 + residual * parts.get(sites[2], 0) / sum(parts.values())
    assert comes <= max(old[2], new[2]) + 1e-6


def test_old_answers_are_remembered_until_they_have_run_out() -> None:
    book = Playbook(setup=three_sites())
    book.run(5_000)
    book.believe(P, DOWN)
    book.run(20_000)
    entry = book.state.steering.of(WEB)
    assert entry is not None
    assert entry.shares_bp[P] == 0
    assert entry.onward_bp == {G: entry.shares_bp[G] - 3000, A: entry.shares_bp[A] - 2000}, "also after standbys were proven"


def test_what_is_shed_at_a_dead_site_is_sent_on_less_and_less() -> None:
    """Nothing answers what is shed: DNS leads it to the dead site, and less of what comes there is from old caches."""
    book = Playbook(setup=three_sites())
    book.standby_works = False
    book.run(5_000)
    book.believe(P, DOWN)
    sent_on: list[int] = []
    for _ in range(45):
        book.run(1_000)
        entry = book.state.steering.of(WEB)
        assert entry is not None
        assert entry.shed_at == P
        parts = entry.residual_bp(P, answers_shed=False)
        sent_on.append(10_000 * (sum(parts.values()) - parts[P]) // sum(parts.values()))
    assert sent_on == sorted(sent_on, reverse=True)
    assert len(set(sent_on)) == 4
    assert sent_on[-1] == 0
