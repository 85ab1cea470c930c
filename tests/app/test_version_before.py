"""State, record and marks of the version before: read, verified, replayed, and gone on with."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

import pytest

from nodes.command_line import run as run_command
from siteshift.adapters.store.chain import verify_export
from siteshift.adapters.store.second_copy import SecondCopy
from siteshift.adapters.store.sqlite import SqliteStore
from siteshift.adapters.store.sqlite_journal import SqliteJournal
from siteshift.app.offline import read_record
from siteshift.app.past import FoundPast, find_past, open_store
from siteshift.cli.exits import ExitCode
from siteshift.core.controller import step
from siteshift.core.lifecycle.durable import FORMAT, remember, restore
from siteshift.core.lifecycle.start import is_reload_due, start
from siteshift.core.messages.commands import Answer
from siteshift.core.messages.events import Asked, Reloaded, Ticked
from siteshift.core.model import policy as policies
from siteshift.core.model.approval import Verb
from siteshift.core.model.codes import FindingCode, OverrideKind, Severity, SiteLife
from siteshift.core.model.digest import added
from siteshift.core.model.setup import Setup
from siteshift.core.model.units import ServiceId, SiteId
from siteshift.core.state.codec import from_document
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.goals import GoalState
from siteshift.ports import JournalEntry
from siteshift.replay.as_recorded import AsRecorded, fold
from siteshift.replay.rows import SetupRow, rows_of
from siteshift.replay.what_if import what_if
from siteshift.runtime.clock import read_clocks

FIXTURE = Path(__file__).parent / "version_before" / "siteshift.db.gz"
CONFIRMED, RUNNING = FIXTURE.with_name("confirmed.db.gz"), FIXTURE.with_name("running.db.gz")
SHOP, PANGYO = ServiceId("shop"), SiteId("pangyo")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicePolicy(policies.ServicePolicy):
    """The policy of the version after this one, by the name it has there."""

    warmth_ms: int = added(default=7, before=5)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "siteshift.db"
    path.write_bytes(gzip.decompress(FIXTURE.read_bytes()))
    return path


@pytest.fixture
async def opened(file: Path) -> AsyncIterator[tuple[SqliteJournal, FoundPast]]:
    found_store = await open_store(file)
    store, journal = SqliteStore(found_store.database), SqliteJournal(found_store.database)
    copy = SecondCopy(file.with_name(file.name + ".steering"))
    found = await find_past(found_store, store, journal, copy, read_clocks())
    yield journal, found
    await store.close()
    await journal.close()


@pytest.fixture
def confirmed(tmp_path: Path) -> Path:
    path = tmp_path / "confirmed.db"
    path.write_bytes(gzip.decompress(CONFIRMED.read_bytes()))
    return path


@pytest.fixture
def running(tmp_path: Path) -> Path:
    path = tmp_path / "running.db"
    path.write_bytes(gzip.decompress(RUNNING.read_bytes()))
    return path


def of_the_next_version(setup: Setup, warmth_ms: int) -> Setup:
    """A setup as a version has it that knows one more field of the policy."""
    known = {entry.name: getattr(setup.policy.default, entry.name) for entry in fields(setup.policy.default)}
    services = {
        name: ServicePolicy(**{n: getattr(policy, n) for n in known}, warmth_ms=warmth_ms)
        for name, policy in setup.policy.services.items()
    }
    policy = replace(setup.policy, default=ServicePolicy(**known, warmth_ms=warmth_ms), services=dict(services))
    return replace(setup, policy=policy, digest=f"of the next version, {warmth_ms}")


async def restarted(path: Path, warmth_ms: int | None) -> ControllerState:
    """What a node goes on with after its first event, a second after the goal began; None: the version that wrote it."""
    store = await open_store(path)
    past = await find_past(store, SqliteStore(store.database), SqliteJournal(store.database), SecondCopy(path), read_clocks())
    setups = [entry async for entry in read_record(path) if entry.kind == "setup"]
    setup = from_document(Setup, setups[-1].data["setup"])
    if warmth_ms is not None:
        setup = of_the_next_version(setup, warmth_ms)
    assert past.past.document is not None
    now_ms = max(track["since_ms"] for track in past.past.document["goals"].values()) + 1_000
    state = start(replace(past.past, shift_ms=0), setup, now_ms=now_ms)
    first = Reloaded(at_ms=now_ms, digest=setup.digest) if is_reload_due(state, setup) else Ticked(at_ms=now_ms)
    return step(state, first, setup).state


async def entries_of(journal: SqliteJournal) -> list[JournalEntry]:
    return [entry async for entry in journal.read()]


async def test_its_state_is_gone_on_with(opened: tuple[SqliteJournal, FoundPast]) -> None:
    journal, found = opened
    assert found.past.document is not None and found.past.document["format"] == 1
    setups = [entry for entry in await entries_of(journal) if entry.kind == "setup"]
    setup = from_document(Setup, setups[-1].data["setup"])
    state = start(found.past, setup, now_ms=found.time.now_ms)
    assert state.adoption is None
    assert {made.kind for made in state.overrides} == {OverrideKind.DRAIN, OverrideKind.FREEZE}
    assert state.track(SHOP, PANGYO).life is SiteLife.DRAINED
    assert state.transition(SHOP).moves, "what was stored under a former name is read too"
    assert state.steering_share(SHOP, PANGYO) == 0
    again = remember(state)
    assert again["format"] == FORMAT
    assert restore(again, now_ms=found.time.now_ms).steering == state.steering


async def test_its_record_is_verified_and_exported(opened: tuple[SqliteJournal, FoundPast], tmp_path: Path) -> None:
    journal, _ = opened
    assert await journal.verify() > 40
    extent = await journal.export(tmp_path / "record.jsonl")
    assert verify_export((tmp_path / "record.jsonl").read_text().splitlines()) == extent.head


async def test_its_record_is_replayed_to_the_same_decisions(opened: tuple[SqliteJournal, FoundPast]) -> None:
    run = fold(rows_of(await entries_of(opened[0])))
    assert run.starts == 2
    assert run.decisions >= 2
    assert run.mismatches == []


async def test_what_was_confirmed_by_its_digests_is_replayed_to_the_same_decisions(confirmed: Path) -> None:
    """Digests are formed anew: what a person confirmed by one of 0.1 was stale here, and nothing of it happened."""
    run = fold(rows_of([entry async for entry in read_record(confirmed)]))
    assert run.decisions >= 10
    assert run.mismatches == []
    assert run.former == 3, "the drain, the undrain and the shares; the digest of no plan stays stale"
    assert run.state is not None
    assert [(made.kind, made.approved_by) for made in run.state.overrides] == [(OverrideKind.SHARES, ("lee",))]


async def test_what_was_refused_by_its_digest_is_refused_again(confirmed: Path) -> None:
    run, answers = AsRecorded(), []
    for row in rows_of([entry async for entry in read_record(confirmed)]):
        if (refolded := run.take(row)) is not None and isinstance(refolded.event, Asked):
            (answer,) = (made for made in refolded.decision.commands if isinstance(made, Answer))
            assert answer.severity is refolded.answered
            answers.append(answer)
    assert [answer.severity for answer in answers].count(Severity.REFUSED) == 2
    stale = answers[1]
    assert stale.findings[0].code is FindingCode.STALE_DIGEST


async def test_another_policy_is_asked_what_its_people_confirmed(confirmed: Path) -> None:
    rows = list(rows_of([entry async for entry in read_record(confirmed)]))
    assert what_if(rows, lambda policy: policy).differences() == []
    slower = what_if(rows, lambda policy: replace(policy, default=replace(policy.default, settle_ms=2_500)))
    assert slower.differences()
    assert min(shares.steering.shares_bp["pangyo"] for shares in slower.would_be["shop"]) == 0


def test_the_command_says_whose_digests_they_are(confirmed: Path) -> None:
    shown = run_command("journal", "replay", "--file", str(confirmed))
    assert shown.code == ExitCode.DONE, shown.err
    assert "3 requests gave a digest that another version formed, and held" in shown.out
    assert run_command("journal", "replay", "--file", str(confirmed), "--json").document["former"] == 3


@pytest.mark.parametrize("warmth_ms", [None, 5])
async def test_a_confirmed_goal_goes_on_under_a_version_that_knows_more_and_does_the_same(
    running: Path, warmth_ms: int | None
) -> None:
    """Written in the middle of an undrain. Another field was taken for another policy: every upgrade suspended every goal."""
    state = await restarted(running, warmth_ms)
    (track,) = (track for track in state.goals.values() if track.state is not GoalState.ENDED)
    assert (track.goal.verb, track.state, track.left) == (Verb.UNDRAIN, GoalState.RUNNING, None)
    assert state.goals[track.goal.digest] is track, "it is found by the digest it was stored under"


async def test_a_confirmed_goal_is_suspended_by_a_version_that_does_something_else(running: Path) -> None:
    state = await restarted(running, warmth_ms=7)
    (track,) = (track for track in state.goals.values() if track.state is not GoalState.ENDED)
    assert track.state is GoalState.SUSPENDED and track.left is not None
    assert track.left.text == (
        "policy: approved the rules of then, now changed by the configuration, or by a default of this version"
    )


async def test_what_was_confirmed_is_replayed_by_its_digests_under_a_version_that_knows_more(running: Path) -> None:
    rows = list(rows_of([entry async for entry in read_record(running)]))
    later = [replace(r, setup=of_the_next_version(r.setup, 5)) if isinstance(r, SetupRow) else r for r in rows]
    for run in (fold(rows), fold(later)):
        assert run.decisions >= 3
        assert (run.former, run.mismatches) == (0, [])


async def test_digests_that_held_are_put_anew_whatever_formed_them(running: Path) -> None:
    """A form that cannot be kept, or a setup read otherwise, is no reason to replay what nobody did."""
    rows = list(rows_of([entry async for entry in read_record(running)]))
    run = fold([replace(r, setup=of_the_next_version(r.setup, 7)) if isinstance(r, SetupRow) else r for r in rows])
    assert (run.former, run.mismatches) == (2, [])
