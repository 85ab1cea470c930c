"""Weights deliver shares as nearly as HAProxy's 0-256 allows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siteshift.adapters.haproxy.weights import WEIGHT_MAX, as_heavy_as, integer_weights, nearest_weight


def error(weights: dict[str, int], fractions: dict[str, float]) -> float:
    total, whole = sum(weights.values()), sum(fractions.values())
    return max(abs(weights[name] / total - fractions[name] / whole) for name in fractions)


@pytest.mark.parametrize(
    ("fractions", "weights"),
    [
        ({"a": 5000, "b": 3000, "c": 2000}, {"a": 5, "b": 3, "c": 2}),
        ({"a": 1, "b": 1}, {"a": 1, "b": 1}),
        ({"a": 9900, "b": 100}, {"a": 99, "b": 1}),
        ({"a": 10_000, "b": 0}, {"a": 1, "b": 0}),
        ({"a": 0, "b": 0}, {"a": 0, "b": 0}),
        ({"a": 1e9, "b": 1}, {"a": 256, "b": 1}),
    ],
)
def test_known_shares(fractions: dict[str, float], weights: dict[str, int]) -> None:
    assert integer_weights(fractions) == weights


def test_a_proof_share_of_one_per_cent_is_met_within_a_tenth_of_a_basis_point() -> None:
    fractions = {"p1": 3300.0, "p2": 3300.0, "p3": 3300.0, "g1": 100.0}
    weights = integer_weights(fractions, [["p1", "p2", "p3"], ["g1"]])
    assert weights == {"p1": 33, "p2": 33, "p3": 33, "g1": 1}


PARTS = st.lists(st.integers(min_value=0, max_value=10_000), min_size=1, max_size=40).filter(any)


@given(parts=PARTS)
def test_every_weight_is_legal_and_never_worse_than_rounding_at_the_top(parts: list[int]) -> None:
    fractions = {f"s{n}": float(part) for n, part in enumerate(parts)}
    weights = integer_weights(fractions)
    assert all(0 <= weight <= WEIGHT_MAX for weight in weights.values())
    assert all((weights[name] > 0) == (part > 0) for name, part in fractions.items())
    top = max(parts)
    naive = {n: max(1, round(WEIGHT_MAX * part / top)) if part else 0 for n, part in fractions.items()}
    assert error(weights, fractions) <= error(naive, fractions) + 2e-5


@given(parts=st.lists(st.integers(min_value=100, max_value=5_000), min_size=2, max_size=5), members=st.integers(1, 8))
def test_site_shares_stay_within_half_a_per_cent(parts: list[int], members: int) -> None:
    """Shares of at least a fiftieth of the largest: that is what 256 steps can carry so well."""
    groups = [[f"{site}-{n}" for n in range(members)] for site in range(len(parts))]
    fractions = {name: part / members for part, group in zip(parts, groups, strict=True) for name in group}
    weights = integer_weights(fractions, groups)
    total = sum(weights.values())
    for part, group in zip(parts, groups, strict=True):
        assert abs(sum(weights[name] for name in group) / total - part / sum(parts)) < 0.005


@given(parts=PARTS, total=st.integers(0, 3_000), initial=st.sampled_from((0, 1, 10, 100, 150, 256)))
def test_weights_are_made_heavier_in_the_same_ratios_and_once(parts: list[int], total: int, initial: int) -> None:
    fractions = {f"s{n}": float(part) for n, part in enumerate(parts)}
    firsts = dict.fromkeys(fractions, initial) if initial else {}
    weights = integer_weights(fractions, (), firsts)
    heavy = as_heavy_as(weights, total, firsts)
    times = max(heavy.values()) // max(weights.values())
    assert heavy == {name: weight * times for name, weight in weights.items()}
    assert max(heavy.values()) <= WEIGHT_MAX
    assert all(nearest_weight(weight, initial) == weight for weight in heavy.values() if weight)
    assert as_heavy_as(weights, sum(heavy.values()), firsts) == heavy, "what is there already is not written again"
    if initial in (0, 1, 100):
        assert sum(heavy.values()) >= total or (times + 1) * max(weights.values()) > WEIGHT_MAX
