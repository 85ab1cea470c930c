"""Every kind of criterion fails a real run: each has a scenario that meets it, and a twin made to miss it.

The twin is the same scenario with one thing changed for the worse: nobody acts, a bug is planted into the core, a controller that
does the wrong thing leads, or more breaks. A criterion that no twin fails shows nothing by being met.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

import pytest

from siteshift.core.messages.commands import Answer
from siteshift.core.model.codes import Severity
from siteshift.core.model.steering import ServiceSteering
from siteshift.core.model.units import EnactorId, ServiceId
from siteshift.core.operate import approval
from siteshift.sim.criteria.criterion import Evidence
from siteshift.sim.criteria.register import CRITERIA, EVERYWHERE
from siteshift.sim.fuzz.mutants import MUTANTS, Mutant, Patch, planted
from siteshift.sim.nodes.witness import Witness
from siteshift.sim.peers.peers import NOTHING, run_peer
from siteshift.sim.results.record import Record
from siteshift.sim.run.replay import evidence_of, replay
from siteshift.sim.run.simulation import Pilot, simulate
from siteshift.sim.scenario.scenario import Scenario, scenario_of
from siteshift.sim.world.world import World
from siteshift.sim.world.worlds import ANYANG, GASAN, PANGYO

Run = Callable[[Scenario], Record]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A scenario without its criteria."""

    events: tuple[str, ...] = ()
    world: str = "nodes: 1, cold_start_s: 1"
    policy: str = "{}"
    lasts_s: int = 40

    def scenario(self, criterion: str) -> Scenario:
        """With one criterion."""
        events = "".join(f"  - {{{event}}}\n" for event in self.events)
        return scenario_of(
            "id: twin\ntitle: A twin\nsource: Test\nhappened: See the events.\nlesson: Criteria can be missed.\n"
            f"world: {{{self.world}}}\npolicy: {self.policy}\nlasts_s: {self.lasts_s}\nwarm_up_s: 15\n"
            f"events:{' []' if not events else ''}\n{events}pass:\n  - {criterion}\n",
            "twin.yaml",
        )

    def and_also(self, *events: str) -> Setting:
        """With more that happens."""
        return replace(self, events=(*self.events, *events))


def ours(scenario: Scenario) -> Record:
    """The core as it is."""
    return replay(scenario)[1]


def nobody(scenario: Scenario) -> Record:
    """A controller that does nothing."""
    return run_peer(NOTHING, scenario, seed=scenario.seed)


def with_bug(bug: Mutant, scenario: Scenario) -> Record:
    """The core with a deliberate bug in it."""
    with planted(bug):
        return replay(scenario)[1]


def _yes(original: Callable[..., Answer]) -> Callable[..., Answer]:
    return lambda *about: replace(original(*about), severity=Severity.ALLOWED)


YES = Mutant(name="yes", says="what is refused is granted", patches=(Patch(approval.refusal, _yes),))


def led_by(pilots: Sequence[Pilot], scenario: Scenario) -> Record:
    """Another controller in our place."""
    return simulate(
        replace(scenario.world, nodes=()),
        scenario.policy,
        scenario.events,
        seed=scenario.seed,
        duration_ms=scenario.duration_ms,
        warm_up_ms=scenario.warm_up_ms,
        pilots=tuple(pilots),
    )


class ShedsTheImportant:
    """A controller that sheds a part of the most critical service, and nothing of the other."""

    def start(self, world: World, witness: Witness) -> None:
        """See `simulation.Pilot`."""
        shares = {PANGYO: 5_000, GASAN: 3_000, ANYANG: 2_000}
        kept = {site: bp // 2 for site, bp in shares.items()}
        entry = ServiceSteering(service=ServiceId("web"), shares_bp=kept, members_pm={}, ttl_s=30, shed_bp=5_000)

        def shed() -> None:
            for name, plane in world.planes.items():
                if name == EnactorId("dns"):
                    world.change_plane(partial(plane.shares_bp.__setitem__, entry.service, kept))
            witness.moved(by="sheds-the-important", entry=entry, before_bp=shares)

        world.clock.at(5_000, shed)


UNKNOWN_IS_DOWN: Run = partial(with_bug, MUTANTS["unknown-is-down"])
IMPORTANT_FIRST: Run = partial(led_by, (ShedsTheImportant(),))

QUIET = Setting()
STOP = Setting(events=("at_s: 0, fault: crash, site: pangyo, name: stop",))
FLAPS = Setting(
    events=("at_s: 0, fault: flap, site: pangyo, down_s: 5, up_s: 15, name: flaps",),
    policy="{hold_down_s: 1, hold_down_max_s: 2, soak_s: 1}",
    lasts_s=90,
)
BLIND = Setting(events=("at_s: 0, fault: prober_blind, sees: fail, name: blind",))
MUTE = Setting(events=("at_s: 0, fault: checks_mute, site: pangyo, name: mute",))
LEADER = Setting(events=("at_s: 0, fault: ctl_kill, nodes: [leader], name: killed",), world="nodes: 3", lasts_s=20)
CLEAN_UP = Setting(events=("at_s: 10, fault: gc_race, plane: dns",), world="nodes: 1, entry: dns", lasts_s=30)
TWO_TIERS = Setting(
    events=("at_s: 0, fault: surge, service: chat, factor_percent: 250",),
    world="nodes: 1, cold_start_s: 1, services: [web, chat], sorry_page: [web, chat]",
)
NOTHING_TO_ACK = Setting(events=("at_s: 1, ask: ack, site: gasan, name: asked",), lasts_s=5)
TOO_MUCH = Setting(
    events=(
        "at_s: 1, ask: shares, service: web, shares_percent: {pangyo: 0, gasan: 0, anyang: 100}, confirms: true, name: asked",
    ),
    lasts_s=10,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    """A criterion as a file has it; the scenario that meets it, run by `ours`; and what is otherwise in its twin."""

    criterion: str
    good: Setting
    bad: Setting | None = None
    """None: the same."""
    by: Run = ours


AGAIN = STOP.and_also("at_s: 5, fault: crash, site: gasan")
SURGE = STOP.and_also("at_s: 5, fault: surge, factor_percent: 250")
TWINS: tuple[Twin, ...] = (
    # what users got, and how soon
    *(
        Twin(criterion=criterion, good=STOP, by=nobody)
        for criterion in (
            "detect_s: 3",
            "decide_s: 3",
            "t50_s: 30",
            "t95_s: 35",
            "lost_s: 10",
            "loss_s: 10",
            "lost_percent: 15",
            "lost_at_site_percent: {at_most_percent: 75, site: pangyo}",
            "share: {site: pangyo, at_s: 30, at_most_percent: 10}",
            "standby_open_s: 20",
            "diagnosis: {within_s: 3, code: SITE_DOWN, site: pangyo}",
            "told: {within_s: 3, code: SITE_DOWN}",
        )
    ),
    Twin(criterion="overload_percent: 2", good=STOP, bad=SURGE),
    Twin(criterion="utilisation_percent: 100", good=STOP, bad=SURGE),
    Twin(criterion="empty_answers: 6", good=CLEAN_UP, bad=CLEAN_UP.and_also("at_s: 9, fault: ctl_kill, nodes: [c3]")),
    # what was moved
    Twin(criterion="moves: 8", good=STOP, bad=FLAPS),
    Twin(criterion="reversals: 1", good=STOP, bad=FLAPS),
    Twin(criterion="drains: 1", good=STOP, bad=AGAIN),
    Twin(criterion="sites_removed: 1", good=STOP, bad=AGAIN),
    Twin(criterion="first_move_after_s: 0", good=STOP, bad=STOP.and_also("at_s: -5, fault: crash, site: gasan")),
    Twin(criterion="shed: {at_most_percent: 40, from_s: 2}", good=STOP, bad=AGAIN),
    Twin(criterion="shed_lowest_first: true", good=TWO_TIERS, by=IMPORTANT_FIRST),
    Twin(criterion="wrong_moves: 0", good=MUTE, by=UNKNOWN_IS_DOWN),
    Twin(criterion="laws_broken: 0", good=MUTE, by=UNKNOWN_IS_DOWN),
    # how nodes conducted themselves
    Twin(criterion="blind: 5", good=BLIND, by=nobody),
    Twin(criterion="never_diagnosed: SITE_DOWN", good=QUIET, bad=STOP),
    Twin(criterion="new_leader_s: 10", good=LEADER, bad=LEADER.and_also("at_s: 0, fault: store_down")),
    Twin(criterion="refused: {after: asked}", good=NOTHING_TO_ACK, by=partial(with_bug, YES)),
    Twin(criterion="not_granted: {after: asked}", good=TOO_MUCH, by=partial(with_bug, MUTANTS["alone"])),
    Twin(
        criterion="extra_probes_percent: 10",
        good=QUIET,
        bad=QUIET.and_also("at_s: 0, fault: errors, site: pangyo, fraction: 0.25, rate_percent: 50"),
    ),
)


def name_of(twin: Twin) -> str:
    """The criterion's kind."""
    return twin.criterion.partition(":")[0]


@cache
def _record(setting: Setting, by: Run) -> Record:
    return by(setting.scenario("moves: 100"))


def judged(twin: Twin, setting: Setting, by: Run) -> tuple[bool, str]:
    """Whether the twin's criterion is met by a run of a setting, and what was found."""
    scenario = setting.scenario(twin.criterion)
    criterion = scenario.criteria[[type(one).NAME for one in scenario.criteria].index(name_of(twin))]
    evidence: Evidence = evidence_of(scenario, _record(setting, by))
    found = criterion.judge(evidence)
    return found.is_met, f"{found.demand}: {found.found}"


def test_every_kind_of_criterion_has_a_twin_that_is_made_to_fail_it() -> None:
    assert sorted(name_of(twin) for twin in TWINS) == sorted(CRITERIA)
    assert {type(one).NAME for one in EVERYWHERE} <= set(CRITERIA)


@pytest.mark.parametrize("twin", TWINS, ids=name_of)
def test_a_criterion_is_met_and_its_twin_misses_it(twin: Twin) -> None:
    is_met, found = judged(twin, twin.good, ours)
    assert is_met, found
    is_met, found = judged(twin, twin.bad or twin.good, twin.by)
    assert not is_met, found
