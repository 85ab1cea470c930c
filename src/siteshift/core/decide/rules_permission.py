"""Rules about whether we may act at all: mode, freeze, leadership, sight, approvals."""

from __future__ import annotations

from collections.abc import Iterator

from siteshift.core.decide.proposal import GateContext, Proposal
from siteshift.core.decide.severities import PASS, weigh
from siteshift.core.model.cause import Cause
from siteshift.core.model.codes import FindingCode, Mode, WhenStoreLost
from siteshift.core.model.finding import Finding

_PROTECTIVE = (Cause.DEAD, Cause.DEGRADED, Cause.RELIEF, Cause.STANDBY)


def mode_observe(proposal: Proposal, context: GateContext) -> Iterator[Finding]:
    """Law 6: in ``observe`` nothing is written, on nobody's account."""
    if context.mode is Mode.OBSERVE:
        yield weigh(proposal, FindingCode.MODE_OBSERVE, f"{proposal.service.id} is only observed")


def mode_recommend(proposal: Proposal, context: GateContext) -> Iterator[Finding]:
    """Law 6: in ``recommend`` a person says go. The end of an override was told when it was made, and passes."""
    if context.mode is Mode.RECOMMEND and proposal.cause is not Cause.PERSON:
        yield weigh(
            proposal,
            FindingCode.MODE_RECOMMEND,
            f"for {proposal.service.id} siteshift recommends and a person decides",
            instead=PASS if proposal.cause is Cause.RELEASE else None,
        )


def change_freeze(proposal: Proposal, context: GateContext) -> Iterator[Finding]:
    """A freeze stops changes, not protection: leaving a sick site, relieving one and bringing standby up go on, and users whom
    that shed are served again."""
    if not context.is_frozen:
        return
    protective = proposal.cause in _PROTECTIVE or proposal.shed_grows_bp < 0
    yield weigh(
        proposal,
        FindingCode.CHANGE_FREEZE,
        f"{proposal.service.id} is frozen" + ("; protection goes on" if protective else ""),
        instead=PASS if protective else None,
    )


def held_as_adopted(proposal: Proposal, context: GateContext) -> Iterator[Finding]:
    """Forgetting is not knowing: what was found so, and not remembered, gets no more before a person has looked.

    Protection goes on: what a failing site loses, the sites that serve may take.
    """
    held = [site for site in proposal.gaining if site in context.held_sites]
    if held:
        yield weigh(
            proposal,
            FindingCode.HELD_AS_ADOPTED,
            f"{proposal.service.id}: {', '.join(held)} held as found: nobody remembers why it has no more",
            instead=PASS if proposal.cause in _PROTECTIVE else None,
            sites=",".join(held),
        )


def not_leader(proposal: Proposal, context: GateContext) -> Iterator[Finding]:
    """Law 11: only the holder of the current term decides."""
    if not context.is_leader:
        yield weigh(proposal, FindingCode.NOT_LEADER, "this node does not hold the current term")


def store_lost(proposal: Proposal, context: GateContext) -> Iterator[Finding]:
    """Law 12 with its one exception: by policy and with a majority of all nodes agreed, a dead site may be left."""
    if context.store_ok:
        return
    agreed = context.nodes_agreeing * 2 > context.nodes_total
    evacuates = context.policy.when_store_lost is WhenStoreLost.EVACUATE_DEAD_SITE and proposal.evacuates and agreed
    yield weigh(
        proposal,
        FindingCode.STORE_LOST,
        "the store is lost" + ("; the policy lets a dead site be left" if evacuates else "; steering holds still"),
        instead=PASS if evacuates else None,
        nodes_agreeing=context.nodes_agreeing,
        nodes_total=context.nodes_total,
    )


def blind(proposal: Proposal, context: GateContext) -> Iterator[Finding]:
    """Law 3: without a credible vantage nothing moves by itself."""
    if context.blind:
        yield weigh(proposal, FindingCode.BLIND, "no vantage is credible: we cannot know what is up")


def global_fault(proposal: Proposal, context: GateContext) -> Iterator[Finding]:
    """Law 4: what fails everywhere at once is not cured by moving."""
    if context.global_fault:
        yield weigh(proposal, FindingCode.GLOBAL_FAULT, f"{proposal.service.id} fails at all sites alike")


def switched_off(proposal: Proposal, context: GateContext) -> Iterator[Finding]:
    """Law 16: the off switch stops what siteshift does by itself; people go on."""
    if context.switched_off:
        yield weigh(proposal, FindingCode.SWITCHED_OFF, "automatic acting is switched off")


def nothing_to_do(proposal: Proposal, _: GateContext) -> Iterator[Finding]:
    """The steering already is as proposed."""
    if proposal.before.line() == proposal.after.line():
        yield weigh(proposal, FindingCode.NOTHING_TO_DO, f"{proposal.service.id} already is as asked")
