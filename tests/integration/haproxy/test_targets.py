"""Whatever the steering and whatever is there: no backend is ever emptied, at no command of a write."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from siteshift.adapters.haproxy.changes import changes
from siteshift.adapters.haproxy.plane import BackendMap, HaproxyPlane, PlaneMode, ServerMap
from siteshift.adapters.haproxy.server_state import AdminState, Bound, ServerState
from siteshift.adapters.haproxy.targets import BackendPlan, plan_backend, serving_fractions
from siteshift.core.model.codes import MemberRole
from siteshift.core.model.steering import ServiceSteering
from siteshift.core.model.units import EnactorId, SiteId

from .planes import ALL, ANYANG, GASAN, PANGYO, SITE_OF, WEB, global_plane, mapped, steering

SITES = (PANGYO, GASAN, ANYANG)
SHARES = st.fixed_dictionaries({site: st.sampled_from((0, 0, 1, 2500, 10_000)) for site in SITES})
MEMBERS = st.dictionaries(st.sampled_from(ALL), st.sampled_from((0, 1, 500, 1000)))
STATES = st.fixed_dictionaries(
    {
        name: st.builds(
            ServerState,
            admin=st.sampled_from(AdminState),
            weight=st.sampled_from((0, 1, 10, 256)),
            running=st.booleans(),
            since_s=st.just(0),
            check_configured=st.booleans(),
            bound=st.sampled_from((None, None, *Bound)),
            is_backup=st.sampled_from((False, False, True)),
        )
        for name in ALL
    }
)
PLANES = st.sampled_from(
    (
        global_plane("unix:/none"),
        global_plane("unix:/none", tuple(mapped(n, role=MemberRole.STANDBY) for n in ALL)),
        global_plane(
            "unix:/none",
            (
                mapped("p1"),
                mapped("p2", role=MemberRole.STANDBY),
                *(ServerMap(server=n, site=SITE_OF[n[0]]) for n in ("g1", "g2", "a1", "a2")),
            ),
            mode=PlaneMode.LOCAL,
            beside=PANGYO,
        ),
    )
)


def obey(states: dict[str, ServerState], command: str) -> None:
    """What HAProxy makes of one command. Out of maint a server is up."""
    server = command.split()[2].split("/")[1]
    state, (what, value) = states[server], command.split()[3:]
    if what == "weight":
        states[server] = state._replace(weight=int(value.rstrip("%")))
    else:
        up = (state.running or state.admin is AdminState.MAINT) and state.bound in (None, Bound.DRAIN)
        states[server] = state._replace(admin=AdminState(value), running=up and value != "maint")


def sound(states: dict[str, ServerState]) -> dict[str, ServerState]:
    """A server in maint never runs, whoever put it there."""
    closed = (Bound.MAINT, Bound.UNRESOLVED)
    runs = {n: s.running and s.admin is not AdminState.MAINT and s.bound not in closed for n, s in states.items()}
    return {n: s._replace(running=runs[n]) for n, s in states.items()}


@given(plane=PLANES, shares=SHARES, goodput=MEMBERS, drawn=STATES, shed=st.sampled_from((0, 3000)))
async def test_a_backend_that_serves_goes_on_serving(
    plane: HaproxyPlane,
    shares: dict[SiteId, int],
    goodput: dict[str, int],
    drawn: dict[str, ServerState],
    shed: int,
) -> None:
    states = sound(drawn)
    wanted = steering(1, shares, goodput, shed_bp=shed, shed_at=PANGYO if shed else None).services[0]
    plan = plan_backend(plane, plane.backends[0], wanted, states)
    todo = await changes([plan], {"web": states})
    served = any(state.usable for state in states.values())
    for part in (todo.widen, todo.trim, todo.narrow):
        for command in part.get("web", ()):
            obey(states, command)
            assert any(state.usable for state in states.values()) or not served, command
    assert all(target.met_by(states[server]) for server, target in plan.targets.items()), "one write is enough"


@given(plane=PLANES, shares=SHARES, goodput=MEMBERS, drawn=STATES)
async def test_what_was_written_needs_no_second_write(
    plane: HaproxyPlane, shares: dict[SiteId, int], goodput: dict[str, int], drawn: dict[str, ServerState]
) -> None:
    states = sound(drawn)
    wanted = steering(1, shares, goodput).services[0]
    plan = plan_backend(plane, plane.backends[0], wanted, states)
    todo = await changes([plan], {"web": states})
    for part in (todo.widen, todo.trim, todo.narrow):
        for command in part.get("web", ()):
            obey(states, command)
    if plan.problem is None:
        assert len(await changes([plan], {"web": states})) == 0


def planned(plane: HaproxyPlane, wanted: ServiceSteering) -> BackendPlan:
    up = ServerState(AdminState.READY, 10, running=True, since_s=0, check_configured=False)
    return plan_backend(plane, plane.backends[0], wanted, {server.server: up for server in plane.backends[0].servers})


def test_demand_shed_at_a_drained_site_is_not_tunnelled_to_survivors() -> None:
    """Survivors are full: what is shed must not come to them through the back door."""
    servers = (mapped("p1"), ServerMap(server="g1", site=GASAN))
    plane = HaproxyPlane(
        id=EnactorId("lb"),
        address="",
        mode=PlaneMode.LOCAL,
        beside=PANGYO,
        backends=(BackendMap(service=WEB, backend="web", servers=servers),),
    )
    dead = steering(1, {PANGYO: 0, GASAN: 6000}, ("g1",), shed_bp=4000, shed_at=PANGYO).services[0]
    plan = planned(plane, dead)
    assert plan.problem is not None
    assert "shed" in plan.problem.detail
    alive = steering(1, {PANGYO: 0, GASAN: 6000}, ("p1", "g1"), shed_bp=4000, shed_at=PANGYO).services[0]
    assert planned(plane, alive).targets["p1"].admin is AdminState.READY


def beside_pangyo(*shed_servers: str) -> HaproxyPlane:
    servers = (mapped("p1"), ServerMap(server="to-gasan", site=GASAN), ServerMap(server="to-anyang", site=ANYANG))
    web = BackendMap(service=WEB, backend="web", servers=servers, shed_servers=shed_servers)
    return HaproxyPlane(id=EnactorId("lb"), address="", mode=PlaneMode.LOCAL, beside=PANGYO, backends=(web,))


def test_what_still_comes_is_sent_on_by_what_the_others_gain() -> None:
    """Caches lead their old shares to them already: by the new shares Gasan would get 30 + 25 of its 36."""
    wanted = steering(1, {PANGYO: 0, GASAN: 3600, ANYANG: 6400}, ("p1",), onward_bp={GASAN: 600, ANYANG: 4400}).services[0]
    assert serving_fractions(beside_pangyo(), beside_pangyo().backends[0], wanted) == {"to-gasan": 600, "to-anyang": 4400}


def test_of_what_still_comes_only_what_grew_in_shed_is_shed() -> None:
    shares, onward = {PANGYO: 0, GASAN: 3600, ANYANG: 3600}, {GASAN: 600, ANYANG: 1600}
    wanted = steering(1, shares, ("p1",), shed_bp=2800, shed_at=PANGYO, onward_bp=onward).services[0]
    plane = beside_pangyo("sorry")
    assert serving_fractions(plane, plane.backends[0], wanted) == {"to-gasan": 600, "to-anyang": 1600, "sorry": 2800}
    plane = beside_pangyo()
    assert serving_fractions(plane, plane.backends[0], wanted) == {"to-gasan": 600, "to-anyang": 1600, "p1": 2800}


def test_a_local_plane_needs_to_know_where_it_stands() -> None:
    try:
        HaproxyPlane(id=EnactorId("lb"), address="", mode=PlaneMode.LOCAL, backends=())
    except ValueError as error:
        assert "beside" in str(error)
    else:
        raise AssertionError("accepted")
