"""How convincing a failure is, and how long it must last before it may become a verdict (DESIGN §4)."""

from __future__ import annotations

from siteshift.core.model.codes import Fault, Hardness
from siteshift.core.model.policy import JudgePolicy

HARD_FAULTS = frozenset({Fault.REFUSED, Fault.RESET, Fault.UNREACHABLE, Fault.BAD_CERTIFICATE})
SILENT_FAULTS = frozenset({Fault.TIMEOUT})
SAMPLE_MS = 1_000
"""Failures of one member within this time have one cause (a pause, a lost packet): one sample."""
SLOW_SAMPLE_MS = 3_000
"""Latency comes in bouts: slow answers of one member within this time are one sample."""
SLOW_CONFIRM_FACTOR = 3
"""Slowness harms less than a wrong move, and load moves in waves: three times as long as silence."""


def hardness_of(fault: Fault) -> Hardness:
    """The class of a failed check. An answer that is wrong is grey: something lives there."""
    if fault in HARD_FAULTS:
        return Hardness.HARD
    if fault in SILENT_FAULTS:
        return Hardness.SILENT
    return Hardness.SLOW if fault is Fault.SLOW else Hardness.GREY


def confirm_ms(hardness: Hardness, policy: JudgePolicy) -> int:
    """The least age of the evidence before a verdict: 300 ms when hard, 1 s when a pause could look the same."""
    if hardness is Hardness.HARD:
        return policy.confirm_hard_ms
    if hardness is Hardness.SLOW:
        return SLOW_CONFIRM_FACTOR * policy.confirm_silent_ms
    return policy.confirm_silent_ms


def sample_ms(hardness: Hardness, policy: JudgePolicy) -> int:
    """How long further failures of the same member belong to the same sample. A refused connection is no blip."""
    return policy.confirm_hard_ms if hardness is Hardness.HARD else SAMPLE_MS
