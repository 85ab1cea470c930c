"""What the gate is asked about a move: what it changes, and everything the rules look at."""

from __future__ import annotations

from siteshift.core.beliefs.life import AWAY
from siteshift.core.decide.envelope import permits_of
from siteshift.core.decide.proposal import GateContext, Proposal
from siteshift.core.decide.situation import Situation
from siteshift.core.decide.used import utilisation_of
from siteshift.core.model.cause import Cause
from siteshift.core.model.codes import Mode
from siteshift.core.model.steering import ServiceSteering
from siteshift.core.state.draft import Draft


def proposal_for(situation: Situation, after: ServiceSteering, cause: Cause) -> Proposal:
    """What the gate is asked, with the envelopes that cover this very step (law 13)."""
    return Proposal(
        service=situation.service,
        before=situation.current,
        after=after,
        cause=cause,
        dead_sites=frozenset(s for s in situation.service.sites if situation.is_dead(s)),
        permits=permits_of(situation, after, cause),
        keeps_shed=not situation.has_shed_answer,
        had_bp={site: situation.had_lately_bp(site) for site in situation.service.sites},
    )


def context_of(draft: Draft, situation: Situation, mode: Mode, after: ServiceSteering) -> GateContext:
    """Everything the rules look at."""
    state = draft.state
    return GateContext(
        topology=draft.setup.topology,
        policy=situation.policy,
        mode=mode,
        pools=situation.pools,
        now_ms=draft.now_ms,
        utilisation_pm=utilisation_of(situation, after),
        is_frozen=situation.forced.frozen,
        moved=situation.transition.moves,
        removals_ms=situation.transition.removals_ms,
        hold_until_ms={s: track.hold_until_ms for s, track in situation.tracks.items() if track.life in AWAY},
        is_leader=state.term is not None,
        store_ok=state.is_store_usable,
        switched_off=state.is_switched_off,
        blind=situation.is_blind,
        global_fault=situation.is_global_fault,
        standby_phase={member: track.phase for member, track in state.standbys.items()},
        nodes_agreeing=0,
        data_role=situation.data_role,
        held_sites=frozenset(s for s in situation.service.sites if state.is_held(situation.service.id, s)),
    )
