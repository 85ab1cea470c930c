"""Every member on one list: what it does, what is meant for it, what its checks said, and who took it out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from core.playbook import DOWN, WEB, G, P, Playbook
from siteshift.core.explain import why_document
from siteshift.core.member_list import members_document
from siteshift.core.messages.requests import DepoolRequest, DrainRequest
from siteshift.core.model.codes import Fault, MemberRole
from siteshift.core.model.evidence import Evidence
from siteshift.core.model.units import MemberId, SiteId


def members(book: Playbook) -> dict[str, dict[str, Any]]:
    return {entry["member"]: entry for entry in members_document(book.state, book.setup, book.now_ms)["members"]}


def why(book: Playbook, site: SiteId) -> str:
    return "\n".join(why_document(book.state, book.setup, site, book.now_ms)["services"][WEB]["lines"])


def failing(book: Playbook, name: str, said: Evidence) -> None:
    """One member of pangyo fails alone."""
    target = book.setup.topology.members[MemberId(f"web/pangyo/{name}")].target
    book.beliefs[target] = replace(DOWN, since_ms=said.since_ms, evidence=said)


def evidence(book: Playbook, fault: Fault, detail: str, alike: int, checks: int) -> Evidence:
    return Evidence(fault=fault, detail=detail, alike=alike, failed=alike, checks=checks, since_ms=book.now_ms)


def test_all_members_are_listed_with_what_is_meant_for_them() -> None:
    book = Playbook()
    book.run(60_000)
    found = members(book)
    assert list(found) == list(book.setup.topology.members)
    assert [(found[f"web/pangyo/m{i}"]["state"], found[f"web/pangyo/m{i}"]["desired_bp"]) for i in (1, 2)] == [
        ("serving", 1250),
        ("serving", 1250),
    ]
    standby = found["web/gasan/s1"]
    assert (standby["role"], standby["state"], standby["desired_bp"]) == (MemberRole.STANDBY.value, "cold", 0)
    assert not any(entry["reason"] for entry in found.values() if entry["state"] == "serving")


def test_why_tells_of_each_member_what_its_checks_said() -> None:
    book = Playbook()
    book.run(60_000)
    failing(book, "m1", evidence(book, Fault.REFUSED, "Connection refused", 12, 12))
    failing(book, "m2", evidence(book, Fault.BAD_STATUS, "status 500", 37, 60))
    failing(book, "m3", evidence(book, Fault.BAD_CERTIFICATE, "certificate has expired", 9, 9))
    failing(book, "m4", evidence(book, Fault.TIMEOUT, "", 4, 5))
    book.run(10_000)
    text = why(book, P)
    for said in (
        "member m1: c1 says refused (Connection refused) in 12 of 12 checks, for 10 s",
        "member m2: c1 says bad status (status 500) in 37 of 60 checks, for 10 s",
        "member m3: c1 says bad certificate (certificate has expired) in 9 of 9 checks, for 10 s",
        "member m4: c1 says timed out in 4 of 5 checks, for 10 s",
    ):
        assert said in text
    assert "\nmember " not in why(book, G)


def test_a_member_that_passes_again_and_is_not_trusted_yet_is_not_said_to_be_refused() -> None:
    book = Playbook()
    book.run(60_000)
    failing(book, "m1", evidence(book, Fault.REFUSED, "", 0, 60))
    book.run(10_000)
    said = members(book)["web/pangyo/m1"]["reason"]
    assert said == "c1: none of the last 60 checks failed; before that refused, first 10 s ago"


def test_a_member_that_its_evidence_took_out_says_so() -> None:
    book = Playbook()
    book.run(60_000)
    failing(book, "m1", evidence(book, Fault.REFUSED, "", 12, 12))
    book.run(10_000)
    out = members(book)["web/pangyo/m1"]
    assert (out["state"], out["standing"], out["weight_pm"], out["desired_bp"]) == ("out", "down", 0, 0)
    assert out["evidence"][0]["alike"] == 12 and out["reason"].startswith("c1: refused in 12 of 12 checks")


def test_a_member_that_a_person_took_out_says_who_why_by_which_ticket_and_until_when() -> None:
    book = Playbook()
    book.run(60_000)
    made = book.ask(DepoolRequest(member=MemberId("web/pangyo/m1")), reason="swap disk", ticket="OPS-7").override
    assert made is not None
    out = members(book)["web/pangyo/m1"]
    assert (out["state"], out["reason"]) == ("depooled", f"depool by kim: swap disk ({made.id}, OPS-7)")
    assert out["taken_out_by"] == {
        "override": made.id,
        "kind": "depool",
        "owner": "kim",
        "reason": "swap disk",
        "ticket": "OPS-7",
        "expires_ms": made.expires_ms,
    }


def test_the_members_of_a_drained_site_are_away_and_name_the_drain() -> None:
    book = Playbook()
    book.run(60_000)
    book.ask(DrainRequest(site=P), ticket="OPS-8")
    book.run(120_000)
    found = [entry for entry in members(book).values() if entry["site"] == P]
    assert {(entry["state"], entry["taken_out_by"]["ticket"]) for entry in found} == {("away", "OPS-8")}
