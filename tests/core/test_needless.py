"""Nothing is said or written that nobody would notice: no flash of a standby that opens, no generation for idle weights."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.playbook import DOWN, PLANE, SICK, UP, WEB, A, G, P, Playbook, three_sites
from siteshift.core.messages.commands import ActivateStandby, Tell
from siteshift.core.messages.requests import DepoolRequest, DrainRequest, LiftRequest, ModeRequest, SharesRequest, UndrainRequest
from siteshift.core.model.codes import MemberRole, Mode, SiteLife, StandbyPhase
from siteshift.core.model.units import MemberId, TargetId

M1, A1 = MemberId("web/pangyo/m1"), MemberId("web/anyang/m1")


def serving() -> Playbook:
    book = Playbook(setup=three_sites(hold_down_ms=5_000, soak_ms=2_000, failback="stay"))
    book.run(5_000)
    return book


def drained() -> Playbook:
    """Pangyo gets nothing, and all has come to rest."""
    book = serving()
    book.ask(DrainRequest(site=P))
    book.run(120_000)
    assert (book.shares()[P], book.life(P)) == (0, SiteLife.DRAINED)
    return book


def standing(book: Playbook, member: MemberId, view: object) -> None:
    book.beliefs[TargetId(f"member:{member}")] = replace(view, since_ms=book.now_ms)  # type: ignore[type-var]
    book.run(2_000)


def weights(book: Playbook) -> dict[MemberId, int]:
    steering = book.planes[PLANE]
    assert steering is not None
    entry = steering.of(WEB)
    assert entry is not None
    return dict(entry.members_pm)


def test_a_wavering_member_of_a_drained_site_makes_no_generation() -> None:
    book = drained()
    before = book.state.steering.generation
    standing(book, M1, replace(SICK, score_pm=600))
    standing(book, M1, replace(SICK, score_pm=300))
    standing(book, M1, UP)
    assert book.state.steering.generation == before
    assert book.violations == []


def test_a_shrunk_weight_follows_its_score_only_when_they_are_well_apart() -> None:
    """A score wavers; every new weight is a write to every data plane."""
    book = serving()
    standing(book, M1, replace(SICK, score_pm=730))
    assert weights(book)[M1] == 700
    before = book.state.steering.generation
    for score_pm in (760, 640, 790, 601):
        standing(book, M1, replace(SICK, score_pm=score_pm))
    assert (weights(book)[M1], book.state.steering.generation) == (700, before)
    standing(book, M1, replace(SICK, score_pm=590))
    assert weights(book)[M1] == 550
    standing(book, M1, UP)
    assert weights(book)[M1] == 1_000
    assert book.violations == []


def test_a_dead_member_of_a_drained_site_is_taken_out_at_once_and_comes_back_with_the_share() -> None:
    book = drained()
    standing(book, M1, DOWN)
    assert M1 not in weights(book)
    without = book.state.steering.generation
    standing(book, M1, UP)
    assert (M1 in weights(book), book.state.steering.generation) == (False, without)
    book.ask(UndrainRequest(site=P))
    book.run(60_000)
    assert book.shares()[P] == 5_000
    assert weights(book)[M1] == 1_000
    assert book.violations == []


def test_a_person_may_still_depool_at_a_drained_site() -> None:
    book = drained()
    book.ask(DepoolRequest(member=M1))
    book.run(2_000)
    assert M1 not in weights(book)


def test_where_only_people_move_a_site_gets_its_share_back_on_the_members_that_serve() -> None:
    book = drained()
    standing(book, M1, DOWN)
    book.ask(ModeRequest(service=WEB, mode=Mode.RECOMMEND))
    standing(book, M1, UP)
    assert M1 not in weights(book)
    book.ask(LiftRequest(override=book.state.overrides[0].id))
    book.ask(SharesRequest(service=WEB, shares_bp={P: 5_000, G: 3_000, A: 2_000}))
    book.run(60_000)
    assert book.shares()[P] == 5_000
    assert weights(book)[M1] == 1_000


def test_a_standby_that_opens_is_not_said_to_be_down_for_what_it_was_before() -> None:
    """Its driver says ready before our probes have seen it: that it was down while closed is no news."""
    book = serving()
    closed = [m for m in book.setup.topology.members.values() if m.role is MemberRole.STANDBY]
    late: list[MemberId] = []

    def keep_down() -> None:
        """The vantage learns of it three seconds late."""
        for member in closed:
            book.beliefs[member.target] = replace(DOWN, since_ms=1_000_000)

    book.believe(P, DOWN)
    for _ in range(30):
        book.run(100)
        opened = [c.member for c in book.commands if isinstance(c, ActivateStandby)]
        if opened and not late:
            late = opened
        keep_down()
    assert any(book.state.standby(m).phase is StandbyPhase.READY for m in late)
    told = [c for c in book.commands if isinstance(c, Tell) and c.code == "MEMBER_DOWN"]
    assert told == []
    for member in late:
        book.beliefs[TargetId(f"member:{member}")] = replace(DOWN, since_ms=book.now_ms)
    book.run(2_000)
    assert "MEMBER_DOWN" in {entry.code.value for entry in book.state.picture.diagnoses}, "down while open is said"


def test_where_only_people_move_anything_a_site_gets_more_on_the_members_that_serve() -> None:
    """A member was taken out for a while. What the site may carry is reckoned with it, so it must be there (law 7)."""
    book = Playbook(setup=three_sites(mode=Mode.RECOMMEND))
    book.run(3_000)
    member = book.setup.topology.pools[(WEB, A)].members[0]
    book.ask(DepoolRequest(member=member.id), expires_ms=book.now_ms + 5_000)
    book.run(10_000)
    book.ask(DrainRequest(site=P))
    book.run(10_000)
    steering = book.state.steering.of(WEB)
    assert steering is not None and steering.shares_bp[A] > 2_000
    assert member.id in steering.members_pm
    assert book.violations == []


@pytest.mark.parametrize("mode", [Mode.RECOMMEND, Mode.OBSERVE])
def test_a_member_comes_back_when_what_took_it_out_is_over_although_only_people_move_anything(mode: Mode) -> None:
    """Lifting an override reveals the real state (law 5): it stayed out for good, and the site had less than anybody meant."""
    book = Playbook(setup=three_sites(mode=mode))
    book.run(3_000)
    book.ask(DepoolRequest(member=A1), expires_ms=book.now_ms + 5_000)
    book.run(2_000)
    assert A1 not in weights(book)
    book.run(10_000)
    assert weights(book)[A1] == 1_000
    assert book.violations == []


def test_a_member_that_was_not_in_does_not_come_in_by_being_taken_out() -> None:
    """Evidence took it out before anybody did, and where only people move anything evidence brings nobody in."""
    book = Playbook(setup=three_sites())
    book.run(3_000)
    standing(book, A1, DOWN)
    assert A1 not in weights(book)
    book.ask(ModeRequest(mode=Mode.RECOMMEND, service=WEB))
    book.ask(DepoolRequest(member=A1), expires_ms=book.now_ms + 5_000)
    standing(book, A1, UP)
    book.run(10_000)
    assert A1 not in weights(book)


def test_a_sick_site_that_was_kept_for_want_of_room_is_left_no_more_once_it_is_well() -> None:
    """A person fails back here. But minutes after a surge, when the others had room again, a healthy site was left."""
    book = Playbook(setup=three_sites(failback="manual", hold_down_ms=5_000), demand_rps=150)
    book.run(15_000)
    book.believe(P, SICK)
    book.run(20_000)
    assert book.life(P) is SiteLife.DRAINING and book.shares()[P] > 0
    book.believe(P, UP)
    book.run(20_000)
    book.demand_rps = 60
    book.run(400_000)
    assert book.life(P) is SiteLife.SERVING
    assert book.shares()[P] > 4_500
    assert book.violations == []
