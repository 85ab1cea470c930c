"""The gate: what stands between a plan and action. All rules always run, so that a person sees everything at once.

How heavy a finding weighs for whom is in one table (`weight`); what to do about it in another (`remedy`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from siteshift.core.decide import rules_load, rules_permission, rules_sites
from siteshift.core.decide.proposal import GateContext, Proposal
from siteshift.core.model.cause import Cause, Move
from siteshift.core.model.finding import Finding, verdict

__all__ = ["RULES", "Cause", "Finding", "GateContext", "Move", "Proposal", "Rule", "examine", "verdict"]

Rule = Callable[[Proposal, GateContext], Iterator[Finding]]

RULES: tuple[Rule, ...] = (
    rules_permission.not_leader,
    rules_permission.store_lost,
    rules_permission.switched_off,
    rules_permission.blind,
    rules_permission.global_fault,
    rules_permission.mode_observe,
    rules_permission.mode_recommend,
    rules_permission.change_freeze,
    rules_permission.held_as_adopted,
    rules_sites.last_serving_site,
    rules_sites.min_serving_sites,
    rules_sites.target_unhealthy,
    rules_sites.no_fresh_evidence,
    rules_sites.same_fate,
    rules_sites.data_role,
    rules_sites.hold_down,
    rules_load.capacity_short,
    rules_load.shed_needed,
    rules_load.standby_not_ready,
    rules_load.velocity,
    rules_load.removals_per_hour,
    rules_load.share_needs_person,
    rules_permission.nothing_to_do,
)


def examine(proposal: Proposal, context: GateContext) -> tuple[Finding, ...]:
    """Everything there is to say about a proposal, in the order of the rules."""
    return tuple(found for rule in RULES for found in rule(proposal, context))
