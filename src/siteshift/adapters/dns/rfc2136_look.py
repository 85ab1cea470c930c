"""Reading a zone back from every authoritative server, and what differs from what it should hold."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import dns.name

from siteshift.adapters.dns.exchange import Server
from siteshift.adapters.dns.fence import Fence, parse_fence
from siteshift.adapters.dns.resolve import Answer, look
from siteshift.adapters.dns.rfc2136_records import WantedName
from siteshift.adapters.dns.targets import Family, canonical
from siteshift.core.model.steering import Drift
from siteshift.core.model.topology import Service
from siteshift.core.model.units import WHOLE_BP, EnactorId, ServiceId, SiteId
from siteshift.errors import Retryable

ABREAST = 16
"""Questions in flight to one server."""

Key = tuple[dns.name.Name, Family]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fences:
    """What stands at the fence's name: ``texts`` may be none, one, or (by hand) several."""

    texts: tuple[str, ...]

    @property
    def fence(self) -> Fence | None:
        return parse_fence(self.texts[0]) if len(self.texts) == 1 else None

    @property
    def foreign(self) -> bool:
        """Something stands there that nobody of ours wrote."""
        return bool(self.texts) and self.fence is None

    def __str__(self) -> str:
        return " | ".join(self.texts) or "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerView:
    """What one server answers."""

    server: Server
    serial: int
    fences: Fences
    answers: Mapping[Key, Answer]


async def read_fences(server: Server, fence_name: dns.name.Name, *, deadline_ms: int) -> Fences:
    """What stands at the fence. Raises `Retryable` when the server gives no usable answer."""
    answer = await _ask(server, fence_name, "TXT", deadline_ms)
    return Fences(texts=answer.values)


async def view_server(
    server: Server, zone: dns.name.Name, fence_name: dns.name.Name, names: Iterable[dns.name.Name], *, deadline_ms: int
) -> ServerView:
    """Ask one server for everything of ours. Raises `Retryable`: a server is seen whole or not at all."""
    loop = asyncio.get_running_loop()
    end = loop.time() + deadline_ms / 1000
    soa = await _ask(server, zone, "SOA", max(1, deadline_ms // 2))
    if not soa.values:
        raise Retryable("no SOA", system=f"dns {server.name}", operation="read back", target=str(zone))

    def left_ms() -> int:
        return max(1, int((end - loop.time()) * 1000))

    fences = await read_fences(server, fence_name, deadline_ms=left_ms())
    keys = iter([(name, family) for name in names for family in Family])
    answers: dict[Key, Answer] = {}

    async def ask_on() -> None:
        for name, family in keys:
            answers[name, family] = await _ask(server, name, family.record_type, left_ms())

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(ABREAST):
                group.create_task(ask_on())
    except ExceptionGroup as errors:
        unread, other = errors.split(Retryable)
        if unread is None or other is not None:
            raise
        raise unread.exceptions[0] from None
    return ServerView(server=server, serial=int(soa.values[0].split()[2]), fences=fences, answers=answers)


async def _ask(server: Server, name: dns.name.Name, kind: str, deadline_ms: int) -> Answer:
    answer = await look(server, name.to_text(), kind, deadline_ms=deadline_ms)
    if answer.rcode not in ("NOERROR", "NXDOMAIN"):
        raise Retryable(answer.rcode, system=f"dns {server.name}", operation="read back", target=f"{name} {kind}")
    return answer


def delivered(
    views: Sequence[ServerView],
    names: Mapping[ServiceId, tuple[dns.name.Name, ...]],
    sites: Mapping[ServiceId, Mapping[str, SiteId]],
) -> dict[ServiceId, dict[SiteId, int]]:
    """The shares the servers together deliver: the mean over servers and names of each site's part of the addresses.

    A name with both families counts by its IPv4 addresses. Addresses that belong to no site take their part with them.
    """
    return {
        service: _mean([_parts(view, name, sites[service]) for view in views for name in own])
        for service, own in names.items()
    }


def _parts(view: ServerView, name: dns.name.Name, site_of: Mapping[str, SiteId]) -> dict[SiteId, int]:
    addresses = view.answers[name, Family.V4].values or view.answers[name, Family.V6].values
    counts: dict[SiteId, int] = {}
    for address in addresses:
        if address in site_of:
            counts[site_of[address]] = counts.get(site_of[address], 0) + 1
    return {site: count * WHOLE_BP // len(addresses) for site, count in counts.items()}


def _mean(parts: Sequence[dict[SiteId, int]]) -> dict[SiteId, int]:
    total: dict[SiteId, int] = {}
    for one in parts:
        for site, share_bp in one.items():
            total[site] = total.get(site, 0) + share_bp
    return {site: share_bp // len(parts) for site, share_bp in total.items()}


def sites_by_address(services: Iterable[Service]) -> dict[ServiceId, dict[str, SiteId]]:
    """Which site each address of a service belongs to."""
    return {
        service.id: {canonical(address): pool.site for pool in service.pools for address in pool.answers}
        for service in services
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What views are compared with.

    ``wanted`` are the steerings we know by the text of their fence, ``written`` is the fence of our last confirmed
    write, ``ours`` every address of the configuration.
    """

    enactor: EnactorId
    wanted: Mapping[str, Mapping[dns.name.Name, WantedName]]
    written: Fence | None
    ours: frozenset[str]


def drifts_of(views: Sequence[ServerView], silent: Mapping[Server, str], reference: Reference) -> tuple[Drift, ...]:
    """Everything that is not as it should be, server by server."""
    found = [*_silent_drifts(silent, reference.enactor), *_lag_drifts(views, reference.enactor)]
    for view in views:
        found += _fence_drifts(view, reference)
        found += _record_drifts(view, reference)
    return tuple(found)


def _silent_drifts(silent: Mapping[Server, str], enactor: EnactorId) -> Iterator[Drift]:
    for server, detail in silent.items():
        yield Drift(enactor=enactor, what=f"server {server.name}", wanted="an answer", found=detail, ours=True)


def _lag_drifts(views: Sequence[ServerView], enactor: EnactorId) -> Iterator[Drift]:
    """Servers that hold another fence or another serial than the one that is furthest."""
    newest = max(views, key=lambda view: (view.fences.fence.generation if view.fences.fence else -1, view.serial))
    for view in views:
        if view.fences != newest.fences:
            what, wanted, found = "generation", str(newest.fences), str(view.fences)
        elif view.serial != newest.serial:
            what, wanted, found = "serial", str(newest.serial), str(view.serial)
        else:
            continue
        yield Drift(enactor=enactor, what=f"{what} at {view.server.name}", wanted=wanted, found=found, ours=True)


def _fence_drifts(view: ServerView, reference: Reference) -> Iterator[Drift]:
    fence = view.fences.fence
    if not view.fences.texts and reference.written is not None:
        wanted = reference.written.text()
    elif view.fences.foreign:
        wanted = "one fence written by siteshift, or none"
    elif fence is not None and not fence.complete:
        wanted = "a completely written generation"
    else:
        return
    what = f"fence at {view.server.name}"
    yield Drift(enactor=reference.enactor, what=what, wanted=wanted, found=str(view.fences), ours=True)


def _record_drifts(view: ServerView, reference: Reference) -> Iterator[Drift]:
    """Records that differ from the steering this server claims; without knowing it, addresses that nobody owns."""
    known = str(view.fences) in reference.wanted
    wanted = reference.wanted.get(str(view.fences), {})
    for (name, family), answer in view.answers.items():
        what = f"{name} {family.record_type} at {view.server.name}"
        found = frozenset(answer.values)
        if name in wanted:
            should = frozenset(wanted[name].addresses.get(family, ()))
            late = bool(found) and answer.ttl_s != wanted[name].ttl_s
            if found != should or late:
                texts = (_text(should, wanted[name].ttl_s), _text(found, answer.ttl_s))
                yield Drift(enactor=reference.enactor, what=what, wanted=texts[0], found=texts[1], ours=True)
        elif known and found:
            nowhere = "no address: the steering leads nowhere"
            kept = _text(found, answer.ttl_s) + ", kept"
            yield Drift(enactor=reference.enactor, what=what, wanted=nowhere, found=kept, ours=True)
        elif strangers := found - reference.ours:
            nobody = ", ".join(sorted(strangers))
            yield Drift(
                enactor=reference.enactor, what=what, wanted="addresses of the configuration", found=nobody, ours=True
            )


def _text(addresses: frozenset[str], ttl_s: int) -> str:
    return f"{', '.join(sorted(addresses))} (TTL {ttl_s} s)" if addresses else "no address"
