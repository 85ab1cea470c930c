"""An enactor for any zone that takes RFC 2136 updates: BIND, Knot, PowerDNS and others.

One generation is one signed update that requires the fence it read (see `fence`) and replaces it together with the
addresses of all steered names, so the zone itself refuses whoever comes late. Beyond about 1,000 RRsets a generation
takes several messages; the fence then counts the parts, each part is atomic and conditional on the one before, and a
write that was cut off is finished (or overtaken) by the next.

Law 14: of our names only the A and AAAA RRsets are written; a change made there by hand is reported in `read_back` and
stands until a new generation is enacted. Nothing else in the zone is ever mentioned.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import dns.name

from siteshift.adapters.dns.fence import Fence, fence_of
from siteshift.adapters.dns.rfc2136_look import (
    Fences,
    Reference,
    ServerView,
    delivered,
    drifts_of,
    read_fences,
    sites_by_address,
    view_server,
)
from siteshift.adapters.dns.rfc2136_records import (
    Rfc2136Config,
    WantedName,
    batches,
    names_in_zone,
    update_message,
    wanted_names,
)
from siteshift.adapters.dns.rfc2136_send import Fate, Sent, send_update
from siteshift.adapters.dns.targets import canonical
from siteshift.core.model.codes import EnactOutcome
from siteshift.core.model.mark import MarkClaim, PlaneMark, claim_of, is_of
from siteshift.core.model.steering import EnactResult, ReadBack, Steering
from siteshift.core.model.topology import Topology
from siteshift.core.model.units import EnactorId
from siteshift.errors import AdapterError, Retryable
from siteshift.ports import Clock

ROUNDS_MAX = 4
"""Times a newer generation may be overtaken by older ones within one call; each was certainly not written."""
KNOWN_MAX = 4
"""Steerings remembered for comparison: the one in the zone and those whose fate was unknown."""


@dataclass(frozen=True, slots=True)
class _Verdict:
    outcome: EnactOutcome
    detail: str = ""
    found_generation: int | None = None
    found_mark: PlaneMark | None = None


class _Deadline:
    """What is left of a call's time."""

    def __init__(self, deadline_ms: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = self._loop.time() + deadline_ms / 1000

    def left_ms(self) -> int:
        return max(0, int((self._end - self._loop.time()) * 1000))


_OUTCOMES = {
    Fate.REFUSED: EnactOutcome.REFUSED,
    Fate.FAILED: EnactOutcome.FAILED,
    Fate.UNKNOWN: EnactOutcome.AMBIGUOUS,
}


class Rfc2136Enactor:
    """Steers the names of one zone by DNS update. Safe to run on several nodes at once."""

    def __init__(
        self,
        id: EnactorId,
        topology: Topology,
        config: Rfc2136Config,
        clock: Clock,
        *,
        initial: Steering | None = None,
    ) -> None:
        """Raises ValueError for a key that cannot be used. ``initial`` is what a former process enacted, so that drift
        shows at once."""
        if config.key is not None:
            config.key.key()
        self._id = id
        self._config = config
        self._clock = clock
        self._services = topology.service_by_id
        self._sites = sites_by_address(topology.services)
        self._names = names_in_zone(topology.services, config.zone_name)
        self._known: dict[str, dict[dns.name.Name, WantedName]] = {}
        self._fences: Fences | None = None
        self._written: Fence | None = None
        self._writing = asyncio.Lock()
        if initial is not None:
            self._written = fence_of(initial, config.signer)
            self._remember(self._written, self._wanted(initial))

    @property
    def id(self) -> EnactorId:
        return self._id

    async def close(self) -> None:
        """Nothing is kept open between calls."""

    async def enact(self, steering: Steering, *, deadline_ms: int) -> EnactResult:
        """Write a generation. What was read or written last is expected; after a doubt the fence is read first."""
        deadline = _Deadline(deadline_ms)
        try:
            async with asyncio.timeout(deadline_ms / 1000):
                await self._writing.acquire()
        except TimeoutError:
            verdict = _Verdict(EnactOutcome.FAILED, "another write to this zone took all the time: nothing was sent")
            return self._result(steering, verdict)
        try:
            verdict = await self._enact(steering, deadline)
        except AdapterError as error:
            verdict = _Verdict(EnactOutcome.FAILED, f"the fence cannot be read, nothing was sent: {error}")
        finally:
            self._writing.release()
        return self._result(steering, verdict)

    async def read_back(self, *, deadline_ms: int) -> ReadBack:
        """Ask every authoritative server. Raises `Retryable` when none answers; one that is silent is a drift.

        The generation is the oldest that an answering server holds completely; None when one holds none.
        """
        names = [name for own in self._names.values() for name in own]
        zone, fence_name = self._config.zone_name, self._config.fence_name
        asked = self._config.asked
        results = await asyncio.gather(
            *(view_server(server, zone, fence_name, names, deadline_ms=deadline_ms) for server in asked),
            return_exceptions=True,
        )
        views: list[ServerView] = []
        silent = {}
        for server, result in zip(asked, results, strict=True):
            if isinstance(result, ServerView):
                views.append(result)
            elif isinstance(result, AdapterError):
                silent[server] = result.detail
            else:
                raise result
        if not views:
            detail = "; ".join(f"{server}: {text}" for server, text in silent.items())
            raise Retryable(detail, system=f"dns {self._id}", operation="read back", target=self._config.zone)
        fences = [view.fences.fence for view in views if view.fences.fence is not None]
        strangers = [fence for fence in fences if not self._is_ours(fence)]
        whole = [fence for fence in fences if fence.complete]
        is_whole = len(whole) == len(views) and not strangers
        shown = min(strangers or fences, key=lambda fence: fence.generation, default=None)
        return ReadBack(
            enactor=self._id,
            at_ms=self._clock.now_ms(),
            generation=min(fence.generation for fence in whole) if is_whole else None,
            mark=shown.mark if shown is not None else None,
            shares_bp=delivered(views, self._names, self._sites),
            drifts=drifts_of(views, silent, self._reference()),
        )

    def _is_ours(self, fence: Fence) -> bool:
        return self._config.signer is None or is_of(fence.mark, self._config.signer)

    async def _enact(self, steering: Steering, deadline: _Deadline) -> _Verdict:
        whole = await asyncio.to_thread(fence_of, steering, self._config.signer)
        if self._written is not None and whole.generation < self._written.generation:
            detail = f"this node has written {self._written.text()}, whatever the zone reads now"
            return _Verdict(EnactOutcome.STALE, detail, self._written.generation)
        sent = Sent(Fate.OVERTAKEN)
        for _ in range(ROUNDS_MAX):
            remembered = self._fences is not None
            if self._fences is None:
                self._fences = await read_fences(
                    self._config.primary, self._config.fence_name, deadline_ms=max(1, deadline.left_ms() // 2)
                )
            verdict = await self._admit(steering, whole, self._fences)
            if verdict is not None and remembered:
                self._fences = None  # good enough to write by, for the zone checks it; not to answer from
                continue
            if verdict is not None:
                return verdict
            sent = await self._write(steering, whole, self._fences, deadline)
            if sent.fate is Fate.DONE:
                return _Verdict(EnactOutcome.APPLIED, "", steering.generation)
            if sent.fate is not Fate.OVERTAKEN:
                return _Verdict(_OUTCOMES[sent.fate], sent.detail)
        return _Verdict(EnactOutcome.FAILED, f"overtaken {ROUNDS_MAX} times by other writers: {sent.detail}")

    async def _admit(self, steering: Steering, whole: Fence, found: Fences) -> _Verdict | None:
        """Whether the zone may be written at all; None: yes."""
        if found.foreign:
            detail = f"the fence {self._config.fence_name} reads {found}: changed by hand; delete it to let us write"
            self._fences = None
            return _Verdict(EnactOutcome.REFUSED, detail)
        fence = found.fence
        if fence is None:
            return None
        match claim_of(fence.mark, whole.mark, taken_over=steering.taken_over):
            case MarkClaim.FOREIGN:
                detail = f"the zone carries {fence.mark}: two controllers write to it; nothing was written"
                return _Verdict(EnactOutcome.REFUSED, detail, found_mark=fence.mark)
            case MarkClaim.NEWER:
                return _Verdict(EnactOutcome.STALE, f"the zone reads {fence.text()}", fence.generation)
            case MarkClaim.FREE:
                pass
        if (fence.generation, fence.term) != (steering.generation, steering.term):
            return None
        if fence.digest != whole.digest:
            detail = f"the zone reads {fence.text()}: the same generation with other steering"
            return _Verdict(EnactOutcome.STALE, detail, fence.generation)
        if not fence.complete:
            return None
        if fence.text() not in self._known:
            self._remember(whole, await asyncio.to_thread(self._wanted, steering))
        return _Verdict(EnactOutcome.APPLIED, "already there", fence.generation)

    async def _write(self, steering: Steering, whole: Fence, found: Fences, deadline: _Deadline) -> Sent:
        """Send the generation, part by part. The fence is known again only when the last part was confirmed."""
        wanted = await asyncio.to_thread(self._wanted, steering)
        parts = list(batches(wanted.values(), self._config.zone_name, self._config.rrsets_per_message))
        expect = found.texts[0] if found.texts else None
        self._remember(whole, wanted)
        self._fences = None
        for number, batch in enumerate(parts, start=1):
            fence = replace(whole, part=number, parts=len(parts)).text()
            message, wire = await asyncio.to_thread(update_message, self._config, batch, expect=expect, fence=fence)
            if deadline.left_ms() == 0:
                return Sent(Fate.FAILED, f"no time left before part {number} of {len(parts)} was sent")
            primary, transport = self._config.primary, self._config.transport
            sent = await send_update(message, wire, primary, transport, deadline_ms=deadline.left_ms())
            if sent.fate is not Fate.DONE:
                return sent
            expect = fence
        self._fences = Fences(texts=(whole.text(),))
        self._written = whole
        return Sent(Fate.DONE)

    def _wanted(self, steering: Steering) -> dict[dns.name.Name, WantedName]:
        """What the zone should hold. Thousands of names take long: called in a thread, touches nothing that changes."""
        return wanted_names(steering, self._services, self._names, self._config.addresses_max)

    def _remember(self, whole: Fence, wanted: dict[dns.name.Name, WantedName]) -> None:
        """Know what a zone with this fence should hold."""
        text = whole.text()
        self._known.pop(text, None)
        self._known[text] = wanted
        while len(self._known) > KNOWN_MAX:
            del self._known[next(iter(self._known))]

    def _reference(self) -> Reference:
        ours = (pool.answers for service in self._services.values() for pool in service.pools)
        shed = (service.shed_answers for service in self._services.values())
        return Reference(
            enactor=self._id,
            wanted=dict(self._known),
            written=self._written,
            ours=frozenset(canonical(address) for addresses in (*ours, *shed) for address in addresses),
        )

    def _result(self, steering: Steering, verdict: _Verdict) -> EnactResult:
        return EnactResult(
            enactor=self._id,
            generation=steering.generation,
            outcome=verdict.outcome,
            at_ms=self._clock.now_ms(),
            detail=verdict.detail,
            found_generation=verdict.found_generation,
            found_mark=verdict.found_mark,
        )
