"""What a person forced: made with an owner and an end, seen while it lasts, gone when it ends."""

from __future__ import annotations

from typing import Any

import pytest

from core.decide.build import ANYANG, GASAN, NOW_MS, PANGYO, SPARE, WEB, shares
from siteshift.core.model.codes import FindingCode, Mode, OverrideKind, Severity
from siteshift.core.model.finding import Finding
from siteshift.core.model.override import Override, active, expired, forced_view, make_override
from siteshift.core.model.policy import HOUR_MS, Policy
from siteshift.core.model.units import ServiceId

MAIL = ServiceId("mail")


def ask(**changes: Any) -> Override | Finding:
    fields: dict[str, Any] = {
        "id": "o1",
        "kind": OverrideKind.DRAIN,
        "owner": "kim",
        "reason": "battery work",
        "ticket": "OPS-1",
        "site": PANGYO,
        "policy": Policy(),
        "now_ms": NOW_MS,
    }
    return make_override(**{**fields, **changes})


def made(**changes: Any) -> Override:
    override = ask(**changes)
    assert isinstance(override, Override)
    return override


def test_it_lives_four_hours_unless_told() -> None:
    assert made().expires_ms == NOW_MS + 4 * HOUR_MS
    assert made(expires_ms=NOW_MS + 1).expires_ms == NOW_MS + 1
    assert made(expires_ms=NOW_MS + 72 * HOUR_MS).expires_ms == NOW_MS + 72 * HOUR_MS


@pytest.mark.parametrize(
    ("changes", "code", "word"),
    [
        ({"owner": " "}, FindingCode.INCOMPLETE, "owner"),
        ({"reason": ""}, FindingCode.INCOMPLETE, "reason"),
        ({"site": None}, FindingCode.INCOMPLETE, "site"),
        ({"kind": OverrideKind.DEPOOL}, FindingCode.INCOMPLETE, "member"),
        ({"kind": OverrideKind.MODE}, FindingCode.INCOMPLETE, "mode"),
        ({"kind": OverrideKind.PLANE_OUT}, FindingCode.INCOMPLETE, "plane"),
        ({"kind": OverrideKind.SHARES}, FindingCode.INCOMPLETE, "service"),
        ({"kind": OverrideKind.SHARES, "service": WEB}, FindingCode.INCOMPLETE, "shares"),
        (
            {"kind": OverrideKind.SHARES, "service": WEB, "shares_bp": shares(1, 2, 3)},
            FindingCode.INCOMPLETE,
            "make 0.06 %",
        ),
        (
            {"kind": OverrideKind.SHARES, "service": WEB, "shares_bp": shares(-1, 1, 10_000)},
            FindingCode.INCOMPLETE,
            "none below 0",
        ),
        ({"expires_ms": NOW_MS}, FindingCode.OVERRIDE_EXPIRED, "expired"),
        ({"expires_ms": NOW_MS + 72 * HOUR_MS + 1}, FindingCode.OVERRIDE_TOO_LONG, "72 h"),
    ],
)
def test_what_is_not_valid_is_refused_with_its_code(changes: dict[str, Any], code: FindingCode, word: str) -> None:
    found = ask(**changes)
    assert isinstance(found, Finding)
    assert (found.code, found.severity) == (code, Severity.REFUSED)
    assert word in found.text
    assert found.remedy


def test_it_ends_at_its_expiry_to_the_millisecond() -> None:
    one = made(expires_ms=NOW_MS + 10)
    assert active((one,), NOW_MS + 9) == (one,)
    assert expired((one,), NOW_MS + 9) == ()
    assert active((one,), NOW_MS + 10) == ()
    assert expired((one,), NOW_MS + 10) == (one,)


def test_drains_and_depools_add_up() -> None:
    everywhere = made(id="o1")
    just_web = made(id="o2", site=GASAN, service=WEB)
    member = made(id="o3", kind=OverrideKind.DEPOOL, site=None, member=SPARE, service=WEB)
    elsewhere = made(id="o4", site=ANYANG, service=MAIL)
    view = forced_view((everywhere, just_web, member, elsewhere), WEB, NOW_MS)
    assert view.drained_sites == {PANGYO, GASAN}
    assert view.depooled == {SPARE}
    assert view.by == {PANGYO: everywhere, GASAN: just_web}
    assert (view.shares_bp, view.mode, view.frozen) == (None, None, False)


def test_the_particular_wins_over_the_general_and_then_the_latest() -> None:
    for_all = made(id="o1", kind=OverrideKind.MODE, site=None, mode=Mode.OBSERVE, now_ms=NOW_MS + 5)
    first = made(id="o2", kind=OverrideKind.MODE, site=None, mode=Mode.AUTO, service=WEB)
    later = made(id="o3", kind=OverrideKind.MODE, site=None, mode=Mode.RECOMMEND, service=WEB, now_ms=NOW_MS + 1)
    now_ms = NOW_MS + 10
    assert forced_view((later, for_all, first), WEB, now_ms).mode is Mode.RECOMMEND
    assert forced_view((for_all, first), WEB, now_ms).mode is Mode.AUTO
    assert forced_view((for_all, first), MAIL, now_ms).mode is Mode.OBSERVE


def test_forced_shares_and_a_freeze_name_their_override() -> None:
    forced = made(kind=OverrideKind.SHARES, service=WEB, site=None, shares_bp=shares(10_000, 0, 0))
    freeze = made(id="o2", kind=OverrideKind.FREEZE, site=None)
    view = forced_view((forced, freeze), WEB, NOW_MS)
    assert view.shares_bp == shares(10_000, 0, 0)
    assert (view.shares_by, view.frozen_by, view.frozen) == (forced, freeze, True)


def test_what_expired_forces_nothing() -> None:
    view = forced_view((made(expires_ms=NOW_MS + 1),), WEB, NOW_MS + 1)
    assert view == forced_view((), WEB, NOW_MS)
