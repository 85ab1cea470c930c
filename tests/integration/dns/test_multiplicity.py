"""The nearest mix of addresses, against trying out every mix there is."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siteshift.adapters.dns.multiplicity import publish
from siteshift.adapters.dns.targets import AnswerShare, apportion
from siteshift.core.model.units import WHOLE_BP, SiteId

SITE = st.tuples(st.integers(1, WHOLE_BP), st.integers(1, 4))


def share(site: int, share_bp: int, room: int) -> AnswerShare:
    addresses = tuple(f"10.0.{site}.{n}" for n in range(room))
    return AnswerShare(site=SiteId(str(site)), share_bp=share_bp, addresses=addresses)


def counts_of(shares: tuple[AnswerShare, ...], addresses: tuple[str, ...]) -> list[int]:
    return [len(set(one.addresses) & set(addresses)) for one in shares]


def error_of(shares: tuple[AnswerShare, ...], counts: list[int]) -> float:
    total_bp, total = sum(one.share_bp for one in shares), sum(counts)
    return sum(abs(count / total - one.share_bp / total_bp) for one, count in zip(shares, counts, strict=True))


@given(st.lists(SITE, min_size=1, max_size=4), st.integers(1, 10))
def test_no_mix_of_addresses_comes_nearer(sites: list[tuple[int, int]], addresses_max: int) -> None:
    shares = tuple(share(i, bp, room) for i, (bp, room) in enumerate(sites))
    found = publish(shares, addresses_max)
    got = counts_of(shares, found.addresses)
    mixes = itertools.product(*(range(len(one.addresses) + 1) for one in shares))
    best = min(error_of(shares, list(mix)) for mix in mixes if 0 < sum(mix) <= addresses_max)
    assert error_of(shares, got) <= best + len(shares) * 2 / WHOLE_BP
    assert 0 < len(found.addresses) <= addresses_max


@pytest.mark.parametrize(
    ("sites", "counts"),
    [
        ([(5_000, 1), (3_000, 1), (2_000, 1)], [1, 1, 1]),
        ([(5_000, 5), (3_000, 5), (2_000, 5)], [5, 3, 2]),
        ([(10_000, 4)], [4]),
        ([(5_000, 2), (5_000, 2)], [2, 2]),
        ([(9_900, 4), (100, 4)], [4, 0]),
        ([(7_500, 3), (2_500, 3)], [3, 1]),
        ([(5_000, 16), (5_000, 16)], [8, 8]),
        ([(1, 1), (1, 1)], [1, 1]),
    ],
)
def test_what_is_published(sites: list[tuple[int, int]], counts: list[int]) -> None:
    shares = tuple(share(i, bp, room) for i, (bp, room) in enumerate(sites))
    assert counts_of(shares, publish(shares).addresses) == counts


def test_nothing_wanted_nothing_published() -> None:
    assert publish(()).addresses == ()


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=6).filter(any), st.integers(1, 20_000))
def test_apportioned_parts_are_whole_and_fair(weights: list[int], whole: int) -> None:
    parts = apportion(tuple(weights), whole)
    assert sum(parts) == whole
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - weight * whole / sum(weights)) < 1
