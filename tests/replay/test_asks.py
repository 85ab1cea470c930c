"""What people asked for is asked for again in the scenario of a record: what changed something, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.playbook import WEB, G, P, Playbook, three_sites
from siteshift.core.controller import step
from siteshift.core.messages.commands import Answer
from siteshift.core.messages.events import Asked, Event
from siteshift.core.messages.requests import (
    AckRequest,
    ApproveRequest,
    DepoolRequest,
    DrainRequest,
    FreezeRequest,
    LiftRequest,
    ModeRequest,
    PlaneInRequest,
    PlaneOutRequest,
    PoolRequest,
    RevokeRequest,
    SharesRequest,
    SwitchOffRequest,
    SwitchOnRequest,
    UndrainRequest,
)
from siteshift.core.model.codes import Mode, Severity
from siteshift.core.model.setup import PlaneRef
from siteshift.core.model.units import EnactorId, MemberId, ServiceId
from siteshift.replay import asks
from siteshift.replay.as_recorded import Refolded
from siteshift.replay.asks import Asks, Entry
from siteshift.sim.faults import acts
from siteshift.sim.run.replay import replay
from siteshift.sim.scenario.document import ScenarioError
from siteshift.sim.scenario.scenario import load_scenario

M1 = MemberId("web/pangyo/m1")


@dataclass
class Recorded(Playbook):
    """A playbook whose requests are taken as a record's."""

    asks: Asks = field(default_factory=Asks)

    def feed(self, event: Event) -> None:
        before = self.state
        super().feed(event)
        if isinstance(event, Asked):
            decision = step(before, event, self.setup)
            answered = next(c.severity for c in decision.commands if isinstance(c, Answer))
            self.asks.take(
                Refolded(
                    sequence=1,
                    event=event,
                    heard=event,
                    quiet={},
                    before=before,
                    decision=decision,
                    setup=self.setup,
                    answered=answered,
                )
            )


def lived(act: Callable[[Recorded], object], **policy: object) -> list[Entry]:
    """The asks of a scenario of what was asked for; whoever asks is kim, where nothing else is said."""
    book = Recorded(setup=three_sites(**policy))
    book.run(5_000)
    zero_ms = book.now_ms
    act(book)
    assert book.violations == []
    return [{key: value for key, value in entry.items() if key != "reason"} for entry in book.asks.events(zero_ms)]


def words(entries: list[Entry]) -> list[str]:
    return [str(entry.get("ask", entry.get("note"))) for entry in entries]


def test_a_request_that_was_refused_is_not_asked_for_again() -> None:
    """`sim run` ended with SIM-203: the service that nobody knows was asked for again."""

    def act(book: Recorded) -> None:
        assert book.ask(FreezeRequest(service=ServiceId("nobody"))).severity is Severity.REFUSED
        assert book.ask(LiftRequest(override="o9")).severity is Severity.REFUSED
        assert book.ask(UndrainRequest(site=P)).severity is Severity.REFUSED
        assert book.ask(PoolRequest(member=M1)).severity is Severity.REFUSED
        assert book.ask(SwitchOnRequest()).severity is Severity.REFUSED
        assert book.ask(AckRequest(site=P)).severity is Severity.REFUSED
        assert book.ask(ApproveRequest(digest="0" * 16), person="lee").severity is Severity.REFUSED
        assert book.ask(RevokeRequest(digest="0" * 16)).severity is Severity.REFUSED

    assert lived(act) == []


def test_a_look_at_a_plan_and_a_request_that_joined_another_are_not_asked_for_again() -> None:
    def act(book: Recorded) -> None:
        book.look(DrainRequest(site=P))
        book.confirm(DrainRequest(site=G))
        book.run(1_000)
        assert "nothing was added" in book.ask(DrainRequest(site=G)).note

    assert words(lived(act)) == ["drain"]


def test_what_is_lifted_is_named_by_the_ask_that_laid_it() -> None:
    """The world that was played again stayed frozen."""

    def act(book: Recorded) -> None:
        freeze = book.ask(FreezeRequest()).override
        mode = book.ask(ModeRequest(service=WEB, mode=Mode.RECOMMEND)).override
        assert freeze is not None and mode is not None
        book.run(60_000)
        book.ask(LiftRequest(override=freeze.id))
        book.ask(LiftRequest(override=mode.id), person="lee")

    assert lived(act) == [
        {"at_s": 0, "ask": "freeze", "person": "kim", "name": "freeze 1"},
        {"at_s": 0, "ask": "mode", "service": "web", "mode": "recommend", "person": "kim", "name": "mode 1"},
        {"at_s": 60, "ask": "lift", "override": "freeze 1", "person": "kim"},
        {"at_s": 60, "ask": "lift", "override": "mode 1", "person": "lee"},
    ]


def test_every_act_that_takes_another_back_is_asked_for_again() -> None:
    def act(book: Recorded) -> None:
        book.confirm(DrainRequest(site=G))
        book.confirm(DepoolRequest(member=M1))
        book.ask(SwitchOffRequest())
        book.run(60_000)
        book.ask(SwitchOnRequest())
        book.confirm(UndrainRequest(site=G))
        book.confirm(PoolRequest(member=M1))

    assert words(lived(act)) == ["drain", "depool", "switch_off", "switch_on", "undrain", "pool"]


def test_a_plane_that_is_put_out_of_service_and_in_is_asked_for_again_by_its_name() -> None:
    setup = three_sites()
    other = PlaneRef(id=EnactorId("lb"), services=(WEB,))
    book = Recorded(setup=replace(setup, planes=(*setup.planes, other)))
    book.run(5_000)
    assert book.ask(PlaneOutRequest(plane=other.id)).severity is Severity.ALLOWED
    book.ask(PlaneInRequest(plane=other.id))
    assert [(entry["ask"], entry["plane"]) for entry in book.asks.events(0)] == [("plane_out", "lb"), ("plane_in", "lb")]


def test_what_was_asked_for_a_while_ends_after_as_long() -> None:
    (entry,) = lived(lambda book: book.ask(FreezeRequest(), life_ms=90_000, ticket="OPS-1"))
    assert (entry["expires_after_s"], entry["ticket"]) == (90, "OPS-1")


def test_an_approval_and_its_withdrawal_are_asked_for_when_they_were() -> None:
    shares = SharesRequest(service=WEB, shares_bp={P: 9_000, G: 500, "anyang": 500})  # type: ignore[dict-item]

    def act(book: Recorded) -> None:
        waits = book.confirm(shares)
        assert waits.severity is Severity.NEEDS_APPROVAL and waits.offer is not None
        assert book.approve(waits.offer.digest, "kim").severity is Severity.REFUSED, "nobody approves their own"
        book.run(10_000)
        book.approve(waits.offer.digest, "lee")
        book.ask(RevokeRequest(digest=waits.offer.digest, person="lee"), person="ann", rank="admin")
        book.ask(LiftRequest(override=book.state.overrides[0].id))

    asked = lived(act)
    assert words(asked) == ["shares", "approve", "revoke", "lift"]
    assert (asked[0]["name"], asked[0]["confirms"]) == ("shares 1", True)
    assert (asked[1]["at_s"], asked[1]["digest"], asked[1]["person"]) == (10, "shares 1", "lee")
    assert (asked[2]["digest"], asked[2]["whose"], asked[2]["person"]) == ("shares 1", "lee", "ann")
    assert asked[3]["override"] == "shares 1"


def test_what_was_older_than_the_part_is_a_note() -> None:
    def act(book: Recorded) -> None:
        laid = book.ask(FreezeRequest()).override
        assert laid is not None
        book.asks = Asks()
        book.ask(LiftRequest(override=laid.id))

    assert words(lived(act)) == ["kim lifted override o1, which is older than this part of the record: not played"]


def test_what_siteshift_proposed_is_approved_by_that_word() -> None:
    assert asks.PROPOSED == acts.PROPOSED


def played(tmp_path: Path, events: list[dict[str, Any]]) -> list[str]:
    """The transcript of a scenario with these events."""
    path = tmp_path / "again.yaml"
    head = {"id": "again", "title": "t", "source": "s", "happened": "h", "lesson": "l", "lasts_s": 120}
    path.write_text(yaml.safe_dump({**head, "events": events, "pass": []}), encoding="utf-8")
    _, record = replay(load_scenario(path), seed=1)
    return [line.text for line in record.transcript]


def test_a_scenario_lifts_approves_and_takes_back_by_the_name_of_the_ask(tmp_path: Path) -> None:
    said = "\n".join(
        played(
            tmp_path,
            [
                {"at_s": 0, "ask": "freeze", "person": "kim", "name": "freeze 1"},
                {"at_s": 10, "ask": "lift", "override": "freeze 1", "person": "kim"},
                {
                    "at_s": 20, "ask": "shares", "service": "web", "person": "kim", "confirms": True, "name": "shares 1",
                    "shares_percent": {"pangyo": 90, "gasan": 5, "anyang": 5},
                },
                {"at_s": 30, "ask": "approve", "digest": "shares 1", "person": "lee"},
                {"at_s": 40, "ask": "revoke", "digest": "shares 1", "whose": "lee", "person": "ann"},
                {"at_s": 50, "ask": "lift", "override": "shares 1", "person": "kim"},
            ],
        )
    )  # fmt: skip
    for number, answer in enumerate(("allowed", "allowed", "needs_approval", "allowed", "allowed", "allowed"), start=1):
        assert f"c3-{number}: {answer}" in said, said


def test_an_ask_about_another_that_is_not_in_the_file_is_refused(tmp_path: Path) -> None:
    for event in ({"ask": "lift", "override": "nobody's"}, {"ask": "approve", "digest": "it"}, {"ask": "revoke", "digest": "it"}):
        with pytest.raises(ScenarioError, match="SIM-203"):
            played(tmp_path, [{"at_s": 0, **event}])
