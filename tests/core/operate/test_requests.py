"""What each request of a person changes, what it is refused for, and what is said and on record of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.operate.test_lives_of_goals import by, drafted, recorded, told, track
from core.playbook import DOWN, PLANE, SICK, UNKNOWN, WEB, A, G, P, Playbook, three_sites
from core.test_laws import an_override
from core.test_reload import BLOG, two_services
from siteshift.core.messages.commands import Answer, Remember
from siteshift.core.messages.requests import (
    AckRequest,
    DepoolRequest,
    DrainRequest,
    FreezeRequest,
    LiftRequest,
    ModeRequest,
    OperatorRequest,
    PoolRequest,
    Request,
    SharesRequest,
    SwitchOffRequest,
    SwitchOnRequest,
    UndrainRequest,
)
from siteshift.core.model.approval import Left, Offer
from siteshift.core.model.codes import FindingCode, LeftBecause, Mode, NoticeCode, OverrideKind, Severity, SiteLife
from siteshift.core.model.mark import PlaneMark
from siteshift.core.model.notice import AlertSeverity
from siteshift.core.model.override import Override
from siteshift.core.model.policy import HOUR_MS, MINUTE_MS
from siteshift.core.model.units import EnactorId, MemberId, ServiceId, SiteId
from siteshift.core.operate.answer import answer, look_at
from siteshift.core.operate.deciding import approve, join, proposal_from
from siteshift.core.operate.expiry import at_its_end, expire_overrides, what
from siteshift.core.operate.goals import refold
from siteshift.core.plan.fold import fold
from siteshift.core.state.adoption import AdoptedFrom, Adoption
from siteshift.core.state.draft import Draft
from siteshift.core.state.goals import GoalState
from siteshift.core.state.tracks import PlaneTrack, SiteTrack

M1, M2 = MemberId("web/pangyo/m1"), MemberId("web/gasan/m1")


@pytest.fixture
def book() -> Playbook:
    made = Playbook(setup=two_services())
    made.run(6_000)
    return made


def asked(book: Playbook, request: Request, **more: object) -> tuple[Answer, Draft]:
    draft = Draft(state=book.state, setup=book.setup, now_ms=book.now_ms)
    said = {"id": "a1", "person": "kim", "reason": "test", **more}
    answer(draft, OperatorRequest(request=request, **said))  # type: ignore[arg-type]
    (reply,) = [command for command in draft.commands if isinstance(command, Answer)]
    return reply, draft


def refused(reply: Answer) -> tuple[FindingCode, str]:
    assert reply.severity is Severity.REFUSED
    return reply.findings[0].code, reply.findings[0].text


# -- names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (DrainRequest(site=SiteId("jeju")), "there is no site 'jeju'; known: pangyo, gasan, anyang"),
        (DrainRequest(site=P, service=ServiceId("mail")), "there is no service 'mail'; known: web, blog"),
        (SharesRequest(service=WEB, shares_bp={SiteId("jeju"): 10_000}), "there is no site 'jeju'; known: pangyo, gasan, anyang"),
        (AckRequest(plane=EnactorId("zone")), "there is no plane 'zone'; known: dns, lb"),
    ],
)
def test_a_name_that_means_nothing_is_refused_with_those_that_do(book: Playbook, request_: Request, text: str) -> None:
    reply, draft = asked(book, request_)
    assert refused(reply) == (FindingCode.UNKNOWN_NAME, text)
    assert draft.state is book.state


def test_an_unknown_member_is_refused(book: Playbook) -> None:
    code, text = refused(asked(book, DepoolRequest(member=MemberId("m9")))[0])
    assert code is FindingCode.UNKNOWN_NAME and text.startswith("there is no member 'm9'; known: web/pangyo/m1")


def test_all_unknown_names_of_a_request_are_said_at_once(book: Playbook) -> None:
    reply, _ = asked(book, DrainRequest(site=SiteId("x"), service=ServiceId("y")))
    assert [entry.numbers["name"] for entry in reply.findings] == ["x", "y"]


@pytest.mark.parametrize(
    "request_",
    [
        DrainRequest(site=A, service=BLOG),
        UndrainRequest(site=A, service=BLOG),
        SharesRequest(service=BLOG, shares_bp={P: 5_000, A: 5_000}),
    ],
)
def test_a_site_where_the_service_has_no_servers_is_refused(book: Playbook, request_: Request) -> None:
    (web, blog) = book.setup.topology.services
    blog = replace(blog, pools=tuple(pool for pool in blog.pools if pool.site != A))
    book.setup = replace(book.setup, topology=replace(book.setup.topology, services=(web, blog)))
    reply, _ = asked(book, request_)
    assert refused(reply) == (FindingCode.NO_POOL, "blog has no pool at anyang; it has one at pangyo, gasan")
    assert reply.findings[0].numbers == {"service": "blog", "sites": "anyang"}
    assert asked(book, DrainRequest(site=A))[0].severity is not Severity.REFUSED, "web has servers there"
    assert asked(book, DrainRequest(site=G, service=BLOG))[0].findings[0].code is not FindingCode.NO_POOL


# -- what is laid ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "wanted"),
    [
        (DrainRequest(site=P), {"kind": OverrideKind.DRAIN, "site": P, "service": None}),
        (DrainRequest(site=P, service=BLOG), {"kind": OverrideKind.DRAIN, "site": P, "service": BLOG}),
        (DepoolRequest(member=M1), {"kind": OverrideKind.DEPOOL, "member": M1, "service": WEB}),
        (
            SharesRequest(service=WEB, shares_bp={P: 4_800, G: 3_100, A: 2_100}),
            {"kind": OverrideKind.SHARES, "service": WEB, "shares_bp": {P: 4_800, G: 3_100, A: 2_100}},
        ),
        (FreezeRequest(service=WEB), {"kind": OverrideKind.FREEZE, "service": WEB}),
        (ModeRequest(service=WEB, mode=Mode.OBSERVE), {"kind": OverrideKind.MODE, "service": WEB, "mode": Mode.OBSERVE}),
    ],
)
def test_what_is_forced_is_laid_with_who_why_and_until_when(book: Playbook, request_: Request, wanted: dict[str, object]) -> None:
    reply, draft = asked(book, request_, reason=" power ", ticket=" OPS-1 ", life_ms=HOUR_MS, expires_ms=1)
    assert reply.severity is Severity.ALLOWED
    (made,) = draft.state.overrides
    assert reply.override == made
    assert (made.id, made.owner, made.reason, made.ticket) == ("o1", "kim", "power", "OPS-1")
    assert (made.created_ms, made.expires_ms) == (book.now_ms, book.now_ms + HOUR_MS), "the life counts before the instant"
    for name in ("service", "site", "member", "shares_bp", "mode"):
        assert getattr(made, name) == wanted.get(name), name
    assert made.kind is wanted["kind"] and draft.state.overrides_made == 1 and draft.remembers
    assert made.plan_digest is None and draft.state.goals == {}, "nothing was confirmed, so nothing is bound"


def test_a_request_ends_when_it_says_or_when_the_policy_says(book: Playbook) -> None:
    until_ms = book.now_ms + 99_000
    assert asked(book, FreezeRequest(), expires_ms=until_ms)[1].state.overrides[0].expires_ms == until_ms
    default_ms = book.now_ms + book.setup.policy.override_default_ms
    assert asked(book, FreezeRequest())[1].state.overrides[0].expires_ms == default_ms
    assert refused(asked(book, FreezeRequest(), reason=" ")[0])[0] is FindingCode.INCOMPLETE


def test_overrides_are_numbered_on_and_stand_beside_one_another(book: Playbook) -> None:
    book.state = replace(book.state, overrides=(an_override(book, id="o7"),), overrides_made=7)
    reply, draft = asked(book, FreezeRequest())
    assert [made.id for made in draft.state.overrides] == ["o7", "o8"] and draft.state.overrides_made == 8
    assert reply.override is not None and reply.override.id == "o8"


def test_what_is_confirmed_is_bound_by_its_digest_on_the_override_and_on_record(book: Playbook) -> None:
    shown = asked(book, DrainRequest(site=P))[0].offer
    assert shown is not None
    reply, draft = asked(book, DrainRequest(site=P), digest=shown.digest)
    assert reply.severity is Severity.ALLOWED
    (made,), (goal,) = draft.state.overrides, draft.state.goals.values()
    assert (made.plan_digest, made.goal, made.approved_by) == (shown.digest, goal.goal.digest, ())
    assert (goal.state, goal.override, goal.is_started) == (GoalState.RUNNING, "o1", False)
    assert recorded(draft, "goal") == [
        {"goal": goal.goal.digest, "digest": shown.digest, "state": "running", "override": "o1"}
    ]


def test_every_answer_is_on_record_with_what_was_asked_and_said(book: Playbook) -> None:
    reply, draft = asked(book, DrainRequest(site=P), ticket="OPS-1", digest="0" * 16)
    assert recorded(draft, "answer") == [
        {
            "asking": "a1",
            "person": "kim",
            "peer": "",
            "via": "",
            "rank": "",
            "request": "DrainRequest",
            "about": {"site": "pangyo"},
            "reason": "test",
            "ticket": "OPS-1",
            "severity": "refused",
            "findings": [{"code": entry.code.value, "text": entry.text} for entry in reply.findings],
            "digest": reply.offer.digest if reply.offer else None,
            "confirmed": "0" * 16,
            "approved_by": [],
            "note": "",
            "override": None,
        }
    ]
    assert not draft.remembers
    (row,) = recorded(asked(book, FreezeRequest())[1], "answer")
    assert (row["override"], row["digest"], row["severity"]) == ("o1", None, "allowed")  # type: ignore[index]


def test_looking_changes_nothing_and_tells_what_the_answer_would_be(book: Playbook) -> None:
    asking = OperatorRequest(id="a", person="kim", reason="r", request=DrainRequest(site=P))
    before = book.state
    seen = look_at(book.state, book.setup, asking, book.now_ms)
    assert seen.severity is Severity.ALLOWED and seen.plans[0].after[WEB][P] == 0 and book.state is before
    lost = replace(book.state, is_store_usable=False)
    assert [entry.code for entry in look_at(lost, book.setup, asking, book.now_ms).findings] == [FindingCode.STORE_LOST]


def test_without_the_store_only_the_off_switch_works(book: Playbook) -> None:
    book.state = replace(book.state, is_store_usable=False)
    assert asked(book, SwitchOffRequest())[1].state.is_switched_off
    assert refused(asked(book, SwitchOnRequest())[0])[0] is FindingCode.STORE_LOST
    assert refused(asked(book, FreezeRequest())[0])[0] is FindingCode.STORE_LOST


def test_the_switch_says_when_there_is_nothing_to_switch(book: Playbook) -> None:
    assert refused(asked(book, SwitchOnRequest())[0]) == (FindingCode.NOTHING_TO_DO, "automatic action is already on")
    reply, draft = asked(book, SwitchOffRequest())
    assert (reply.severity, draft.state.is_switched_off) == (Severity.ALLOWED, True)
    book.state = draft.state
    assert refused(asked(book, SwitchOffRequest())[0]) == (FindingCode.NOTHING_TO_DO, "automatic action is already off")
    assert not asked(book, SwitchOnRequest())[1].state.is_switched_off


# -- acknowledging -----------------------------------------------------------------------------------------------------

LEFT = SiteTrack(life=SiteLife.DRAINED, left_because=LeftBecause.DEAD, hold_until_ms=1 << 40, flaps=3)
FOUND = replace(LEFT, left_because=LeftBecause.UNKNOWN)


def returning(book: Playbook, request: AckRequest) -> set[tuple[str, str]]:
    """The sites that are asked to return by it."""
    reply, draft = asked(book, request)
    assert reply.severity is Severity.ALLOWED
    back = {key for key, found in draft.state.tracks.items() if found.is_return_asked}
    for key in back:
        found = draft.state.tracks[key]
        assert (found.hold_until_ms, found.flaps) == (book.now_ms, 0)
    return back


def test_acknowledging_a_site_ends_its_hold_down_where_it_was_left(book: Playbook) -> None:
    well = SiteTrack()
    book.state = replace(book.state, tracks={(WEB, P): LEFT, (BLOG, P): LEFT, (WEB, G): LEFT, (BLOG, G): well})
    assert returning(book, AckRequest(site=P)) == {(WEB, P), (BLOG, P)}
    assert returning(book, AckRequest(site=P, service=BLOG)) == {(BLOG, P)}
    assert returning(book, AckRequest(site=G)) == {(WEB, G)}
    text = "nothing at any site waits for an acknowledgement"
    assert refused(asked(book, AckRequest())[0]) == (FindingCode.NOTHING_TO_DO, text)
    assert refused(asked(book, AckRequest(site=A))[0])[1] == "nothing at anyang waits for an acknowledgement"
    for site in (A, None):
        assert asked(book, AckRequest(site=site))[0].findings[0].numbers == {"site": site or "", "already": 1}


def test_acknowledging_all_is_about_what_is_held_as_found(book: Playbook) -> None:
    held = frozenset({(WEB, P), (WEB, G), (BLOG, P)})
    adoption = Adoption(found=AdoptedFrom.COPY, why="", since_ms=1, sites=held)
    tracks = {(WEB, P): FOUND, (WEB, G): LEFT, (BLOG, P): FOUND, (WEB, A): FOUND}
    book.state = replace(book.state, tracks=tracks, adoption=adoption)

    def still_held(request: AckRequest) -> frozenset[tuple[str, str]]:
        after = asked(book, request)[1].state.adoption
        return frozenset() if after is None else after.sites

    assert returning(book, AckRequest()) == {(WEB, P), (BLOG, P)}, "one left on evidence is acknowledged by its name"
    assert still_held(AckRequest()) == frozenset()
    assert returning(book, AckRequest(service=BLOG)) == {(BLOG, P)}
    assert still_held(AckRequest(service=BLOG)) == held - {(BLOG, P)}
    assert returning(book, AckRequest(site=G)) == {(WEB, G)}
    assert still_held(AckRequest(site=G)) == held - {(WEB, G)}


def test_a_plane_is_taken_over_when_somebody_else_holds_it(book: Playbook) -> None:
    assert refused(asked(book, AckRequest(plane=PLANE))[0]) == (FindingCode.NOTHING_TO_DO, "dns is held by nobody else")
    mark = PlaneMark(generation=9)
    book.state = replace(book.state, planes={PLANE: PlaneTrack(foreign=mark)})
    reply, draft = asked(book, AckRequest(plane=PLANE))
    assert reply.severity is Severity.ALLOWED and draft.state.plane(PLANE).taken_over == mark


# -- letting go --------------------------------------------------------------------------------------------------------


def drain(book: Playbook, name: str, **more: object) -> Override:
    return an_override(book, id=name, **more)


def test_an_undrain_lifts_the_drains_it_names(book: Playbook) -> None:
    wide, narrow = drain(book, "o1"), drain(book, "o2", service=WEB)
    frozen, elsewhere = drain(book, "o3", kind=OverrideKind.FREEZE), drain(book, "o4", site=G)
    book.state = replace(book.state, overrides=(wide, narrow, frozen, elsewhere))
    assert asked(book, UndrainRequest(site=P))[1].state.overrides == (frozen, elsewhere)
    assert asked(book, UndrainRequest(site=P, service=WEB))[1].state.overrides == (wide, frozen, elsewhere)
    code, text = refused(asked(book, UndrainRequest(site=P, service=BLOG))[0])
    assert (code, text) == (FindingCode.NOTHING_TO_DO, "pangyo is drained for all services by override o1 of kim")
    assert refused(asked(book, UndrainRequest(site=A))[0]) == (FindingCode.NOTHING_TO_DO, "anyang is not drained")
    adoption = Adoption(found=AdoptedFrom.COPY, why="the store is gone", since_ms=book.now_ms, sites=frozenset({(WEB, A)}))
    book.state = replace(book.state, adoption=adoption)
    text = "anyang is not drained; it is held as it was found: `siteshift ack anyang` lets it go"
    assert refused(asked(book, UndrainRequest(site=A))[0]) == (FindingCode.NOTHING_TO_DO, text)


def test_an_undrain_lets_a_site_return_that_was_left_whatever_for(book: Playbook) -> None:
    held = Adoption(found=AdoptedFrom.COPY, why="", since_ms=1, sites=frozenset({(WEB, P), (BLOG, P), (WEB, G)}))
    tracks = {(WEB, P): LEFT, (BLOG, P): LEFT, (WEB, G): LEFT, (BLOG, G): SiteTrack()}
    book.state = replace(book.state, tracks=tracks, adoption=held)
    for service, wanted in ((None, {(WEB, P), (BLOG, P)}), (BLOG, {(BLOG, P)})):
        reply, draft = asked(book, UndrainRequest(site=P, service=service))
        assert reply.severity is Severity.ALLOWED
        assert {key for key, found in draft.state.tracks.items() if found.is_return_asked} == wanted
        assert draft.state.adoption is not None and draft.state.adoption.sites == held.sites - wanted
    assert refused(asked(book, UndrainRequest(site=G, service=BLOG))[0])[0] is FindingCode.NOTHING_TO_DO


def test_a_member_is_let_back_that_a_person_took_out_or_that_was_found_out(book: Playbook) -> None:
    assert refused(asked(book, PoolRequest(member=M1))[0]) == (FindingCode.NOTHING_TO_DO, f"{M1} is not depooled")
    mine = drain(book, "o1", kind=OverrideKind.DEPOOL, site=None, member=M1, service=WEB)
    other, frozen = replace(mine, id="o2", member=M2), replace(mine, id="o3", kind=OverrideKind.FREEZE)
    book.state = replace(book.state, overrides=(mine, other, frozen))
    assert asked(book, PoolRequest(member=M1))[1].state.overrides == (other, frozen)
    held = Adoption(
        found=AdoptedFrom.COPY, why="", since_ms=1, sites=frozenset({(WEB, P)}), members_out=frozenset({M1, M2})
    )
    book.state = replace(book.state, overrides=(), adoption=held)
    after = asked(book, PoolRequest(member=M1))[1].state.adoption
    assert after is not None and after.members_out == {M2}


def test_lifting_takes_one_override_and_says_which_there_are(book: Playbook) -> None:
    book.state = replace(book.state, overrides=(drain(book, "o1"), drain(book, "o2", site=G)))
    assert [made.id for made in asked(book, LiftRequest(override="o1"))[1].state.overrides] == ["o2"]
    assert refused(asked(book, LiftRequest(override="o9"))[0])[1] == "there is no override 'o9'; known: o1, o2"
    book.state = replace(book.state, overrides=())
    assert refused(asked(book, LiftRequest(override="o9"))[0])[1] == "there is no override 'o9'; known: none"


def test_what_the_evidence_says_against_a_release_is_said_for_each_service_it_is_about(book: Playbook) -> None:
    book.believe(P, DOWN)
    book.believe(P, SICK, BLOG)
    book.run(1_000)
    book.state = replace(book.state, overrides=(drain(book, "o1"), drain(book, "o2", service=WEB)))

    def said(request: Request) -> list[tuple[object, Severity]]:
        return [(entry.numbers["service"], entry.severity) for entry in asked(book, request)[0].findings]

    dead, sick = (WEB, Severity.NEEDS_APPROVAL), (BLOG, Severity.ALLOWED)
    assert said(UndrainRequest(site=P)) == [dead, sick]
    assert said(UndrainRequest(site=P, service=WEB)) == [dead]
    assert said(LiftRequest(override="o2")) == [dead], "the override is about web alone"
    book.state = replace(book.state, overrides=(drain(book, "o3", kind=OverrideKind.FREEZE),))
    assert said(LiftRequest(override="o3")) == [], "it is about no site"


# -- the end of an override --------------------------------------------------------------------------------------------


def ending(book: Playbook, made: Override, at_ms: int) -> Draft:
    draft = Draft(state=replace(book.state, overrides=(made,)), setup=book.setup, now_ms=at_ms)
    expire_overrides(draft)
    return draft


def test_an_override_ends_on_the_millisecond_and_that_is_told_and_on_record(book: Playbook) -> None:
    made = drain(book, "o1", end_told_ms=1)
    early = ending(book, made, made.expires_ms - 1)
    assert early.state.overrides == (made,) and early.commands == [] and early.wake_at_ms == made.expires_ms
    assert not early.remembers
    over = ending(book, made, made.expires_ms)
    assert over.state.overrides == () and over.remembers
    assert recorded(over, "override_expired") == [{"id": "o1", "kind": "drain", "owner": "kim"}]
    assert told(over) == [(AlertSeverity.INFO, NoticeCode.OVERRIDE_EXPIRED, "override o1 of kim has expired")]


def test_the_end_is_announced_once_with_what_it_is_and_the_seconds_left(book: Playbook) -> None:
    made = drain(book, "o1", created_ms=book.now_ms, expires_ms=book.now_ms + 10 * MINUTE_MS, ticket="OPS-1")
    warn_ms = made.expires_ms - MINUTE_MS
    assert ending(book, made, warn_ms - 1).commands == []
    draft = ending(book, made, warn_ms)
    assert draft.state.overrides == (replace(made, end_told_ms=warn_ms),) and draft.remembers
    ((severity, code, text),) = told(draft)
    assert (severity, code) == (AlertSeverity.WARNING, NoticeCode.OVERRIDE_ENDS_SOON)
    assert text.startswith("override o1 (drain of pangyo, all services) of kim, OPS-1 ends in 60 s: then traffic returns")
    assert recorded(draft, "override_ends_soon") == [
        {"id": "o1", "kind": "drain", "owner": "kim", "expires_ms": made.expires_ms}
    ]
    assert ending(book, replace(made, end_told_ms=warn_ms), warn_ms + 1).commands == []
    ((_, _, text),) = told(ending(book, replace(made, ticket=""), warn_ms))
    assert " of kim ends in 60 s" in text


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"service": WEB}, "drain of pangyo, web"),
        ({"kind": OverrideKind.DEPOOL, "member": M1}, "depool of web/pangyo/m1"),
        ({"kind": OverrideKind.SHARES, "service": WEB}, "shares of web"),
        ({"kind": OverrideKind.FREEZE}, "freeze of all services"),
        ({"kind": OverrideKind.MODE, "mode": Mode.OBSERVE, "service": WEB}, "mode observe of web"),
        ({"kind": OverrideKind.MODE}, "mode  of all services"),
        ({"kind": OverrideKind.PLANE_OUT, "plane": EnactorId("lb")}, "lb out of service"),
    ],
)
def test_what_is_forced_in_a_few_words(book: Playbook, more: dict[str, object], words: str) -> None:
    assert what(drain(book, "o1", **more)) == words


def test_the_end_of_a_drain_says_which_services_stay_away_and_why(book: Playbook) -> None:
    made = drain(book, "o1")

    def end(*others: Override, of: Override = made) -> str:
        return at_its_end(replace(book.state, overrides=(of, *others)), book.setup, of, book.now_ms)

    assert end() == "then traffic returns to pangyo by its ramp"
    assert end(drain(book, "o2")) == "pangyo stays drained by another override"
    assert end(drain(book, "o2", site=G)) == "then traffic returns to pangyo by its ramp"
    book.believe(P, DOWN)
    book.believe(P, UNKNOWN, BLOG)
    book.run(1_000)
    only = "then only the evidence keeps traffic away from pangyo: "
    assert end() == f"{only}web (dead), blog (no evidence) stays away until it is well"
    of_blog = drain(book, "o1", service=BLOG)
    assert end(of=of_blog) == f"{only}blog (no evidence) stays away until it is well"


def test_the_end_of_a_mode_says_the_policys(book: Playbook) -> None:
    policy = book.setup.policy
    exceptional = replace(policy, services={BLOG: replace(policy.default, mode=Mode.OBSERVE)})
    setup = replace(book.setup, policy=exceptional)
    made = drain(book, "o1", kind=OverrideKind.MODE, mode=Mode.RECOMMEND)
    assert at_its_end(book.state, setup, made, 0) == "then the mode of the policy holds again (auto, observe)"
    assert at_its_end(book.state, setup, replace(made, service=WEB), 0) == "then the mode of the policy holds again (auto)"


# -- asking again ------------------------------------------------------------------------------------------------------


@pytest.fixture
def small() -> Playbook:
    made = Playbook()
    made.run(6_000)
    return made


def again(book: Playbook, digest: str | None = None, **more: object) -> OperatorRequest:
    made = OperatorRequest(id="b", person="kim", reason="r", request=DrainRequest(site=P), digest=digest)
    return replace(made, **more)  # type: ignore[arg-type]


def test_the_same_request_again_joins_the_first_and_adds_nothing(small: Playbook) -> None:
    made, first = track(small, override="o1"), an_override(small)
    for known in (made, None):
        draft = drafted(small, *((known,) if known else ()), overrides=(first,))
        for digest in (None, made.digest):
            reply = join(draft, again(small, digest if known else None), known, first)
            assert (reply.severity, reply.override) == (Severity.ALLOWED, first)
            assert reply.note == "the same was asked for before and is in force as override o1; nothing was added"
        assert join(draft, again(small), known, None).note.endswith("is under way; nothing was added")


def suspended(book: Playbook, **more: object) -> tuple[Draft, Offer]:
    """A drain that is suspended, with the envelope of now offered afresh."""
    made = track(book, GoalState.SUSPENDED, override="o1", left=Left(field="load", approved="a", now="b"))
    overrides = (an_override(book, goal=made.goal.digest),)
    draft = drafted(book, made, overrides=overrides)
    fresh = refold(draft.state, draft, made).offer
    made = replace(made, fresh=fresh.envelope, **more)  # type: ignore[arg-type]
    return drafted(book, made, overrides=overrides), fresh


def only(draft: Draft) -> object:
    (found,) = draft.state.goals.values()
    return found


def test_a_goal_that_is_suspended_goes_on_when_who_asked_confirms_the_envelope_of_now(small: Playbook) -> None:
    draft, fresh = suspended(small)
    (made,) = draft.state.goals.values()
    (first,) = draft.state.overrides
    said = join(draft, again(small), made, first)
    assert said.severity is Severity.NEEDS_APPROVAL and said.findings[0].code is FindingCode.ENVELOPE_LEFT
    assert only(draft) == made, "who looks changes nothing"
    later = replace(draft, now_ms=small.now_ms + 5_000)
    reply = join(later, again(small, fresh.digest), made, first)
    assert (reply.severity, reply.note) == (Severity.ALLOWED, "it goes on by the fresh envelope")
    (found,) = later.state.goals.values()
    assert (found.state, found.fresh, found.left, found.is_fresh_confirmed) == (GoalState.RUNNING, None, None, False)
    assert (found.since_ms, found.at_target) == (later.now_ms, frozenset())
    assert found.envelope.not_before_ms == later.now_ms and found.envelope.bounds == fresh.envelope.bounds
    assert [entry.plan_digest for entry in later.state.overrides] == [found.digest]
    assert recorded(later, "goal") == [
        {"goal": found.goal.digest, "digest": found.digest, "state": "running", "override": "o1"}
    ]


def test_a_fresh_envelope_that_needs_others_waits_for_them_and_for_who_asked_in_either_order(small: Playbook) -> None:
    """To everything at anyang kim's own word is not enough."""
    for order in (("kim", "lee"), ("lee", "kim")):
        book = Playbook()
        book.run(6_000)
        shares = SharesRequest(service=WEB, shares_bp={P: 0, G: 0, A: 10_000})
        waiting = book.confirm(shares).offer
        assert waiting is not None
        book.approve(waiting.digest, "lee")
        (made,) = book.state.goals.values()
        halted = replace(made, state=GoalState.SUSPENDED, left=Left(field="load", approved="a", now="b"))
        book.state = replace(book.state, goals={made.goal.digest: halted})
        draft = Draft(state=book.state, setup=book.setup, now_ms=book.now_ms)
        folded = refold(draft.state, draft, halted)
        fresh = folded.offer
        draft.set_goal(replace(halted, fresh=fresh.envelope))
        for number, person in enumerate(order):
            (known,) = draft.state.goals.values()
            if person == "kim":
                asking = OperatorRequest(id="c", person="kim", reason="r", request=shares, digest=fresh.digest)
                reply = join(draft, asking, known, draft.state.overrides[0])
            else:
                asking = OperatorRequest(id="c", person="lee", rank="approver", via="token", request=shares)
                reply = approve(draft, asking, fresh.digest, lambda *_: pytest.fail("it does not wait"))
            (found,) = draft.state.goals.values()
            if number == 0:
                assert (reply.severity, found.state) == (Severity.NEEDS_APPROVAL, GoalState.SUSPENDED)
                assert reply.note == ("" if person == "kim" else "kim has to confirm it")
                assert reply.waits_until_ms == found.fresh.start_by_ms  # type: ignore[union-attr]
                assert reply.approved_by == (("lee",) if person == "lee" or fresh.digest == made.digest else ())
        assert (reply.severity, found.state, found.fresh) == (Severity.ALLOWED, GoalState.RUNNING, None)
        assert reply.approved_by == ("lee",) and draft.state.overrides[0].approved_by == ("lee",)
        assert {given.digest for given in found.approvals if given.counts} == {found.digest}


def test_what_waited_is_answered_once_more_by_the_digest_that_was_approved(small: Playbook) -> None:
    """Also where it was confirmed by another that lay within what was shown; a no leaves no trace of the approval."""
    waiting = track(small, GoalState.WAITING, needs=1)
    waiting = replace(waiting, asking=replace(waiting.asking, digest="0" * 16))
    for severity in (Severity.ALLOWED, Severity.REFUSED):
        draft, heard = drafted(small, waiting), []  # type: ignore[var-annotated]

        def again_with(scratch: Draft, asking: OperatorRequest, severity: Severity = severity, heard: list = heard) -> Answer:  # type: ignore[type-arg]
            heard.append(asking)
            scratch.record("note", {})
            return Answer(asking=asking.id, severity=severity)

        lee = OperatorRequest(id="c", person="lee", rank="approver", via="token", request=DrainRequest(site=P))
        reply = approve(draft, lee, waiting.digest, again_with)
        assert (reply.asking, reply.severity) == ("c", severity)
        (asking,) = heard
        assert (asking.digest, asking.person) == (waiting.digest, "kim")
        assert asking.shown == Offer(goal=waiting.goal, envelope=waiting.envelope)
        (found,) = draft.state.goals.values()
        is_kept = severity is Severity.ALLOWED
        assert found.approvers() == (("lee",) if is_kept else ()) and bool(draft.commands) is is_kept
        assert len(recorded(draft, "approval")) == int(is_kept)


def test_what_is_in_force_and_was_never_confirmed_can_be_confirmed_and_is_then_bound(small: Playbook) -> None:
    small.ask(DrainRequest(site=P))
    (first,) = small.state.overrides
    assert first.plan_digest is None and small.state.goals == {}
    again_said = small.ask(DrainRequest(site=P))
    assert (again_said.severity, again_said.override) == (Severity.ALLOWED, first)
    assert again_said.note == "the same was asked for before and is in force as override o1; nothing was added"
    shown = small.look(DrainRequest(site=P), digest="0" * 16).offer
    assert shown is not None
    bound = small.ask(DrainRequest(site=P), digest=shown.digest)
    assert (bound.severity, bound.note) == (Severity.ALLOWED, "it was in force, and is confirmed now")
    (made,), (goal,) = small.state.overrides, small.state.goals.values()
    assert made == bound.override == replace(first, plan_digest=shown.digest)
    assert (goal.override, goal.state, goal.is_started) == ("o1", GoalState.RUNNING, True)


def test_a_digest_that_is_not_of_now_gets_a_new_offer_while_it_is_suspended_and_a_no_otherwise(small: Playbook) -> None:
    draft, _ = suspended(small)
    (made,) = draft.state.goals.values()
    reply = join(draft, again(small, "0" * 16), made, draft.state.overrides[0])
    assert refused(reply)[0] is FindingCode.STALE_DIGEST
    assert len(recorded(draft, "offer")) == 1
    running = drafted(small, track(small, override="o1"), overrides=(an_override(small),))
    (made,) = running.state.goals.values()
    reply = join(running, again(small, "0" * 16), made, running.state.overrides[0])
    assert refused(reply)[0] is FindingCode.STALE_DIGEST and running.commands == []


def test_nobody_approves_their_own_and_nobody_what_is_not_asked_for(small: Playbook) -> None:
    made = by(track(small))
    for state, person, code in (
        (GoalState.WAITING, " Kim", FindingCode.OWN_REQUEST),
        (GoalState.RUNNING, "lee", FindingCode.NOTHING_TO_DO),
        (GoalState.SUSPENDED, "lee", FindingCode.NOTHING_TO_DO),
        (GoalState.REACHED, "park", FindingCode.NOTHING_TO_DO),
    ):
        draft = drafted(small, replace(made, state=state))
        asking = OperatorRequest(id="c", person=person, rank="approver", via="token", request=DrainRequest(site=P))
        reply = approve(draft, asking, made.digest, lambda *_: pytest.fail("it is not answered again"))
        assert refused(reply)[0] is code and draft.commands == []


# -- what siteshift proposes -------------------------------------------------------------------------------------------


def recommending() -> Playbook:
    book = Playbook(setup=three_sites(mode=Mode.RECOMMEND))
    book.run(6_000)
    book.believe(P, SICK)
    book.run(5_000)
    return book


def proposed(book: Playbook) -> str:
    found = proposal_from(fold(book.state, book.setup, book.now_ms), book.state, book.setup, book.now_ms)
    assert found is not None
    return found.offer.digest


def test_a_proposal_is_carried_out_with_one_approval_and_noted_with_it() -> None:
    book = recommending()
    reply = book.approve(proposed(book), "lee")
    assert (reply.severity, reply.approved_by) == (Severity.ALLOWED, ("lee",))
    assert all(entry.severity is Severity.ALLOWED for entry in reply.findings)
    (found,) = book.state.goals.values()
    assert (found.state, found.goal.owner, found.asking.shown) == (GoalState.RUNNING, "siteshift", None)
    states = [row.data["state"] for row in book.recorded("goal") if row.data["digest"] == found.digest]
    assert states[0] == "running"
    assert [row.data["person"] for row in book.recorded("approval")] == ["lee"]
    book.run(30_000)
    assert book.shares()[P] < 5_000
    assert any(isinstance(command, Remember) for command in book.commands)


def test_a_proposal_of_before_is_refused_with_that_of_now() -> None:
    book = recommending()
    reply = book.approve("0" * 16, "lee")
    assert refused(reply)[0] is FindingCode.STALE_DIGEST
    assert reply.offer is not None and reply.offer.digest == proposed(book)
    assert book.state.goals == {}
