"""A HAProxy that says odd things, or never stops: the outage of that one source, within bounds of bytes and time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from servers.haproxy_imitation import STAT_COLUMNS, STATE_COLUMNS
from siteshift.adapters.haproxy import rows, runtime_api, server_state, stat
from siteshift.adapters.haproxy.enactor import HaproxyEnactor
from siteshift.adapters.haproxy.passive import HaproxyPassive
from siteshift.adapters.haproxy.runtime_api import RuntimeApi
from siteshift.adapters.haproxy.server_state import AdminState, Bound
from siteshift.adapters.haproxy.traffic import HaproxyTrafficMeter
from siteshift.adapters.standby.haproxy_server import HaproxyServerStandby, HaproxyStandby, StandbyPlace
from siteshift.core.model.codes import MemberRole
from siteshift.core.model.topology import Member
from siteshift.core.model.units import DriverId
from siteshift.errors import AdapterError, Ambiguous, Retryable

from .planes import PANGYO, WEB, WallClock, global_plane, member

DEADLINE_MS = 20_000
END = b"Variable not found.\n\n"


class Talker:
    """Answers every line with what ``say`` yields; ``sent`` counts the bytes its sockets took."""

    def __init__(self, say: Callable[[], Iterator[bytes]], every_s: float = 0) -> None:
        self._say = say
        self._every_s = every_s
        self.sent = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await reader.readline()
            for piece in self._say():
                writer.write(piece)
                await writer.drain()
                self.sent += len(piece)
                if self._every_s:
                    await asyncio.sleep(self._every_s)
        writer.close()


@asynccontextmanager
async def talker(path: Path, say: Callable[[], Iterator[bytes]], every_s: float = 0) -> AsyncIterator[Talker]:
    talking = Talker(say, every_s)
    server = await asyncio.start_unix_server(talking.serve, str(path))
    try:
        yield talking
    finally:
        server.close()


def endless() -> Iterator[bytes]:
    """A table that goes on: a header, and rows for ever."""
    yield b"# " + ",".join(STAT_COLUMNS).encode() + b"\n"
    row = (",".join(["web", "p1", *["0"] * (len(STAT_COLUMNS) - 2)]) + "\n").encode()
    while True:
        yield row * 1_000


def once(raw: bytes) -> Callable[[], Iterator[bytes]]:
    return lambda: iter((raw,))


def stat_table(**values: str) -> str:
    """One server, p1, all counters 0 but these."""
    fields = dict.fromkeys(STAT_COLUMNS, "0") | {"pxname": "web", "svname": "p1", "last_chk": "", "mode": "http"} | values
    return f"# {','.join(fields)}\n{','.join(fields.values())}\n\n"


def state_table(**values: str) -> str:
    fields = dict.fromkeys(STATE_COLUMNS, "0") | {"be_name": "web", "srv_name": "p1", "srv_op_state": "2"} | values
    return f"1\n# {' '.join(fields)}\n{' '.join(fields.values())}\n\n"


ODD_NUMBERS = ("1e3", "-5", "٣", "+1", "1_0", "0x1", " 1", "nan", "9" * 21, "\ufffd")
ODD_ANSWERS = {
    "nothing": b"",
    "an end and no more": END,
    "empty lines": b"\n" * 100_000 + END,
    "zeros": b"\0" * 10_000 + END,
    "not UTF-8": b"\xff\xfe" * 10_000 + END,
    "one long line": b"," * 2_000_000 + b"\n" + END,
    "quotes": b"# " + ",".join(STAT_COLUMNS).encode() + b"\n" + b'"' * 50_000 + b"\n" + END,
    "no end": stat_table().encode(),
    "state without an end": state_table().encode(),
    "header alone": b"# " + ",".join(STAT_COLUMNS).encode() + b"\n1\n" + END,
    "short row": stat_table().encode()[:-20] + b"\n" + END,
    "short state row": state_table().encode()[:-30] + b"\n" + END,
    "another version": b"2\n" + state_table().encode()[2:] + END,
    "JSON": b'{"a": [1]}\n\n' + END,
}


async def everybody_asks(address: str) -> list[BaseException | object]:
    """All who read a HAProxy ask this one. What each of them got, or raised."""
    plane, clock = global_plane(address), WallClock()
    place = StandbyPlace(member=member("p1"), backend="web", server="p1")
    driver = HaproxyServerStandby(HaproxyStandby(id=DriverId("d"), addresses=(address,), places=(place,)))
    spare = Member(
        id=member("p1"), service=WEB, site=PANGYO, name="p1", address="127.0.0.1", port=9, capacity_rps=1, role=MemberRole.STANDBY
    )
    calls: list[Awaitable[object]] = [
        HaproxyTrafficMeter(plane, clock).sample(deadline_ms=DEADLINE_MS),
        HaproxyPassive(plane, clock).sample(deadline_ms=DEADLINE_MS),
        HaproxyEnactor(plane, clock).read_back(deadline_ms=DEADLINE_MS),
        driver.phase(spare, deadline_ms=DEADLINE_MS),
        driver.activate(spare, deadline_ms=DEADLINE_MS),
        driver.retire(spare, deadline_ms=DEADLINE_MS),
    ]
    return await asyncio.gather(*calls, return_exceptions=True)


@pytest.mark.parametrize("name", ODD_ANSWERS)
async def test_an_odd_answer_is_an_error_of_that_source_alone(name: str, tmp_path: Path) -> None:
    async with talker(tmp_path / "s", once(ODD_ANSWERS[name])):
        for got in await everybody_asks(f"unix:{tmp_path / 's'}"):
            assert not isinstance(got, BaseException) or isinstance(got, AdapterError), repr(got)
            assert isinstance(got, AdapterError) or not got, "nothing is made of it"


@pytest.mark.parametrize("number", ODD_NUMBERS)
@pytest.mark.parametrize("column", stat.COLUMNS)
async def test_a_counter_that_is_no_number_is_an_error(column: str, number: str) -> None:
    with pytest.raises(AdapterError):
        await stat.parse(stat_table(**{column: number}), system="lb")


@pytest.mark.parametrize("number", ODD_NUMBERS)
@pytest.mark.parametrize("column", [c for c in server_state.COLUMNS if c not in ("be_name", "srv_name")])
async def test_a_state_that_is_no_number_is_an_error(column: str, number: str) -> None:
    with pytest.raises(AdapterError):
        await server_state.parse(state_table(**{column: number}), system="lb")


@pytest.mark.parametrize(("column", "value"), [("srv_admin_state", "128"), ("srv_op_state", "4")])
async def test_a_state_of_a_newer_haproxy_is_not_guessed(column: str, value: str) -> None:
    with pytest.raises(Retryable, match="does not know"):
        await server_state.parse(state_table(**{column: value}), system="lb")


@pytest.mark.parametrize(
    ("flags", "admin", "bound"),
    [
        *((0x00, "ready", None), (0x01, "maint", None), (0x02, "ready", Bound.MAINT), (0x03, "maint", Bound.MAINT)),
        *((0x04, "ready", None), (0x05, "maint", None), (0x08, "drain", None), (0x10, "ready", Bound.DRAIN)),
        *((0x18, "drain", Bound.DRAIN), (0x09, "maint", None), (0x12, "ready", Bound.MAINT), (0x20, "ready", Bound.UNRESOLVED)),
        *((0x22, "ready", Bound.UNRESOLVED), (0x40, "ready", None), (0x48, "drain", None), (0x41, "maint", None)),
    ],
)
async def test_the_flags_mean_what_haproxy_means(flags: int, admin: str, bound: Bound | None) -> None:
    """0x04 and 0x40 are memories of the configuration and of a changed name, not states; 0x02, 0x10 and 0x20 no command lifts."""
    states = await server_state.parse(state_table(srv_admin_state=str(flags)), system="lb")
    state = states["web"]["p1"]
    assert (state.admin, state.bound) == (AdminState(admin), bound)


async def test_columns_are_found_by_name_wherever_they_are() -> None:
    own = {"pxname": "web", "svname": "p1", "new": "x", "stot": "7", "hrsp_5xx": ""}
    fields = dict.fromkeys(reversed(STAT_COLUMNS), "0") | own
    text = f"# {','.join(fields)}\n{','.join(fields.values())}\n\n"
    assert (await stat.parse(text, system="lb"))["web", "p1"].attempts == 7


async def test_a_missing_column_is_named() -> None:
    with pytest.raises(AdapterError, match="no column wredis"):
        await stat.parse(stat_table().replace("wredis", "other"), system="lb")


async def test_a_comma_in_a_checks_description_shifts_nothing() -> None:
    text = stat_table(last_chk='"Service Unavailable, ""sorry"", come back"', qtime="3", ctime="4", rtime="5")
    assert (await stat.parse(text, system="lb"))["web", "p1"].latency_ms == 12


async def test_bytes_of_a_description_are_nobodys_business(tmp_path: Path) -> None:
    raw = stat_table(last_chk="?", stot="7").encode().replace(b"?", b"\xff\xe9") + END
    async with talker(tmp_path / "s", once(raw)):
        text = await stat.ask(RuntimeApi(f"unix:{tmp_path / 's'}", system="lb"), deadline_ms=DEADLINE_MS)
    assert (await stat.parse(text, system="lb"))["web", "p1"].attempts == 7


@pytest.mark.parametrize("bound", [1 << 20, math.inf], ids=["bounded", "without the bound"])
async def test_an_answer_that_never_ends_is_read_up_to_a_bound(bound: float, tmp_path: Path) -> None:
    """Without the bound it is read for as long as the deadline allows: here, until 32 MB have come."""
    enough = 32 << 20

    def so_much() -> Iterator[bytes]:
        sent = 0
        for piece in endless():
            yield piece
            sent += len(piece)
            if sent > enough:
                return

    async with talker(tmp_path / "s", so_much) as talking:
        api = RuntimeApi(f"unix:{tmp_path / 's'}", system="lb")
        with pytest.raises(Retryable):
            await api.ask([stat.SHOW_SERVERS], deadline_ms=DEADLINE_MS, at_most_bytes=bound)  # type: ignore[arg-type]
    if bound == math.inf:
        assert talking.sent > enough
    else:
        assert talking.sent < bound + (2 << 20), "the bound, and what the sockets hold"


@pytest.mark.parametrize("command", ["get var proc.x", "show info", "set server web/p1 weight 1"])
async def test_short_answers_have_a_short_bound(command: str, tmp_path: Path) -> None:
    async with talker(tmp_path / "s", endless) as talking:
        api = RuntimeApi(f"unix:{tmp_path / 's'}", system="lb")
        with pytest.raises(AdapterError, match="longer than"):
            if command.startswith("set"):
                await api.change([command], deadline_ms=DEADLINE_MS)
            else:
                await api.ask([command], deadline_ms=DEADLINE_MS)
    assert talking.sent < runtime_api.ANSWER_BYTES + (2 << 20)


async def test_a_change_whose_answer_never_ends_is_ambiguous(tmp_path: Path) -> None:
    api = RuntimeApi(f"unix:{tmp_path / 's'}", system="lb")
    async with talker(tmp_path / "s", endless):
        with pytest.raises(Ambiguous):
            await api.change(["set server web/p1 weight 1"], deadline_ms=DEADLINE_MS)


async def test_an_answer_that_drips_ends_at_the_deadline(tmp_path: Path) -> None:
    def drip() -> Iterator[bytes]:
        while True:
            yield b"0"

    async with talker(tmp_path / "s", drip, every_s=0.01):
        started_s = asyncio.get_running_loop().time()
        with pytest.raises(Retryable, match="within 300 ms"):
            await RuntimeApi(f"unix:{tmp_path / 's'}", system="lb").ask([stat.SHOW_SERVERS], deadline_ms=300)
        assert asyncio.get_running_loop().time() - started_s < DEADLINE_MS / 1000


@pytest.mark.parametrize("slice_characters", [rows.SLICE_CHARACTERS, 1 << 40], ids=["in slices", "in one piece"])
async def test_others_get_their_turn_while_a_large_table_is_read(
    slice_characters: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Turns of the loop are counted, not time. In one piece, and with rows of any length, nobody has a turn."""
    monkeypatch.setattr(rows, "SLICE_CHARACTERS", slice_characters)
    monkeypatch.setattr(rows, "ROW_CHARACTERS", max(slice_characters, rows.ROW_CHARACTERS))
    header, _, row = stat_table().partition("\n")
    text = header + "\n" + (row.rstrip("\n") + "\n") * 20_000
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await stat.parse(text, system="lb")
    task.cancel()
    slices = len(text) // rows.SLICE_CHARACTERS
    if slice_characters == 1 << 40:
        assert turns <= 2
    else:
        assert turns >= slices > 10
