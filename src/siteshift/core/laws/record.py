"""Laws 12, 13, 15, 16 and 17: what must be remembered, granted and recorded, and what must not stand in one site only."""

from __future__ import annotations

from collections.abc import Iterator

from siteshift.core.laws.conduct import hold_downs_hold, told_once
from siteshift.core.laws.passage import Passage, Violation
from siteshift.core.messages.commands import ActivateStandby, Enact, Record, Remember
from siteshift.core.messages.events import Asked, Reloaded
from siteshift.core.model.setup import PartKind, Setup


def law_12_hold_still(p: Passage) -> Iterator[Violation]:
    """Without store or term nothing new is decided and nothing is written (the evacuation exception apart)."""
    if p.after.is_store_usable and p.after.term is not None:
        return
    if p.before.steering != p.after.steering:
        yield Violation(law=12, text="steering changed without the store or the term")
    for command in p.commands:
        if isinstance(command, Enact | ActivateStandby):
            yield Violation(law=12, text=f"{type(command).__name__} without the store or the term")


def law_13_approval(p: Passage) -> Iterator[Violation]:
    """An approval counts only for the digest it was given for."""
    if not isinstance(p.event, Asked) or p.event.asking.digest is None:
        return
    made = [o for o in p.after.overrides if o not in p.before.overrides]
    for override in made:
        if override.plan_digest not in (None, p.event.asking.digest):
            yield Violation(law=13, text=f"override {override.id} was granted for another plan than the one approved")


def law_15_whole_configuration(p: Passage) -> Iterator[Violation]:
    """A reload is one event: afterwards the steering speaks of exactly the services of the setup."""
    if p.after.steering.generation == 0 or p.after.steering == p.before.steering:
        return
    wanted = {service.id for service in p.setup.topology.services}
    found = {entry.service for entry in p.after.steering.services}
    if wanted != found:
        yield Violation(law=15, text=f"steering speaks of {sorted(found)}, the setup of {sorted(wanted)}")
    if isinstance(p.event, Reloaded) and p.after.setup_digest != p.event.digest:
        yield Violation(law=15, text="the state does not name the configuration it runs under")


def law_16_on_record(p: Passage) -> Iterator[Violation]:
    """Every steering is recorded and remembered before it is written; switched off, nothing moves by itself.

    Nobody returns before its hold-down, and what stands in the way of a move is told and journalled once.
    """
    yield from hold_downs_hold(p)
    yield from told_once(p)
    if p.before.steering == p.after.steering:
        return
    kinds = [command.kind for command in p.commands if isinstance(command, Record)]
    if "decision" not in kinds:
        yield Violation(law=16, text=f"generation {p.after.steering.generation} has no journal entry")
    if not p.commands or not isinstance(p.commands[0], Remember):
        yield Violation(law=16, text=f"generation {p.after.steering.generation} is written before it is remembered")
    if not p.after.is_switched_off:
        return
    for service, old, new in p.changes():
        if dict(old.shares_bp) != dict(new.shares_bp) and not p.is_forced(service):
            yield Violation(law=16, text=f"{service.id}: moved by itself while switched off")


def law_17_no_part_only_there(p: Passage) -> Iterator[Violation]:
    """A site is not left with the only data plane, standby driver or notifier that could leave it standing in it.

    Judged on the setup when it is taken: what would be lost together with a site must exist elsewhere too. A single
    node has no elsewhere; what that means for each site `siteshift fate` tells.
    """
    if not isinstance(p.event, Reloaded) or len({site for _, site in p.setup.topology.vantages}) < 2:
        return
    for fault in single_site_dependencies(p.setup):
        yield Violation(law=17, text=fault)


def single_site_dependencies(setup: Setup) -> tuple[str, ...]:
    """What stands in one site only although leaving that site needs it. The basis of `siteshift fate`."""
    found: list[str] = []
    for service in setup.topology.services:
        places = {plane.site for plane in setup.planes_of(service.id)}
        if len(service.sites) > 1 and len(places) == 1 and None not in places:
            found.append(f"{service.id}: every data plane that steers it stands in {next(iter(places))}")
    for kind in (PartKind.STANDBY_DRIVER, PartKind.NOTIFIER):
        parts = [part for part in setup.parts if part.kind is kind]
        sites = {part.site for part in parts}
        if parts and len(sites) == 1 and None not in sites:
            found.append(f"every {kind.value.replace('_', ' ')} stands in {next(iter(sites))}")
    return tuple(found)
