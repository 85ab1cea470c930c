"""What a steering means in addresses, and what the fence's text means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.enactor_suite import ANYANG, GASAN, PANGYO, SITES
from siteshift.adapters.dns.fence import Fence, parse_fence
from siteshift.adapters.dns.targets import AnswerShare, Family, answer_shares
from siteshift.core.model.mark import Origin
from siteshift.core.model.steering import ServiceSteering
from siteshift.core.model.topology import Pool, Service
from siteshift.core.model.units import ServiceId, SiteId

WEB = ServiceId("web")


def service(*shed: str, v6_at: tuple[SiteId, ...] = ()) -> Service:
    pools = tuple(
        Pool(
            service=WEB,
            site=site,
            nominal_bp=3_333,
            answers=(f"192.0.2.{n}", f"192.0.2.{n}", *((f"2001:DB8:0::{n}",) if site in v6_at else ())),
        )
        for n, site in enumerate(SITES)
    )
    return Service(id=WEB, names=("web.example.test",), tier=1, demand_rps=1, pools=pools, shed_answers=shed)


def steering(shares: tuple[int, int, int], shed_bp: int = 0, shed_at: SiteId | None = None) -> ServiceSteering:
    return ServiceSteering(
        service=WEB,
        shares_bp=dict(zip(SITES, shares, strict=True)),
        members_pm={},
        ttl_s=30,
        shed_bp=shed_bp,
        shed_at=shed_at,
    )


def parts(found: tuple[AnswerShare, ...]) -> dict[SiteId | None, int]:
    return {one.site: one.share_bp for one in found}


def test_drained_sites_are_absent_and_addresses_come_once_in_their_common_spelling() -> None:
    found = answer_shares(service(v6_at=(GASAN,)), steering((0, 6_000, 4_000)), Family.V4)
    assert parts(found) == {GASAN: 6_000, ANYANG: 4_000}
    assert found[0].addresses == ("192.0.2.1",)
    (v6,) = answer_shares(service(v6_at=(GASAN,)), steering((0, 6_000, 4_000)), Family.V6)
    assert (v6.site, v6.addresses) == (GASAN, ("2001:db8::1",))


def test_shed_demand_goes_to_the_shed_answers() -> None:
    found = answer_shares(service("203.0.113.9"), steering((0, 3_000, 2_000), 5_000, PANGYO), Family.V4)
    assert parts(found) == {GASAN: 3_000, ANYANG: 2_000, None: 5_000}


def test_without_shed_answers_it_stays_where_it_was() -> None:
    found = answer_shares(service(), steering((0, 3_000, 2_000), 5_000, PANGYO), Family.V4)
    assert parts(found) == {PANGYO: 5_000, GASAN: 3_000, ANYANG: 2_000}
    found = answer_shares(service(), steering((0, 3_000, 2_000), 5_000, GASAN), Family.V4)
    assert parts(found) == {GASAN: 8_000, ANYANG: 2_000}


def test_with_nowhere_to_shed_the_serving_sites_share_it() -> None:
    assert parts(answer_shares(service(), steering((0, 3_000, 2_000), 5_000), Family.V4)) == {GASAN: 3_000, ANYANG: 2_000}


def test_a_family_nobody_serves_is_empty() -> None:
    assert answer_shares(service(v6_at=(PANGYO,)), steering((0, 6_000, 4_000)), Family.V6) == ()


@given(
    st.builds(
        Fence,
        generation=st.integers(0, 10**18 - 1),
        term=st.integers(0, 10**18 - 1),
        digest=st.text("0123456789abcdef", min_size=1, max_size=16),
        part=st.integers(1, 9),
        parts=st.integers(1, 9),
        origin=st.sampled_from([None, Origin(cluster="shop", node="node-a"), Origin(cluster="c" * 63, node="n" * 63)]),
    )
)
def test_a_fence_reads_back_as_written(fence: Fence) -> None:
    again = parse_fence(fence.text())
    assert again is not None
    assert again.text() == fence.text() and again.complete == fence.complete
    assert len(fence.text()) <= 255, "one string of a TXT record"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "gen=1",
        "gen=-1 term=1 digest=ab",
        "gen=1 term=1 digest=ab ",
        "gen=1 term=1 digest=xyz",
        "gen=01 term=1 digest=ab",
        "v1:7 digest=ab",
    ],
)
def test_other_texts_are_not_ours(text: str) -> None:
    assert parse_fence(text) is None
