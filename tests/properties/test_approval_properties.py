"""Whatever happens after an approval: no step of that goal lies outside its envelope, and none is made while it is suspended.

The oracle is this file's own: it looks at shares before and after every step, at the bounds that were approved, and at
nothing of how the core decides. The law checkers run beside it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.playbook import DOWN, SICK, UNKNOWN, UP, WEB, A, G, P, Playbook, digest_of, three_sites
from siteshift.core.lifecycle.durable import remember, restore
from siteshift.core.messages.events import Event, Reloaded, StoreChanged
from siteshift.core.messages.requests import (
    DepoolRequest,
    DrainRequest,
    FreezeRequest,
    Request,
    RevokeRequest,
    SharesRequest,
    UndrainRequest,
)
from siteshift.core.model.approval import RELEASES
from siteshift.core.model.codes import Severity, SiteLife, Standing
from siteshift.core.model.setup import Setup
from siteshift.core.model.units import MemberId, SiteId
from siteshift.core.operate.goal import setup_digests
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.goals import BINDING, GoalState

UNREST = {SiteLife.SUSPECT, SiteLife.DRAINING, SiteLife.RETURNING}
RELOADED = ({"max_utilisation_pm": 900, "ttl_suspect_s": 5}, {"max_utilisation_pm": 850, "ttl_suspect_s": 1})
BAD = (Standing.DOWN, Standing.DEGRADED)
SITES = st.sampled_from([P, G, A])
GOALS: st.SearchStrategy[Request] = st.one_of(
    st.builds(DrainRequest, site=SITES),
    st.builds(UndrainRequest, site=SITES),
    st.builds(DepoolRequest, member=st.sampled_from([MemberId("web/gasan/m1"), MemberId("web/anyang/m1")])),
    st.builds(
        SharesRequest,
        service=st.just(WEB),
        shares_bp=st.sampled_from([{P: 0, G: 0, A: 10_000}, {P: 3400, G: 3300, A: 3300}, {P: 0, G: 5000, A: 5000}]),
    ),
)
HAPPENS = st.one_of(
    st.tuples(st.just("goal"), GOALS),
    st.tuples(st.just("believe"), st.tuples(SITES, st.sampled_from([UP, UP, DOWN, SICK, UNKNOWN]))),
    st.tuples(st.just("members"), st.tuples(SITES, st.integers(0, 4))),
    st.tuples(st.just("demand"), st.sampled_from([50, 95, 100, 110, 200])),
    st.tuples(st.just("run"), st.sampled_from([500, 3_000, 10_000, 60_000, 1_200_000])),
    st.tuples(st.just("revoke"), st.sampled_from(["kim", "lee"])),
    st.tuples(st.just("renew"), st.booleans()),
    st.tuples(st.just("store"), st.booleans()),
    st.tuples(st.just("reload"), st.booleans()),
    st.tuples(st.just("restart"), st.none()),
    st.tuples(st.just("freeze"), st.none()),
)


@dataclass
class Watched(Playbook):
    """A playbook that notes every step of a goal which was not approved so."""

    outside: list[str] = field(default_factory=list)

    def feed(self, event: Event) -> None:
        before = self.state
        super().feed(event)
        self.outside += list(_outside(before, self.state))
        self.outside += list(_ttl_outside(before, self.state, self.setup))


def _outside(before: ControllerState, after: ControllerState) -> list[str]:
    old, new = before.steering.of(WEB), after.steering.of(WEB)
    if old is None or new is None or dict(old.shares_bp) == dict(new.shares_bp):
        return []
    undone = before.transition(WEB).undo_bp
    if undone is not None and dict(undone) == dict(new.shares_bp):
        return []
    change = {site: bp - old.shares_bp.get(site, 0) for site, bp in new.shares_bp.items()}
    found = []
    for key, track in after.goals.items():
        earlier = before.goals.get(key, track)
        if track.is_proposed or not {track.state, earlier.state} & BINDING:
            continue
        # Whoever is bad by the evidence is left by right, and whoever takes that over is no step of the goal.
        protects = any(_is_bad(after, site) for site, bp in change.items() if bp < 0)
        for site in track.goal.sites:
            is_mine = change.get(site, 0) > 0 and not protects if track.goal.verb in RELEASES else change.get(site, 0) < 0
            if not is_mine or _is_bad(after, site):
                continue
            bounds = track.envelope.at(WEB, site)
            if track.state is GoalState.SUSPENDED and earlier.state is GoalState.SUSPENDED:
                found.append(f"{site} moved while {track.goal.verb} was suspended, to {dict(new.shares_bp)}")
            elif bounds is None or not bounds.share_min_bp <= new.shares_bp[site] <= bounds.share_max_bp:
                found.append(f"{site} got {new.shares_bp[site]}, approved were {bounds}")
    return found


def _ttl_outside(before: ControllerState, after: ControllerState, setup: Setup) -> Iterator[str]:
    """A TTL is of the policy that was approved with the goal, and lowered only where a site is suspect or moves."""
    old, new = before.steering.of(WEB), after.steering.of(WEB)
    if old is None or new is None or old.ttl_s == new.ttl_s:
        return
    policy = setup.policy.of(WEB)
    if new.ttl_s not in (policy.ttl_normal_s, policy.ttl_suspect_s):
        yield f"a TTL of {new.ttl_s} s"
    lives = {after.track(WEB, site).life for site in (P, G, A)}
    is_of_reload = old.ttl_s not in (policy.ttl_normal_s, policy.ttl_suspect_s)
    if new.ttl_s < old.ttl_s and not is_of_reload and not lives & UNREST:
        yield f"a TTL of {new.ttl_s} s though nothing moves"
    for track in after.goals.values():
        if track.state in (GoalState.RUNNING, GoalState.REACHED) and track.goal.policy != setup_digests(setup, (WEB,))[1]:
            yield f"a TTL of {new.ttl_s} s by a policy that {track.goal.verb} was not approved with"


def _is_bad(state: ControllerState, site: SiteId) -> bool:
    pool = state.picture.pools.get((WEB, site))
    return (pool is not None and pool.standing in BAD) or state.picture.overload_of(WEB, site) is not None


def play(book: Watched, kind: str, detail: object) -> None:
    """Do one thing to the world."""
    match kind:
        case "goal":
            answer = book.confirm(detail) if book.look(detail).offer is not None else book.ask(detail)  # type: ignore[arg-type]
            if answer.severity is Severity.NEEDS_APPROVAL and answer.waits_until_ms is not None:
                book.approve(digest_of(answer), "lee")
        case "believe":
            site, view = detail  # type: ignore[misc]
            book.believe(site, view)
            book.report()
        case "members":
            site, dead = detail  # type: ignore[misc]
            for number, member in enumerate(book.setup.topology.pools[(WEB, site)].members[:4]):
                book.beliefs[member.target] = replace(DOWN if number < dead else UP, since_ms=book.now_ms)
            book.report()
        case "demand":
            book.demand_rps = int(str(detail))
        case "run":
            for_ms = int(str(detail))
            book.run(for_ms, tick_ms=100 if for_ms < 5_000 else 1_000 if for_ms < 100_000 else 10_000)
        case "revoke":
            for track in tuple(book.state.goals.values()):
                book.ask(RevokeRequest(digest=track.digest), person=detail, rank="approver")
        case "renew":
            for track in tuple(book.state.goals.values()):
                if track.fresh_digest is not None:
                    book.approve(track.fresh_digest, "lee")
                    if detail:
                        book.ask(track.asking.request, digest=track.fresh_digest)
        case "store":
            book.feed(StoreChanged(at_ms=book.now_ms, is_usable=bool(detail)))
        case "reload":
            policy = replace(book.setup.policy.default, **RELOADED[int(bool(detail))])  # type: ignore[arg-type]
            book.setup = replace(book.setup, policy=replace(book.setup.policy, default=policy), digest=str(detail))
            book.feed(Reloaded(at_ms=book.now_ms, digest=book.setup.digest))
        case "restart":
            book.state = restore(json.loads(json.dumps(remember(book.state))), now_ms=book.now_ms)
        case _:
            book.ask(FreezeRequest(), life_ms=60_000)


@pytest.mark.parametrize(("ttl_s", "said"), [(2, "a TTL of 2 s"), (5, "though nothing moves")])
def test_a_ttl_that_was_not_approved_would_be_found(ttl_s: int, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    book = Watched(setup=three_sites())
    book.run(4_000, tick_ms=500)
    monkeypatch.setattr("siteshift.core.plan.next_step.ttl_of", lambda _: ttl_s)
    book.ask(FreezeRequest())
    book.run(4_000, tick_ms=500)
    assert any(said in text for text in book.outside)


@settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(first=GOALS, story=st.lists(HAPPENS, min_size=2, max_size=12))
def test_no_step_of_a_goal_lies_outside_of_what_was_approved(first: Request, story: list[tuple[str, object]]) -> None:
    book = Watched(setup=three_sites(hold_down_ms=5_000, soak_ms=1_000))
    book.run(4_000, tick_ms=500)
    play(book, "goal", first)
    for kind, detail in story:
        play(book, kind, detail)
        assert book.outside == [], (kind, detail)
        for track in book.state.goals.values():
            if track.state is GoalState.RUNNING:
                assert {a.expires_ms for a in track.approvals if a.counts} <= {track.envelope.ends_at_ms}, (kind, detail)
        assert book.violations == [], (kind, detail)
