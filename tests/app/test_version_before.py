"""State, record and marks of the version before: read, verified, replayed, and gone on with."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from dataclasses import replace
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
from siteshift.core.lifecycle.durable import FORMAT, remember, restore
from siteshift.core.lifecycle.start import start
from siteshift.core.messages.commands import Answer
from siteshift.core.messages.events import Asked
from siteshift.core.model.codes import FindingCode, OverrideKind, Severity, SiteLife
from siteshift.core.model.setup import Setup
from siteshift.core.model.units import ServiceId, SiteId
from siteshift.core.state.codec import from_document
from siteshift.ports import JournalEntry
from siteshift.replay.as_recorded import AsRecorded, fold
from siteshift.replay.rows import rows_of
from siteshift.replay.what_if import what_if
from siteshift.runtime.clock import read_clocks

FIXTURE = Path(__file__).parent / "version_before" / "siteshift.db.gz"
CONFIRMED = FIXTURE.with_name("confirmed.db.gz")
SHOP, PANGYO = ServiceId("shop"), SiteId("pangyo")


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
    assert "3 requests gave a digest of version 0.1, and held" in shown.out
    assert run_command("journal", "replay", "--file", str(confirmed), "--json").document["former"] == 3
