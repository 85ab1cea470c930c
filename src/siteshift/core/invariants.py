"""The laws of the design as checkers. The daemon, the simulator and the tests run the same ones after every step.

A checker sees the state before, the event, the decision and the setup, and judges on its own: it shares the nouns
with the deciders but not their reasoning. `docs/SAFETY.md` names each law's checker and tests.
"""

from __future__ import annotations

from siteshift.core.laws.carried_out import law_18_carried_out
from siteshift.core.laws.evidence import law_3_unknown_is_not_down, law_4_doubt_yourself, law_5_real_and_forced
from siteshift.core.laws.passage import Checker, Passage, Violation
from siteshift.core.laws.planes import law_8_seen, law_9_old_ttl, law_10_ambiguous, law_11_generation, law_14_only_ours
from siteshift.core.laws.record import (
    law_12_hold_still,
    law_13_approval,
    law_15_whole_configuration,
    law_16_on_record,
    law_17_no_part_only_there,
    single_site_dependencies,
)
from siteshift.core.laws.shares import law_1_last_site, law_2_widen_first, law_6_mode, law_7_capacity
from siteshift.core.messages.commands import Command
from siteshift.core.messages.events import Event
from siteshift.core.model.setup import Setup
from siteshift.core.state.controller_state import ControllerState

__all__ = ["CHECKERS", "Checker", "Passage", "Violation", "check", "single_site_dependencies"]


def check(
    before: ControllerState, event: Event, after: ControllerState, commands: tuple[Command, ...], setup: Setup
) -> tuple[Violation, ...]:
    """Every law that this step breaks; empty is what we want."""
    passage = Passage(before=before, event=event, after=after, commands=commands, setup=setup)
    return tuple(violation for checker in CHECKERS.values() for violation in checker(passage))


CHECKERS: dict[int, Checker] = {
    1: law_1_last_site,
    2: law_2_widen_first,
    3: law_3_unknown_is_not_down,
    4: law_4_doubt_yourself,
    5: law_5_real_and_forced,
    6: law_6_mode,
    7: law_7_capacity,
    8: law_8_seen,
    9: law_9_old_ttl,
    10: law_10_ambiguous,
    11: law_11_generation,
    12: law_12_hold_still,
    13: law_13_approval,
    14: law_14_only_ours,
    15: law_15_whole_configuration,
    16: law_16_on_record,
    17: law_17_no_part_only_there,
    18: law_18_carried_out,
}
