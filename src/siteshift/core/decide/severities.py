"""How heavy each finding weighs, by who wants the move: the table of the gate, in one place.

``dead``: the move evacuates a site that loses every request already (`Proposal.evacuates`). Waiting is certain harm, so
everything passes that does not make others worse. What remains in force is law 1, the survivors' capacity, standby that
is not ready, data roles, a refuge that is down, and whether we may act and can see at all. A change freeze does not
stop a protective drain.
``automatic``: any other move siteshift wants by itself. ``person``: asked for by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from siteshift.core.decide.proposal import Proposal
from siteshift.core.model.cause import Cause
from siteshift.core.model.codes import FindingCode, Severity
from siteshift.core.model.finding import Finding, finding

PASS, ASK, REFUSE = Severity.ALLOWED, Severity.NEEDS_APPROVAL, Severity.REFUSED


@dataclass(frozen=True, slots=True)
class Weight:
    """Severity by column, and whom it takes where a person may lift it.

    ``approvals``: persons other than who asked (`APPROVE n`); 0: it is enough that who asked confirms it (`CONFIRM`). What
    siteshift proposes by itself nobody asked for, so it takes at least one.
    """

    dead: Severity
    automatic: Severity
    person: Severity
    approvals: int = 0


_C = FindingCode

WEIGHTS: Mapping[FindingCode, Weight] = MappingProxyType(
    {
        _C.LAST_SERVING_SITE: Weight(REFUSE, REFUSE, REFUSE),
        _C.MIN_SERVING_SITES: Weight(PASS, ASK, ASK),
        _C.CAPACITY_SHORT: Weight(REFUSE, REFUSE, ASK, approvals=1),
        _C.SHED_NEEDED: Weight(PASS, REFUSE, ASK),
        _C.STANDBY_NOT_READY: Weight(REFUSE, REFUSE, REFUSE),
        _C.VELOCITY: Weight(PASS, ASK, PASS),
        _C.REMOVALS_PER_HOUR: Weight(PASS, ASK, PASS),
        _C.SHARE_NEEDS_PERSON: Weight(PASS, ASK, PASS),
        _C.SAME_FATE: Weight(PASS, ASK, PASS),
        _C.DATA_ROLE: Weight(REFUSE, REFUSE, REFUSE),
        _C.CHANGE_FREEZE: Weight(PASS, REFUSE, ASK),
        _C.HOLD_DOWN: Weight(PASS, REFUSE, PASS),
        _C.TARGET_UNHEALTHY: Weight(PASS, REFUSE, ASK),
        _C.NO_FRESH_EVIDENCE: Weight(PASS, REFUSE, ASK),
        _C.MODE_OBSERVE: Weight(REFUSE, REFUSE, REFUSE),
        _C.MODE_RECOMMEND: Weight(ASK, ASK, PASS),
        _C.NOT_LEADER: Weight(REFUSE, REFUSE, REFUSE),
        _C.STORE_LOST: Weight(REFUSE, REFUSE, REFUSE),
        _C.BLIND: Weight(REFUSE, REFUSE, ASK, approvals=1),
        _C.GLOBAL_FAULT: Weight(REFUSE, REFUSE, ASK, approvals=1),
        _C.SWITCHED_OFF: Weight(REFUSE, REFUSE, PASS),
        _C.HELD_AS_ADOPTED: Weight(PASS, REFUSE, PASS),
        _C.NOTHING_TO_DO: Weight(PASS, PASS, PASS),
    }
)


def weigh(proposal: Proposal, code: FindingCode, text: str, *, instead: Severity | None = None, **numbers: int | str) -> Finding:
    """The finding with the severity it has for this proposal; accepted in an envelope that is in force, it is lifted.

    ``instead`` replaces the table's severity where a rule knows better (and says so in its docstring).
    """
    weight = WEIGHTS[code]
    severity = instead
    if severity is None:
        severity = _column(weight, proposal)
    if severity is not ASK:
        return finding(code, severity, text, **numbers)
    by_person = proposal.cause in (Cause.PERSON, Cause.RELEASE)
    numbers = {**numbers, "approvals_needed": weight.approvals if by_person else max(1, weight.approvals)}
    lifted = proposal.lifted_by(code, numbers)
    if lifted is not None:
        return finding(code, PASS, f"{text}; {lifted}", **numbers)
    return finding(code, ASK, text, **numbers)


def _column(weight: Weight, proposal: Proposal) -> Severity:
    if proposal.evacuates:
        return weight.dead
    return weight.person if proposal.cause is Cause.PERSON else weight.automatic
