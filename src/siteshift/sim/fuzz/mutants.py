"""Deliberate bugs, planted into the core one at a time, to show that the fuzz finds them.

Each one patches a single function, the way a hurried change would. A bug that stays unfound means that a checker is
blind, not that the bug is harmless. `docs/SAFETY.md` lists which seed finds which, and by what.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from siteshift.core.beliefs import lives, overload
from siteshift.core.beliefs.life import AWAY, Signal
from siteshift.core.decide import carrying, envelope, gate, steering
from siteshift.core.decide.situation import Situation
from siteshift.core.enact import planes
from siteshift.core.judge import everywhere, quorum, served
from siteshift.core.model.cause import Cause
from siteshift.core.model.codes import EnactOutcome, FindingCode, MemberRole, StandbyPhase, Standing
from siteshift.core.model.evidence import VantageReport
from siteshift.core.model.finding import Finding
from siteshift.core.model.override import Forced
from siteshift.core.model.steering import EnactResult, ReadBack, ServiceSteering, Steering
from siteshift.core.model.topology import Pool
from siteshift.core.model.units import MemberId, TargetId
from siteshift.core.operate import approval
from siteshift.core.plan import apply, derive, next_step, warnings
from siteshift.core.state.draft import Draft
from siteshift.core.state.tracks import PlaneStanding
from siteshift.sim.world.planes import Plane

Function = Callable[..., Any]
LONG_MS = 60_000


class Patch(NamedTuple):
    """``original`` is replaced wherever it is used; ``bug`` gets the original and makes its stand-in."""

    original: Function
    bug: Callable[[Function], Function]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One deliberate bug; of more than one patch where the core has more than one line of defence."""

    name: str
    says: str
    patches: tuple[Patch, ...]


@contextmanager
def planted(mutant: Mutant | None) -> Iterator[None]:
    """The core with this bug in it, for as long as the block lasts; None: as it is."""
    if mutant is None:
        yield
        return
    undo: list[tuple[object, str, Function]] = []
    try:
        for original, bug in mutant.patches:
            found = list(_places(original))
            if not found:
                raise LookupError(f"nothing uses {original.__qualname__}: the mutant {mutant.name} has lost its target")
            stand_in = bug(original)
            for owner, name in found:
                setattr(owner, name, stand_in)
                undo.append((owner, name, original))
        yield
    finally:
        for owner, name, original in undo:
            setattr(owner, name, original)


def _places(original: Function) -> Iterator[tuple[object, str]]:
    """Every module of ours that holds the function under some name, and the class it is a method of."""
    owner, _, method = original.__qualname__.rpartition(".")
    for name, module in sorted(sys.modules.items()):
        if not name.startswith("siteshift."):
            continue
        for key, value in list(vars(module).items()):
            if value is original:
                yield module, key
    home = vars(sys.modules[original.__module__]).get(owner)
    if home is not None:
        yield home, method


def _without(*codes: FindingCode) -> Callable[[Function], Function]:
    """Whoever finds what stands in the way, without some of its rules."""

    def bug(original: Function) -> Function:
        def judge(*about: Any) -> Sequence[Finding]:
            found: Sequence[Finding] = original(*about)
            return type(found)(entry for entry in found if entry.code not in codes)  # type: ignore[call-arg]  # a tuple or a list, as it came

        return judge

    return bug


def _one_vantage(original: Function) -> Function:
    def combine(target: TargetId, voters: Sequence[VantageReport], now_ms: int) -> quorum.Verdict:
        for report in voters:
            view = report.views.get(target)
            if view is not None and view.standing in quorum.BAD:
                return quorum.Verdict(view=view, accusers=(report.vantage,), carried=True)
        verdict: quorum.Verdict = original(target, voters, now_ms)
        return verdict

    return combine


def _no_tail(original: Function) -> Function:
    def note_move(draft: Draft, situation: Situation, after: ServiceSteering, cause: Cause) -> None:
        original(draft, situation, after, cause)
        draft.set_transition(situation.service.id, tail_until_ms=draft.now_ms)

    return note_move


def _same_number(original: Function) -> Function:
    def steer(draft: Draft, *rest: Any) -> None:
        before = draft.state.steering
        original(draft, *rest)
        if draft.state.steering != before and before.generation > 1:
            draft.set(steering=replace(draft.state.steering, generation=before.generation))

    return steer


def _old_plan(original: Function) -> Function:
    last: dict[object, Steering] = {}

    def part_for(wanted: Steering, plane: object, modes: Mapping[Any, Any]) -> Steering:
        part: Steering = original(wanted, plane, modes)
        key = (plane, wanted.services[0].service if wanted.services else "")
        old = last.get(key, part)
        last[key] = part
        return old if old.generation == part.generation - 1 else part

    return part_for


def _unknown_is_dead(original: Function) -> Function:
    def evidence_of(state: Any, policy: Any, service: Any, site: Any) -> Signal:
        pool = state.picture.pools.get((service, site))
        if pool is not None and pool.standing is Standing.UNKNOWN:
            return Signal.DEAD
        signal: Signal = original(state, policy, service, site)
        return signal

    return evidence_of


def _nothing_is_global(original: Function) -> Function:
    del original
    return lambda *_: everywhere.Everywhere()


def _cold_standby(original: Function) -> Function:
    def pool_members(situation: Situation, pool: Pool) -> dict[MemberId, int]:
        found: dict[MemberId, int] = dict(original(situation, pool))
        for member in pool.members:
            if member.role is MemberRole.STANDBY and situation.phase(member) is StandbyPhase.STARTING:
                found[member.id] = 1_000
        return found

    return pool_members


def _twice_the_capacity(original: Function) -> Function:
    def active_rps(self: Situation, pool: Pool) -> int:
        return 2 * int(original(self, pool))

    return active_rps


def _write_again(original: Function) -> Function:
    def absorb_result(draft: Draft, result: EnactResult) -> bool:
        changed = bool(original(draft, result))
        if result.outcome is EnactOutcome.AMBIGUOUS:
            behind, later_ms = PlaneStanding.BEHIND, draft.now_ms + LONG_MS
            draft.set_plane(result.enactor, standing=behind, confirmed_generation=None, next_read_ms=later_ms)
        return changed

    return absorb_result


def _crush_drift(original: Function) -> Function:
    def absorb_reading(draft: Draft, reading: ReadBack) -> bool:
        changed = bool(original(draft, reading))
        if reading.drifts and draft.state.plane(reading.enactor).standing is PlaneStanding.IN_STEP:
            draft.set_plane(reading.enactor, standing=PlaneStanding.BEHIND, confirmed_generation=None, sent_generation=-1)
            return True
        return changed

    return absorb_reading


def _always(original: Function) -> Function:
    del original
    return lambda _: True


def _no_fence(original: Function) -> Function:
    def write(self: Plane, wanted: Steering, at_ms: int) -> EnactResult:
        if self.generation is not None and wanted.generation <= self.generation:
            self.generation, self.steering = None, None
        result: EnactResult = original(self, wanted, at_ms)
        return result

    return write


def _nothing(original: Function) -> Function:
    del original
    return lambda *_, **__: None


def _nobody(original: Function) -> Function:
    del original
    return lambda *_, **__: set()


def _nobody_else(original: Function) -> Function:
    del original
    return lambda _: 0


def _nobody_forces(original: Function) -> Function:
    def signal_of(state: Any, policy: Any, forced: Any, service: Any, site: Any) -> Signal:
        del forced
        signal: Signal = original(state, policy, Forced(), service, site)
        return signal

    return signal_of


def _nothing_is_last(original: Function) -> Function:
    del original
    return lambda self, site: self.tracks[site].life in AWAY


def _to_the_brim(original: Function) -> Function:
    del original
    return lambda self, pool: self.open_rps(pool)


def _mutant(name: str, says: str, original: Function, bug: Callable[[Function], Function], *more: Patch) -> Mutant:
    return Mutant(name=name, says=says, patches=(Patch(original, bug), *more))


_C = FindingCode
MUTANTS: Mapping[str, Mutant] = {
    entry.name: entry
    for entry in (
        _mutant(
            "last-site",
            "nobody knows the last site: not the gate, not who answers people, not who shares out",
            gate.examine,
            _without(_C.LAST_SERVING_SITE),
            Patch(warnings.room_findings, _without(_C.LAST_SERVING_SITE)),
            Patch(Situation.away, _nothing_is_last),
        ),
        _mutant("one-vantage", "one vantage's word is enough, whatever the others see", quorum.combine, _one_vantage),
        _mutant("old-ttl", "a move forgets the TTL of the answers given before", apply.note_move, _no_tail),
        _mutant("same-number", "a new steering goes out under the old generation", derive.new_generation, _same_number),
        _mutant("old-plan", "the plan before the present one is sent", planes._part_for, _old_plan),
        _mutant("unknown-is-down", "a site nobody knows about counts as dead", lives._evidence_of, _unknown_is_dead),
        _mutant("global-drain", "a fault at every site is a fault of each", everywhere.hold_or_global, _nothing_is_global),
        _mutant("cold-standby", "a standby gets traffic while it starts", steering._pool_members, _cold_standby),
        _mutant("over-limit", "members are taken to carry twice what they do", Situation.active_rps, _twice_the_capacity),
        _mutant("write-again", "an ambiguous write is repeated unread", planes.absorb_result, _write_again),
        _mutant("crush-drift", "a change made by hand is overwritten", planes.absorb_reading, _crush_drift),
        _mutant("off-switch", "the gate does not know the off switch", gate.examine, _without(_C.SWITCHED_OFF)),
        _mutant("no-store", "store and term are not asked for", next_step.may_write_at_all, _always),
        _mutant("deaf", "what people drain is granted, and forgotten", lives.signal_of, _nobody_forces),
        _mutant("unbound", "no step is held to what was approved", envelope.held_to_envelope, _nothing),
        _mutant(
            "alone",
            "what takes the approval of others is granted to who asks, and nobody misses it",
            approval.others_needed,
            _nobody_else,
            Patch(approval.lacks, _nothing),
        ),
        _mutant("no-fence", "a data plane takes an older generation", Plane.write, _no_fence),
        _mutant("no-cap", "a site that failed for its load may have all again at once", carrying._noted, _nothing),
        _mutant("unheard", "what a meter counts says nothing against checks that fail", served.heed, _nobody),
        _mutant("full-is-sick", "a site that carries less than the file says is sick", overload._carries_less, _nothing),
        _mutant("to-the-brim", "survivors are filled for a site that loses little", Situation.worth_filling_rps, _to_the_brim),
    )
}
