"""RFC 2136 enactors against the real BIND, Knot and PowerDNS: fenced, atomic, honest about what they do not know."""

import asyncio
import base64
import subprocess
from collections.abc import Iterator
from pathlib import Path

import dns.update
import pytest

from contract.enactor_suite import ANYANG, CHAT, GASAN, PANGYO, SITES, WEB, steer, suite_topology
from servers import dns_servers
from servers.dns_servers import DnsServer
from siteshift.adapters.dns.exchange import Server, Transport
from siteshift.adapters.dns.resolve import look
from siteshift.adapters.dns.rfc2136_records import UpdateKey
from siteshift.core.model.codes import EnactOutcome
from siteshift.core.model.steering import ServiceSteering, Steering
from siteshift.core.model.topology import Pool, Service, Site, Topology
from siteshift.core.model.units import ServiceId
from siteshift.errors import Retryable

from .rfc2136_world import DEADLINE_MS, KEY, address, by_hand, enactor, found, until

pytestmark = pytest.mark.servers

FENCE = f"_siteshift.{dns_servers.ZONE}"
DRAINED = (0, 6_000, 4_000)


@pytest.fixture(params=list(dns_servers.LAUNCHERS))
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DnsServer]:
    with dns_servers.LAUNCHERS[request.param](tmp_path / request.param) as running:
        yield running


@pytest.fixture
def bind(tmp_path: Path) -> Iterator[DnsServer]:
    """For what does not depend on the make of the server."""
    with dns_servers.bind(tmp_path / "bind") as running:
        yield running


async def test_addresses_ttl_and_fence_arrive_together(server: DnsServer) -> None:
    writer = enactor(server)
    result = await writer.enact(steer(1, ttl_s=17), deadline_ms=DEADLINE_MS)
    assert result.outcome is EnactOutcome.APPLIED, result
    web = await found(server, "web.example.test")
    assert (len(web.values), web.ttl_s) == (10, 17)
    assert len((await found(server, "chat.example.test", "AAAA")).values) == 4
    fence = await found(server, FENCE, "TXT")
    assert fence.values == (f"gen=1 term=1 digest={steer(1, ttl_s=17).digest()}",)
    assert fence.ttl_s == 0


async def test_shares_that_addresses_cannot_express_are_read_back_as_they_are(server: DnsServer) -> None:
    writer = enactor(server)
    assert (await writer.enact(steer(1, (9_900, 100, 0)), deadline_ms=DEADLINE_MS)).outcome is EnactOutcome.APPLIED
    read = await writer.read_back(deadline_ms=DEADLINE_MS)
    assert read.shares_bp[WEB] == {PANGYO: 10_000}
    assert read.shares_bp[CHAT] == {PANGYO: 5_000, GASAN: 3_000, ANYANG: 2_000}


async def test_eight_racing_writers_never_win_twice(server: DnsServer) -> None:
    """All eight want generation n+1 with different steering: exactly one may have it, and it is the one that stays."""
    first = enactor(server)
    assert (await first.enact(steer(1), deadline_ms=DEADLINE_MS)).outcome is EnactOutcome.APPLIED
    for generation in range(2, 6):
        steerings = [steer(generation, (1_000 * n, 10_000 - 1_000 * n, 0)) for n in range(1, 9)]
        writers = [enactor(server, transport=(Transport.TCP, Transport.UDP)[n % 2]) for n in range(8)]
        results = await asyncio.gather(
            *(w.enact(s, deadline_ms=DEADLINE_MS) for w, s in zip(writers, steerings, strict=True))
        )
        winners = [i for i, result in enumerate(results) if result.outcome is EnactOutcome.APPLIED]
        losers = {result.outcome for i, result in enumerate(results) if i not in winners}
        assert len(winners) == 1, results
        assert losers == {EnactOutcome.STALE}, results
        read = await writers[winners[0]].read_back(deadline_ms=DEADLINE_MS)
        assert read.generation == generation and not read.drifts
        assert (await found(server, FENCE, "TXT")).values[0].endswith(steerings[winners[0]].digest())


async def test_a_wrong_secret_is_refused_in_clear_words(server: DnsServer) -> None:
    wrong = UpdateKey(name=KEY.name, secret=base64.b64encode(b"x" * 32).decode())
    result = await enactor(server, key=wrong).enact(steer(1), deadline_ms=DEADLINE_MS)
    assert result.outcome is EnactOutcome.REFUSED, result
    assert any(word in result.detail for word in ("BADSIG", "NOTAUTH", "REFUSED")), result.detail
    assert not (await found(server, "web.example.test")).values


async def test_an_unknown_key_is_refused_in_clear_words(server: DnsServer) -> None:
    unknown = UpdateKey(name="nobody", secret=KEY.secret)
    result = await enactor(server, key=unknown).enact(steer(1), deadline_ms=DEADLINE_MS)
    assert result.outcome is EnactOutcome.REFUSED, result
    assert any(word in result.detail for word in ("BADKEY", "NOTAUTH", "REFUSED")), result.detail


async def test_without_a_key_it_is_refused(server: DnsServer) -> None:
    result = await enactor(server, key=None).enact(steer(1), deadline_ms=DEADLINE_MS)
    assert result.outcome is EnactOutcome.REFUSED, result
    assert not (await found(server, FENCE, "TXT")).values


@pytest.mark.parametrize("transport", list(Transport))
async def test_a_stopped_process_makes_it_ambiguous_and_the_next_write_reads_first(
    server: DnsServer, transport: Transport
) -> None:
    writer = enactor(server, transport=transport)
    assert (await writer.enact(steer(1), deadline_ms=DEADLINE_MS)).outcome is EnactOutcome.APPLIED
    with server.paused():
        result = await writer.enact(steer(2, DRAINED), deadline_ms=300)
        assert result.outcome is EnactOutcome.AMBIGUOUS, result
        with pytest.raises(Retryable):
            await writer.read_back(deadline_ms=300)
    # The kernel kept the message: the server may still carry it out now. Whichever it was, the truth resolves.
    again = await writer.enact(steer(2, DRAINED), deadline_ms=DEADLINE_MS)
    assert again.outcome is EnactOutcome.APPLIED, again
    read = await writer.read_back(deadline_ms=DEADLINE_MS)
    assert (read.generation, read.shares_bp[WEB], read.drifts) == (2, {GASAN: 6_000, ANYANG: 4_000}, ())


async def test_a_server_that_hangs_before_the_fence_was_read_is_a_plain_failure(server: DnsServer) -> None:
    writer = enactor(server)
    with server.paused():
        result = await writer.enact(steer(1), deadline_ms=300)
        assert result.outcome is EnactOutcome.FAILED and "nothing was sent" in result.detail, result
    assert not (await found(server, FENCE, "TXT")).values


@pytest.mark.parametrize("transport", list(Transport))
async def test_a_server_that_is_down_is_a_failure_not_a_doubt(bind: DnsServer, transport: Transport) -> None:
    writer = enactor(bind, transport=transport)
    assert (await writer.enact(steer(1), deadline_ms=DEADLINE_MS)).outcome is EnactOutcome.APPLIED
    bind.stop()
    for _ in range(2):
        result = await writer.enact(steer(2), deadline_ms=DEADLINE_MS)
        assert result.outcome is EnactOutcome.FAILED and "refused the connection" in result.detail, result
    with pytest.raises(Retryable, match="refused"):
        await writer.read_back(deadline_ms=DEADLINE_MS)


async def test_a_record_edited_by_hand_is_reported_and_stands_until_a_new_generation(server: DnsServer) -> None:
    writer = enactor(server)
    assert (await writer.enact(steer(1), deadline_ms=DEADLINE_MS)).outcome is EnactOutcome.APPLIED

    def edit(message: dns.update.UpdateMessage) -> None:
        message.replace("web", 60, "A", "203.0.113.7")

    by_hand(server, edit)
    for _ in range(2):
        assert (await writer.enact(steer(1), deadline_ms=DEADLINE_MS)).outcome is EnactOutcome.APPLIED
        read = await writer.read_back(deadline_ms=DEADLINE_MS)
        (drift,) = read.drifts
        assert drift.what == f"web.example.test. A at {server.kind}" and drift.ours
        assert drift.found == "203.0.113.7 (TTL 60 s)" and "192.0.2.30" in drift.wanted
        assert read.shares_bp[WEB] == {}
        assert (await found(server, "web.example.test")).values == ("203.0.113.7",)
    assert (await writer.enact(steer(2), deadline_ms=DEADLINE_MS)).outcome is EnactOutcome.APPLIED
    read = await writer.read_back(deadline_ms=DEADLINE_MS)
    assert not read.drifts and read.shares_bp[WEB] == {PANGYO: 5_000, GASAN: 3_000, ANYANG: 2_000}


async def test_an_edit_is_seen_after_a_restart_too(bind: DnsServer) -> None:
    assert (await enactor(bind).enact(steer(1), deadline_ms=DEADLINE_MS)).outcome is EnactOutcome.APPLIED

    def edit(message: dns.update.UpdateMessage) -> None:
        message.delete("web", "A", "192.0.2.30")

    by_hand(bind, edit)
    restarted = enactor(bind, initial=steer(1))
    (drift,) = (await restarted.read_back(deadline_ms=DEADLINE_MS)).drifts
    assert drift.what == "web.example.test. A at bind"


async def test_an_edited_fence_is_refused_until_it_is_gone(server: DnsServer) -> None:
    writer = enactor(server)
    assert (await writer.enact(steer(1), deadline_ms=DEADLINE_MS)).outcome is EnactOutcome.APPLIED

    def scribble(message: dns.update.UpdateMessage) -> None:
        message.replace("_siteshift", 0, "TXT", '"hands off"')

    def clear(message: dns.update.UpdateMessage) -> None:
        message.delete("_siteshift", "TXT")

    by_hand(server, scribble)
    result = await writer.enact(steer(2), deadline_ms=DEADLINE_MS)
    assert result.outcome is EnactOutcome.REFUSED and "hands off" in result.detail, result
    read = await writer.read_back(deadline_ms=DEADLINE_MS)
    assert read.generation is None
    assert any(drift.found == "hands off" for drift in read.drifts)
    by_hand(server, clear)
    assert (await writer.enact(steer(2), deadline_ms=DEADLINE_MS)).outcome is EnactOutcome.APPLIED


async def test_a_fence_that_was_deleted_does_not_let_an_older_generation_in(bind: DnsServer) -> None:
    """The zone has forgotten; the node beside it has not. Writing the present generation again puts the fence back."""
    writer = enactor(bind)
    assert (await writer.enact(steer(5, DRAINED), deadline_ms=DEADLINE_MS)).outcome is EnactOutcome.APPLIED

    def clear(message: dns.update.UpdateMessage) -> None:
        message.delete("_siteshift", "TXT")

    by_hand(bind, clear)
    read = await writer.read_back(deadline_ms=DEADLINE_MS)
    assert read.generation is None
    (drift,) = read.drifts
    assert (drift.what, drift.found) == ("fence at bind", "nothing")
    for node in (writer, enactor(bind, initial=steer(5, DRAINED))):
        older = await node.enact(steer(4), deadline_ms=DEADLINE_MS)
        assert (older.outcome, older.found_generation) == (EnactOutcome.STALE, 5)
    assert (await writer.enact(steer(5, DRAINED), deadline_ms=DEADLINE_MS)).outcome is EnactOutcome.APPLIED
    read = await writer.read_back(deadline_ms=DEADLINE_MS)
    assert (read.generation, read.drifts) == (5, ())


async def test_what_is_not_ours_is_never_touched(server: DnsServer) -> None:
    """Other names, and other types at our own names."""

    def add(message: dns.update.UpdateMessage) -> None:
        message.add("web", 300, "TXT", '"put here by the mail team"')
        message.add("added", 300, "A", "203.0.113.44")

    by_hand(server, add)
    writer = enactor(server)
    for generation, shares in enumerate([(5_000, 3_000, 2_000), DRAINED, (10_000, 0, 0)], start=1):
        assert (await writer.enact(steer(generation, shares), deadline_ms=DEADLINE_MS)).outcome is EnactOutcome.APPLIED
    assert (await found(server, "foreign.example.test")).values == ("203.0.113.99",)
    assert (await found(server, "foreign.example.test", "TXT")).values == ("not ours",)
    assert (await found(server, "added.example.test")).values == ("203.0.113.44",)
    assert (await found(server, "web.example.test", "TXT")).values == ("put here by the mail team",)
    assert not (await writer.read_back(deadline_ms=DEADLINE_MS)).drifts


@pytest.mark.parametrize("tool", ["nsupdate", "knsupdate"])
async def test_the_zone_refuses_a_tool_that_requires_an_older_fence(server: DnsServer, tool: str) -> None:
    """The fence is plain RFC 2136: any tool that states what it read is held to it."""
    program = dns_servers.program(tool, {"nsupdate": "bind9-dnsutils", "knsupdate": "knot-dnsutils"}[tool])
    writer = enactor(server)
    assert (await writer.enact(steer(1), deadline_ms=DEADLINE_MS)).outcome is EnactOutcome.APPLIED
    read = (await found(server, FENCE, "TXT")).values[0]
    assert (await writer.enact(steer(2), deadline_ms=DEADLINE_MS)).outcome is EnactOutcome.APPLIED
    script = (
        f"server {server.host} {server.port}\nzone {dns_servers.ZONE}.\n"
        f'prereq yxrrset {FENCE}. TXT "{read}"\n'
        "update add foreign.example.test. 300 A 203.0.113.1\nsend\n"
    )
    secret = f"hmac-sha256:{KEY.name}:{KEY.secret}"
    done = await asyncio.to_thread(
        subprocess.run, [program, "-v", "-y", secret], input=script, capture_output=True, text=True, timeout=30
    )
    assert "NXRRSET" in done.stdout + done.stderr, done
    assert (await found(server, "foreign.example.test")).values == ("203.0.113.99",)


async def test_a_zone_it_is_not_authoritative_for(server: DnsServer) -> None:
    services = tuple(
        Service(id=s.id, names=(f"{s.id}.other.test",), tier=1, demand_rps=1, pools=s.pools)
        for s in suite_topology().services
    )
    topology = Topology(sites=suite_topology().sites, services=services)
    result = await enactor(server, zone="other.test", topology=topology).enact(steer(1), deadline_ms=DEADLINE_MS)
    assert result.outcome in (EnactOutcome.REFUSED, EnactOutcome.FAILED), result
    assert result.detail


async def test_no_instant_without_an_answer(server: DnsServer) -> None:
    """A client asking all the time while generations change never sees an empty or foreign answer set."""
    writer = enactor(server)
    assert (await writer.enact(steer(1), deadline_ms=DEADLINE_MS)).outcome is EnactOutcome.APPLIED
    done = asyncio.Event()
    legal = {frozenset((await found(server, "web.example.test")).values)}
    seen: set[frozenset[str]] = set()

    async def client() -> None:
        while not done.is_set():
            seen.add(frozenset((await found(server, "web.example.test")).values))

    async with asyncio.TaskGroup() as group:
        group.create_task(client())
        for generation in range(2, 10):
            shares = DRAINED if generation % 2 == 0 else (5_000, 3_000, 2_000)
            result = await writer.enact(steer(generation, shares), deadline_ms=DEADLINE_MS)
            assert result.outcome is EnactOutcome.APPLIED
            legal.add(frozenset((await found(server, "web.example.test")).values))
        done.set()
    assert frozenset() not in seen
    assert seen <= legal and len(legal) == 2


def many_services(count: int) -> tuple[Topology, Steering]:
    """More than a message holds when messages are kept small."""
    services = tuple(
        Service(
            id=ServiceId(f"s{n}"),
            names=(f"s{n}.example.test",),
            tier=1,
            demand_rps=1,
            pools=tuple(
                Pool(service=ServiceId(f"s{n}"), site=site, nominal_bp=0, answers=(f"10.{i}.0.{n % 250}",))
                for i, site in enumerate(SITES)
            ),
        )
        for n in range(count)
    )
    entries = tuple(
        ServiceSteering(service=service.id, shares_bp=dict.fromkeys(SITES, 3_333), members_pm={}, ttl_s=30)
        for service in services
    )
    steering = Steering(generation=1, term=1, decided_at_ms=0, services=entries)
    return Topology(sites=tuple(Site(id=site) for site in SITES), services=services), steering


async def test_a_large_steering_goes_in_parts_that_hang_together(server: DnsServer) -> None:
    topology, steering = many_services(25)
    writer = enactor(server, topology=topology, rrsets_per_message=10)
    result = await writer.enact(steering, deadline_ms=DEADLINE_MS)
    assert result.outcome is EnactOutcome.APPLIED, result
    read = await writer.read_back(deadline_ms=DEADLINE_MS)
    assert read.generation == 1 and not read.drifts and len(read.shares_bp) == 25
    assert all(sum(shares.values()) >= 9_999 for shares in read.shares_bp.values())


async def test_a_write_cut_off_between_parts_is_reported_and_finished_by_the_next(bind: DnsServer) -> None:
    topology, steering = many_services(25)
    assert (await enactor(bind, topology=topology, rrsets_per_message=10).enact(steering, deadline_ms=1)).outcome in (
        EnactOutcome.FAILED,
        EnactOutcome.AMBIGUOUS,
    )
    partial = f"gen=1 term=1 digest={steering.digest()} part=2/5"

    def half(message: dns.update.UpdateMessage) -> None:
        message.replace("_siteshift", 0, "TXT", f'"{partial}"')

    by_hand(bind, half)
    other = enactor(bind, topology=topology, rrsets_per_message=10)
    read = await other.read_back(deadline_ms=DEADLINE_MS)
    assert read.generation is None
    assert any(drift.found == partial for drift in read.drifts)
    assert (await other.enact(steering, deadline_ms=DEADLINE_MS)).outcome is EnactOutcome.APPLIED
    read = await other.read_back(deadline_ms=DEADLINE_MS)
    assert read.generation == 1 and not read.drifts


async def test_every_authoritative_server_is_asked(tmp_path: Path) -> None:
    """A secondary that transfers from the primary counts; one that is down is a drift, and the rest still speaks."""
    port = dns_servers.free_port()
    with dns_servers.bind(tmp_path / "primary", also_notify=port) as primary:
        with dns_servers.bind_secondary(tmp_path / "secondary", primary.port, port) as secondary:
            writer = enactor(primary, also=(address(secondary, "second"),))
            assert (await writer.enact(steer(1), deadline_ms=DEADLINE_MS)).outcome is EnactOutcome.APPLIED

            async def agreed() -> bool:
                return not (await writer.read_back(deadline_ms=DEADLINE_MS)).drifts

            await until(agreed)
            assert (await writer.read_back(deadline_ms=DEADLINE_MS)).generation == 1

            with secondary.paused():
                assert (await writer.enact(steer(2), deadline_ms=DEADLINE_MS)).outcome is EnactOutcome.APPLIED
                read = await writer.read_back(deadline_ms=1_000)
                assert {drift.what for drift in read.drifts} == {"server second"}
                assert read.generation == 2
            await until(agreed)
        read = await writer.read_back(deadline_ms=DEADLINE_MS)
        (drift,) = read.drifts
        assert drift.what == "server second" and "refused" in drift.found


async def test_a_server_that_lags_behind_is_named(tmp_path: Path) -> None:
    with dns_servers.bind(tmp_path / "one") as one, dns_servers.knot(tmp_path / "two") as two:
        both = enactor(one, also=(address(two),))
        alone = enactor(two)
        assert (await alone.enact(steer(1, DRAINED), deadline_ms=DEADLINE_MS)).outcome is EnactOutcome.APPLIED
        assert (await both.enact(steer(2), deadline_ms=DEADLINE_MS)).outcome is EnactOutcome.APPLIED
        read = await both.read_back(deadline_ms=DEADLINE_MS)
        assert read.generation == 1
        (lag,) = [drift for drift in read.drifts if drift.what == "generation at knot"]
        assert lag.wanted.startswith("gen=2 ") and lag.found.startswith("gen=1 ")
        assert read.shares_bp[WEB] == {PANGYO: 2_500, GASAN: 4_500, ANYANG: 3_000}


async def test_nobody_there_at_all() -> None:
    port = dns_servers.free_port()
    gone = Server(name="gone", host="127.0.0.1", port=port)
    for transport in Transport:
        with pytest.raises(Retryable, match="refused"):
            await look(gone, "web.example.test", deadline_ms=DEADLINE_MS, transport=transport)
