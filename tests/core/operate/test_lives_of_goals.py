"""What time, reloads, overrides and other people do to a goal, to the millisecond and the person."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.playbook import WEB, A, G, P, Playbook, digest_of, three_sites
from core.test_laws import an_override
from siteshift.core.messages.commands import Answer, Record, Tell
from siteshift.core.messages.requests import (
    DrainRequest,
    LiftRequest,
    OperatorRequest,
    Request,
    RevokeRequest,
    SharesRequest,
    UndrainRequest,
)
from siteshift.core.model.approval import Accepted, Approval, ApprovalState, Bounds, Envelope, Goal, Left, Offer, Verb
from siteshift.core.model.codes import FindingCode, Mode, NoticeCode, Severity
from siteshift.core.model.finding import finding
from siteshift.core.model.notice import AlertSeverity
from siteshift.core.model.policy import HOUR_MS, MINUTE_MS
from siteshift.core.operate.approval import (
    approved,
    confirmed_envelope,
    find,
    lacks,
    others_needed,
    revoke,
    settle,
)
from siteshift.core.operate.deciding import take_back
from siteshift.core.operate.envelope import Folded
from siteshift.core.operate.goal import setup_digests
from siteshift.core.operate.goals import KEEP_ENDED_MS, MOST_ENDED, live, offer_fresh, tend_goals
from siteshift.core.state.draft import Draft
from siteshift.core.state.goals import GoalState, GoalTrack

NOW = {P: 5_000, G: 3_000, A: 2_000}
ALL_TO_ANYANG = SharesRequest(service=WEB, shares_bp={P: 0, G: 0, A: 10_000})


@pytest.fixture
def book() -> Playbook:
    made = Playbook()
    made.run(6_000)
    return made


def envelope(book: Playbook, *, needs: int = 0, **more: object) -> Envelope:
    bounds = tuple(
        Bounds(service=WEB, site=site, share_min_bp=0, share_max_bp=bp + 100, utilisation_max_pm=900) for site, bp in NOW.items()
    )
    taken = (Accepted(code=FindingCode.CAPACITY_SHORT, numbers={}, approvals_needed=needs),) if needs else ()
    made = Envelope(
        bounds=bounds,
        shed_max_bp={WEB: 0},
        planes=tuple(plane.id for plane in book.setup.planes),
        accepted=taken,
        not_before_ms=book.now_ms,
        start_by_ms=book.now_ms + 10_000,
        ends_at_ms=book.now_ms + 20_000,
    )
    return replace(made, **more)  # type: ignore[arg-type]


def track(book: Playbook, state: GoalState = GoalState.RUNNING, *, needs: int = 0, **more: object) -> GoalTrack:
    topology, policy = setup_digests(book.setup, (WEB,))
    goal = Goal(verb=Verb.DRAIN, services=(WEB,), sites=(P,), owner="kim", topology=topology, policy=policy)
    made = GoalTrack(
        goal=goal,
        asking=OperatorRequest(id="a", person="kim", request=DrainRequest(site=P)),
        state=state,
        since_ms=book.now_ms,
        envelope=envelope(book, needs=needs),
        is_started=True,
    )
    return replace(made, **more)  # type: ignore[arg-type]


def by(made: GoalTrack, person: str = "lee", **more: object) -> GoalTrack:
    """The track approved by one more person."""
    given = Approval(digest=made.digest, person=person, rank="approver", via="token", at_ms=1, expires_ms=2)
    return replace(made, approvals=(*made.approvals, replace(given, **more)))  # type: ignore[arg-type]


def drafted(book: Playbook, *tracks: GoalTrack, at_ms: int | None = None, **state: object) -> Draft:
    goals = {made.goal.digest: made for made in tracks}
    now_ms = book.now_ms if at_ms is None else at_ms
    return Draft(state=replace(book.state, goals=goals, **state), setup=book.setup, now_ms=now_ms)  # type: ignore[arg-type]


def tended(book: Playbook, made: GoalTrack, at_ms: int | None = None, **state: object) -> tuple[GoalTrack, Draft]:
    draft = drafted(book, made, at_ms=at_ms, **state)
    tend_goals(draft)
    return draft.state.goals[made.goal.digest], draft


def recorded(draft: Draft, kind: str) -> list[object]:
    return [command.data for command in draft.commands if isinstance(command, Record) and command.kind == kind]


def told(draft: Draft) -> list[tuple[AlertSeverity, str, str]]:
    return [(c.severity, c.code, c.text) for c in draft.commands if isinstance(c, Tell)]


# -- time --------------------------------------------------------------------------------------------------------------


def test_what_waits_lapses_when_it_was_not_approved_in_time(book: Playbook) -> None:
    made = by(track(book, GoalState.WAITING))
    found, draft = tended(book, made, made.envelope.start_by_ms - 1)
    assert found == made and draft.wake_at_ms == made.envelope.start_by_ms and draft.commands == []
    found, draft = tended(book, made, made.envelope.start_by_ms)
    assert (found.state, found.ended_because, found.since_ms) == (GoalState.ENDED, "not approved in time", draft.now_ms)
    assert [given.state for given in found.approvals] == [ApprovalState.LAPSED]
    assert recorded(draft, "goal") == [
        {"goal": made.goal.digest, "digest": made.digest, "state": "ended", "because": "not approved in time"}
    ]
    text = f"drain of kim ({made.digest}) is over: not approved in time"
    assert told(draft) == [(AlertSeverity.INFO, NoticeCode.GOAL_ENDED, text)]


def test_what_was_not_begun_in_time_never_happens_and_takes_its_override_along(book: Playbook) -> None:
    made = track(book, is_started=False, override="o1")
    overrides = (an_override(book), an_override(book, id="o2"))
    before_ms, at_ms = made.envelope.start_by_ms - 1, made.envelope.start_by_ms
    assert tended(book, made, before_ms, overrides=overrides)[0] == made
    found, draft = tended(book, made, at_ms, overrides=overrides)
    assert (found.state, found.ended_because) == (GoalState.ENDED, "not begun in time")
    assert draft.state.overrides == overrides[1:]
    begun = replace(made, is_started=True)
    assert tended(book, begun, at_ms, overrides=overrides)[0] == begun


def test_what_is_not_there_at_its_end_is_suspended_and_its_approvals_lapse(book: Playbook) -> None:
    made = by(track(book, needs=1))
    assert tended(book, made, made.envelope.ends_at_ms - 1)[0] == made
    found, draft = tended(book, replace(made, envelope=replace(made.envelope, not_before_ms=book.now_ms - 100_000)), 0)
    assert found.state is GoalState.RUNNING
    late = replace(made, envelope=replace(made.envelope, ends_at_ms=book.now_ms + 150_000))
    late = by(replace(late, approvals=()))
    found, draft = tended(book, late, book.now_ms + 150_000)
    assert (found.state, found.since_ms) == (GoalState.SUSPENDED, draft.now_ms)
    assert found.left == Left(field="end", approved="to be there by then", now="not there after 2 min")
    assert [given.state for given in found.approvals] == [ApprovalState.LAPSED]
    (row,) = recorded(draft, "envelope_left")
    assert row == {
        "goal": late.goal.digest, "digest": late.digest, "field": "end", "approved": "to be there by then",
        "now": "not there after 2 min",
    }  # fmt: skip


def test_a_goal_is_over_with_its_override(book: Playbook) -> None:
    for state, approval, says in (
        (GoalState.REACHED, ApprovalState.USED, False),
        (GoalState.RUNNING, ApprovalState.LAPSED, True),
        (GoalState.SUSPENDED, ApprovalState.LAPSED, True),
    ):
        made = by(track(book, state, override="o1"))
        assert tended(book, made, overrides=(an_override(book),))[0].state is state
        found, draft = tended(book, made, overrides=(an_override(book, id="o2"),))
        assert (found.state, found.ended_because) == (GoalState.ENDED, "its override ended")
        assert [given.state for given in found.approvals] == [approval]
        assert bool(told(draft)) is says
    assert tended(book, track(book, override=None))[0].state is GoalState.RUNNING, "what lets go has none"


def test_what_siteshift_proposed_ends_with_its_approval_or_its_time(book: Playbook) -> None:
    proposed = track(book)
    proposed = replace(proposed, goal=replace(proposed.goal, verb=Verb.PROPOSED, owner="siteshift"))
    approved_by_one = by(proposed)
    assert tended(book, approved_by_one)[0] == approved_by_one
    assert tended(book, proposed)[0].ended_because == "its approval does not hold any more"
    assert tended(book, approved_by_one, proposed.envelope.ends_at_ms)[0].state is GoalState.ENDED
    other = replace(approved_by_one, goal=replace(approved_by_one.goal, policy="other"))
    assert tended(book, other)[0].state is GoalState.ENDED


# -- the configuration -------------------------------------------------------------------------------------------------


def test_a_reload_that_changes_its_part_suspends_a_goal_and_says_what_changed(book: Playbook) -> None:
    made, changed = track(book), "changed by the configuration, or by a default of this version"
    for changes, left in (
        ({"goal": replace(made.goal, topology="t")}, ("topology", "sites, members and capacities of then", changed)),
        ({"goal": replace(made.goal, policy="p")}, ("policy", "the rules of then", changed)),
        ({"envelope": replace(made.envelope, planes=("old",))}, ("planes", "old", "dns")),
    ):
        for state in (GoalState.RUNNING, GoalState.REACHED):
            found, _ = tended(book, replace(made, state=state, **changes))  # type: ignore[arg-type]
            assert found.state is GoalState.SUSPENDED and found.left is not None
            assert (found.left.field, found.left.approved, found.left.now) == left
        fresh = changes.get("envelope", made.envelope)
        held = replace(made, state=GoalState.SUSPENDED, fresh=fresh, **changes)  # type: ignore[arg-type]
        found, _ = tended(book, held)
        assert (found.state, found.fresh) == (GoalState.SUSPENDED, None), "what was offered afresh was of the file before"
        assert found.left is not None and found.left.field == left[0]
        found, _ = tended(book, replace(made, state=GoalState.WAITING, **changes))  # type: ignore[arg-type]
        assert found.ended_because == f"the configuration, or a default of this version, changed: {left[0]}"
    more = replace(made, envelope=replace(made.envelope, planes=(*made.envelope.planes, "old")))
    assert tended(book, more)[0] == more, "a plane less is no new one"


def test_who_lost_the_rank_approves_nothing_any_more(book: Playbook) -> None:
    made = by(by(track(book, needs=1), "Lee "), "park")
    book.setup = replace(book.setup, approvers=frozenset({"lee"}))
    found, draft = tended(book, made)
    assert [given.state for given in found.approvals] == [ApprovalState.GIVEN, ApprovalState.REVOKED]
    assert found.state is GoalState.RUNNING, "one is enough"
    assert [row["person"] for row in recorded(draft, "approval")] == ["park"]  # type: ignore[index]
    book.setup = replace(book.setup, approvers=frozenset())
    found, _ = tended(book, made)
    assert found.state is GoalState.SUSPENDED and found.left == Left(field="approvals", approved="1", now="0")
    book.setup = replace(book.setup, approvers=None)
    assert tended(book, made)[0] == made


def test_only_the_end_of_its_time_lets_the_approvals_of_a_goal_lapse(book: Playbook) -> None:
    """What is suspended for another reason goes on by them, should what was lost come back in a fresh offer."""
    made = by(by(track(book, needs=2)), "park")
    book.setup = replace(book.setup, approvers=frozenset({"lee"}))
    found, _ = tended(book, made)
    assert found.state is GoalState.SUSPENDED and found.left == Left(field="approvals", approved="2", now="1")
    assert [given.state for given in found.approvals] == [ApprovalState.GIVEN, ApprovalState.REVOKED]
    book.setup = replace(book.setup, approvers=None)
    other = by(replace(made, goal=replace(made.goal, policy="p"), approvals=()))
    found, _ = tended(book, other, made.envelope.ends_at_ms)
    assert found.left is not None and found.left.field == "policy"
    assert [given.state for given in found.approvals] == [ApprovalState.GIVEN]


def test_an_approval_that_does_not_count_any_more_is_not_taken_back_again_and_again(book: Playbook) -> None:
    book.setup = replace(book.setup, approvers=frozenset({"lee"}))
    made = by(by(track(book, needs=1)), "park", state=ApprovalState.REVOKED)
    found, draft = tended(book, made)
    assert found == made and draft.commands == []


# -- after it is reached -----------------------------------------------------------------------------------------------


def test_what_is_reached_warns_once_when_it_leaves_its_bounds_and_again_when_it_does_so_anew(book: Playbook) -> None:
    made = track(book, GoalState.REACHED)
    assert tended(book, made)[0] == made
    tight = replace(made.envelope, bounds=(replace(made.envelope.bounds[0], share_max_bp=4_999), *made.envelope.bounds[1:]))
    out = replace(made, envelope=tight)
    found, draft = tended(book, out)
    assert found.state is GoalState.REACHED and found.left is not None
    assert (found.left.field, found.left.approved, found.left.now) == ("share of web at pangyo", "0 % to 49.99 %", "50 %")
    ((severity, code, text),) = told(draft)
    assert (severity, code) == (AlertSeverity.WARNING, NoticeCode.ENVELOPE_LEFT)
    assert text == f"drain of kim, done as approved, has left its bounds since: {found.left.text}"
    assert recorded(draft, "envelope_left") == [
        {"goal": made.goal.digest, "digest": out.digest, "field": "share of web at pangyo", "now": "50 %"}
    ]
    again, draft = tended(book, found)
    assert again == found and draft.commands == []
    back, draft = tended(book, replace(found, envelope=made.envelope))
    assert back.left is None and draft.commands == []


def test_what_is_over_is_listed_for_a_day_and_no_more_than_fifty_of_it(book: Playbook) -> None:
    made = track(book, GoalState.ENDED)

    def ended(number: int, ago_ms: int) -> GoalTrack:
        return replace(made, goal=replace(made.goal, ticket=str(number)), since_ms=book.now_ms - ago_ms)

    running = track(book)
    for ago_ms, is_kept in ((KEEP_ENDED_MS, True), (KEEP_ENDED_MS + 1, False)):
        draft = drafted(book, running, ended(1, ago_ms))
        tend_goals(draft)
        assert (len(draft.state.goals) == 2) is is_kept and draft.remembers is not is_kept
    draft = drafted(book, running, *(ended(number, number) for number in range(MOST_ENDED + 2)))
    tend_goals(draft)
    tickets = {entry.goal.ticket for entry in draft.state.goals.values()}
    assert tickets == {"", *(str(number) for number in range(MOST_ENDED))}, "the oldest go"
    assert (KEEP_ENDED_MS, MOST_ENDED) == (24 * HOUR_MS, 50)


@pytest.mark.parametrize("state", list(GoalState))
def test_a_goal_is_live_while_its_steps_are_held_against_it(book: Playbook, state: GoalState) -> None:
    made = track(book, state)
    is_live = state in (GoalState.RUNNING, GoalState.SUSPENDED, GoalState.REACHED)
    assert (live(drafted(book, made).state, made.goal.digest) is not None) is is_live
    assert live(drafted(book).state, made.goal.digest) is None


# -- a fresh offer -----------------------------------------------------------------------------------------------------


def test_a_goal_that_is_suspended_is_offered_afresh_once_with_who_has_to_say_what(book: Playbook) -> None:
    made = track(book, GoalState.SUSPENDED, override="o1", left=Left(field="load", approved="a", now="b"))
    overrides = (an_override(book, goal=made.goal.digest), an_override(book, id="o2", kind=an_override(book).kind, site=G))
    stale = replace(made, goal=replace(made.goal, policy="before"))
    draft = drafted(book, stale, overrides=(replace(overrides[0], goal=stale.goal.digest), overrides[1]))
    offer_fresh(draft)
    (found,) = draft.state.goals.values()
    assert found.goal == made.goal, "under the configuration of now"
    assert found.fresh is not None and not found.is_fresh_confirmed
    assert [entry.goal for entry in draft.state.overrides] == [made.goal.digest, None]
    assert recorded(draft, "offer") == [{"goal": made.goal.digest, "digest": found.fresh_digest}]
    ((severity, code, text),) = told(draft)
    assert (severity, code) == (AlertSeverity.WARNING, NoticeCode.ENVELOPE_LEFT)
    assert text.startswith("drain of kim is suspended: load: approved a, now b; nothing of it moves or is undone. kim confirms")
    assert f"--digest {found.fresh_digest}" in text
    again = replace(draft, commands=[])
    offer_fresh(again)
    assert again.commands == []
    running = drafted(book, track(book))
    offer_fresh(running)
    assert running.commands == []


# -- who approves ------------------------------------------------------------------------------------------------------


def test_an_approval_of_the_same_person_replaces_their_earlier_one_of_the_same_offer(book: Playbook) -> None:
    made = track(book)
    first, second = (
        Approval(digest=made.digest, person=person, rank="approver", via="token", at_ms=at_ms, expires_ms=9)
        for person, at_ms in (("lee", 1), ("LEE ", 2))
    )
    assert approved(approved(made, first), second).approvals == (second,)
    other, elsewhere = replace(first, person="park"), replace(first, digest="0" * 16)
    gone = replace(first, state=ApprovalState.REVOKED)
    kept = replace(made, approvals=(other, elsewhere, gone, first))
    assert approved(kept, second).approvals == (other, elsewhere, gone, second)


@pytest.mark.parametrize("state", list(GoalState))
def test_a_goal_that_runs_lacks_the_approvals_it_does_not_have(book: Playbook, state: GoalState) -> None:
    for needs, people, missing in ((0, 0, False), (1, 0, True), (1, 1, False), (2, 1, True)):
        made = track(book, state, needs=needs)
        for number in range(people):
            made = by(made, f"person {number}")
        found = lacks(made)
        is_missing = missing and state is GoalState.RUNNING
        assert found == (Left(field="approvals", approved=str(needs), now=str(people)) if is_missing else None)
    proposed = track(book, state)
    proposed = replace(proposed, goal=replace(proposed.goal, verb=Verb.PROPOSED))
    assert (lacks(proposed) is not None) is (state is GoalState.RUNNING), "a proposal takes one"


def test_a_goal_is_found_by_the_digest_that_is_offered_or_was_approved_unless_it_is_over(book: Playbook) -> None:
    made = track(book, GoalState.SUSPENDED, fresh=envelope(book, needs=1))
    assert made.fresh_digest is not None and made.fresh_digest != made.digest
    for digest in (made.digest, made.fresh_digest):
        assert find(drafted(book, made), digest) == made
        assert find(drafted(book, replace(made, state=GoalState.ENDED)), digest) is None
    assert find(drafted(book, made), "0" * 16) is None


def test_how_many_others_it_takes_is_the_most_that_any_finding_asks_for() -> None:
    def asks(severity: Severity = Severity.NEEDS_APPROVAL, **numbers: int) -> object:
        return finding(FindingCode.CAPACITY_SHORT, severity, "", **numbers)

    for findings, needed in (
        ((), 0),
        ((asks(approvals_needed=0),), 0),
        ((asks(approvals_needed=1), asks(approvals_needed=2)), 2),
        ((asks(approvals_needed=1), asks()), None),
        ((asks(Severity.ALLOWED), asks(approvals_needed=1)), 1),
    ):
        assert others_needed(findings) == needed  # type: ignore[arg-type]


# -- taking back -------------------------------------------------------------------------------------------------------


def taking_back(
    book: Playbook, made: GoalTrack, who: str, *, rank: str = "approver", person: str | None = None
) -> tuple[Answer, Left | None, Draft]:
    draft = drafted(book, made)
    asking = OperatorRequest(id="r", person=who, rank=rank, request=RevokeRequest(digest=made.digest, person=person))
    reply, left, _ = revoke(draft, asking, made.digest, person)
    return reply, left, draft


def test_a_person_takes_back_their_own_approval_and_an_admin_anybodys(book: Playbook) -> None:
    made = by(by(track(book, needs=2)), "park")
    for who, rank, person in ((" LEE", "operator", None), ("lee", "operator", "lee"), ("choi", "admin", "lee")):
        reply, left, draft = taking_back(book, made, who, rank=rank, person=person)
        assert reply.severity is Severity.ALLOWED
        assert left == Left(field="approvals", approved="2", now="1")
        (found,) = draft.state.goals.values()
        assert [given.state for given in found.approvals] == [ApprovalState.REVOKED, ApprovalState.GIVEN]
        (row,) = recorded(draft, "approval")
        assert row == {
            "goal": made.goal.digest, "digest": made.digest, "person": "lee", "rank": "approver", "via": "token",
            "at_ms": 1, "expires_ms": 2, "state": "revoked",
        }  # fmt: skip
    reply, left, draft = taking_back(book, made, "choi", person="lee")
    assert (reply.severity, reply.findings[0].code, left) == (Severity.REFUSED, FindingCode.NOT_ALLOWED, None)
    assert reply.findings[0].text == "only lee or an admin may take back what lee approved"
    assert draft.commands == []


def test_what_nobody_gave_cannot_be_taken_back(book: Playbook) -> None:
    made = by(track(book), state=ApprovalState.LAPSED)
    reply, left, _ = taking_back(book, made, "lee")
    assert (reply.severity, reply.findings[0].code, left) == (Severity.REFUSED, FindingCode.NOTHING_TO_DO, None)
    assert reply.findings[0].text == f"lee has no approval of {made.digest} that counts"
    reply, _, _ = taking_back(book, replace(made, state=GoalState.ENDED), "lee")
    assert reply.findings[0].text == f"no goal with the digest {made.digest} waits or runs"


def test_who_asked_takes_the_request_itself_back(book: Playbook) -> None:
    reply, left, draft = taking_back(book, by(track(book)), "Kim")
    assert (reply.severity, reply.note) == (Severity.ALLOWED, "kim takes the request back")
    assert left == Left(field="confirmation", approved="by kim", now="taken back")
    assert draft.commands == []


def withdrawn(book: Playbook, made: GoalTrack) -> tuple[Answer, GoalTrack]:
    draft = drafted(book, made)
    asking = OperatorRequest(id="r", person="kim", request=RevokeRequest(digest=made.digest))
    reply = take_back(draft, asking, made.digest, None)
    (found,) = draft.state.goals.values()
    return reply, found


def test_what_waits_is_over_and_what_runs_is_suspended_when_who_asked_takes_it_back(book: Playbook) -> None:
    reply, found = withdrawn(book, track(book, GoalState.WAITING))
    assert (reply.severity, found.state) == (Severity.ALLOWED, GoalState.ENDED)
    assert found.ended_because == "kim takes the request back"
    reply, found = withdrawn(book, track(book, GoalState.RUNNING))
    assert (reply.severity, found.state) == (Severity.ALLOWED, GoalState.SUSPENDED)
    assert found.left == Left(field="confirmation", approved="by kim", now="taken back")


@pytest.mark.parametrize(
    ("state", "said"), [(GoalState.REACHED, "is done"), (GoalState.SUSPENDED, "is suspended already")]
)
def test_what_is_done_or_suspended_is_not_taken_back_by_a_word(book: Playbook, state: GoalState, said: str) -> None:
    for override, way_out in ((None, ""), ("o1", "; what it forced holds until `siteshift override lift o1`")):
        made = track(book, state, override=override)
        reply, found = withdrawn(book, made)
        assert (reply.severity, reply.findings[0].code, found) == (Severity.REFUSED, FindingCode.NOTHING_TO_DO, made)
        assert reply.findings[0].text == f"drain of kim {said}: nothing of it waits or moves by that word{way_out}"


# -- what was looked at ------------------------------------------------------------------------------------------------


def folded(book: Playbook, *findings: object, now: Envelope | None = None, shown: Envelope | None = None) -> Folded:
    goal = track(book).goal
    predicted = now or envelope(book)
    return Folded(
        plan=None, findings=findings, predicted=predicted, offer=Offer(goal=goal, envelope=shown or predicted)  # type: ignore[arg-type]
    )


def request(digest: str | None, shown: object = None) -> OperatorRequest:
    return OperatorRequest(id="a", person="kim", request=DrainRequest(site=P), digest=digest, shown=shown)  # type: ignore[arg-type]


def test_a_digest_counts_when_it_is_that_of_now_or_when_now_lies_within_what_was_shown(book: Playbook) -> None:
    made = folded(book)
    assert confirmed_envelope(request(None), made) is None
    assert confirmed_envelope(request(made.offer.digest), made) is made.offer.envelope
    wide = replace(envelope(book), shed_max_bp={WEB: 500}, not_before_ms=1, start_by_ms=2, ends_at_ms=3)
    shown = Offer(goal=made.offer.goal, envelope=wide)
    found = confirmed_envelope(request(shown.digest, shown), made)
    now = made.offer.envelope
    assert found == replace(
        wide, not_before_ms=now.not_before_ms, start_by_ms=now.start_by_ms, ends_at_ms=now.ends_at_ms
    ), "from its confirmation on"
    other_goal = replace(shown, goal=replace(shown.goal, ticket="other"))
    narrow = replace(shown, envelope=replace(wide, bounds=wide.bounds[1:]))
    for asking in (
        request(shown.digest),
        request("0" * 16, shown),
        request(other_goal.digest, other_goal),
        request(narrow.digest, narrow),
    ):
        refused = confirmed_envelope(asking, made)
        assert refused is not None and getattr(refused, "code", None) is FindingCode.STALE_DIGEST
        assert refused.numbers == {"given": asking.digest, "now": made.offer.digest}  # type: ignore[union-attr]


def settled(
    book: Playbook, asking: OperatorRequest, made: Folded, *tracks: GoalTrack
) -> tuple[Answer, Draft, list[GoalTrack | None]]:
    draft = drafted(book, *tracks)
    grants: list[GoalTrack | None] = []

    def grant(found: GoalTrack | None) -> Answer:
        grants.append(found)
        return Answer(asking=asking.id, severity=Severity.ALLOWED)

    return settle(draft, asking, made, grant), draft, grants


def test_a_request_is_granted_kept_or_refused_by_what_its_plan_says(book: Playbook) -> None:
    no = finding(FindingCode.LAST_SERVING_SITE, Severity.REFUSED, "")
    two = finding(FindingCode.CAPACITY_SHORT, Severity.NEEDS_APPROVAL, "", approvals_needed=1)
    own = finding(FindingCode.SHED_NEEDED, Severity.NEEDS_APPROVAL, "", approvals_needed=0)
    nobody = finding(FindingCode.BLIND, Severity.NEEDS_APPROVAL, "")
    for findings, confirms, severity, granted in (
        ((), False, Severity.ALLOWED, 1),
        ((), True, Severity.ALLOWED, 1),
        ((no,), True, Severity.REFUSED, 0),
        ((no, own), True, Severity.REFUSED, 0),
        ((own,), False, Severity.NEEDS_APPROVAL, 0),
        ((own,), True, Severity.ALLOWED, 1),
        ((two,), False, Severity.NEEDS_APPROVAL, 0),
        ((two,), True, Severity.NEEDS_APPROVAL, 0),
        ((nobody,), True, Severity.NEEDS_APPROVAL, 0),
    ):
        made = folded(book, *findings)
        reply, draft, grants = settled(book, request(made.offer.digest if confirms else None), made)
        assert (reply.severity, len(grants)) == (severity, granted), findings
        is_kept = findings == (two,) and confirms
        assert [entry.state for entry in draft.state.goals.values()] == ([GoalState.WAITING] if is_kept else [])
        assert reply.offer is not None and reply.offer.goal == made.offer.goal
    reply, draft, _ = settled(book, request(folded(book, two).offer.digest), folded(book, two))
    assert reply.waits_until_ms == made.offer.envelope.start_by_ms
    assert recorded(draft, "goal")[0]["needs"] == 1  # type: ignore[index]
    granted_by_self, _, grants = settled(book, request(folded(book, own).offer.digest), folded(book, own))
    assert [entry.severity for entry in granted_by_self.findings] == [Severity.ALLOWED], "what they took upon themselves"
    (track_,) = grants
    assert track_ is not None and (track_.state, track_.since_ms, track_.asking.shown) == (GoalState.RUNNING, book.now_ms, None)


def test_what_was_approved_already_is_granted_when_who_asked_confirms_it_again(book: Playbook) -> None:
    two = finding(FindingCode.CAPACITY_SHORT, Severity.NEEDS_APPROVAL, "", approvals_needed=1)
    made = folded(book, two)
    waiting = track(book, GoalState.WAITING, envelope=made.offer.envelope)
    assert waiting.digest == made.offer.digest
    reply, _, grants = settled(book, request(made.offer.digest), made, by(waiting))
    assert (reply.severity, reply.approved_by, len(grants)) == (Severity.ALLOWED, ("lee",), 1)
    for other in (replace(by(waiting), state=GoalState.SUSPENDED), by(replace(waiting, envelope=envelope(book, needs=2)))):
        reply, draft, grants = settled(book, request(made.offer.digest), made, other)
        assert (reply.severity, grants) == (Severity.NEEDS_APPROVAL, []), "approvals of another offer do not count"
        assert [entry.approvals for entry in draft.state.goals.values()] == [()]


# -- whole stories -----------------------------------------------------------------------------------------------------


def test_two_others_are_needed_where_a_rule_says_so_and_one_is_one_short() -> None:
    book = Playbook(setup=three_sites(mode=Mode.AUTO))
    book.run(6_000)
    waiting = book.confirm(ALL_TO_ANYANG)
    assert waiting.severity is Severity.NEEDS_APPROVAL and waiting.waits_until_ms == book.now_ms + 15 * MINUTE_MS
    digest = digest_of(waiting)
    assert book.approve("0" * 16, "lee").severity is Severity.REFUSED
    granted = book.approve(digest, "lee")
    assert (granted.severity, granted.approved_by) == (Severity.ALLOWED, ("lee",))
    again = book.approve(digest, "park")
    assert again.severity is Severity.REFUSED
    assert again.findings[0].text == "shares of kim is running: this approval is not asked for"
    (row,) = [row for row in book.recorded("approval") if row.data["person"] == "lee"]
    assert (row.data["digest"], row.data["state"], row.data["at_ms"]) == (digest, "given", book.now_ms)


def test_an_approval_that_comes_when_nothing_waits_is_refused_and_leaves_no_trace(book: Playbook) -> None:
    before = book.state
    reply = book.approve("0" * 16, "lee")
    assert (reply.severity, [entry.code for entry in reply.findings]) == (Severity.REFUSED, [FindingCode.NOTHING_TO_DO])
    assert (book.state.goals, book.state.overrides) == (before.goals, before.overrides)


@pytest.mark.parametrize("release", [UndrainRequest(site=P), LiftRequest(override="o1")])
def test_a_release_that_is_asked_for_again_joins_the_first(book: Playbook, release: Request) -> None:
    book.confirm(DrainRequest(site=P))
    book.run(60_000, tick_ms=500)
    assert book.confirm(release).severity is Severity.ALLOWED
    again = book.ask(release)
    assert (again.severity, again.override) == (Severity.ALLOWED, None)
    assert again.note == "the same was asked for before and is under way; nothing was added"
    other = book.ask(release, person="lee")
    assert other.note == "", "another person's is another goal"
