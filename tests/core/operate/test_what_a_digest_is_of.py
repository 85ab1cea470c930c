"""A digest means the same in every version: what came later and says nothing leaves it, whatever is changed changes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, make_dataclass, replace
from enum import Enum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.playbook import WEB, P, Playbook, three_sites
from siteshift.core.messages.requests import DrainRequest
from siteshift.core.model.approval import Accepted, Bounds, Direction, Envelope, Goal, Offer, Verb
from siteshift.core.model.codes import DataKind, Failback, FindingCode, MemberRole, Mode, WhenStoreLost
from siteshift.core.model.digest import added, before_of, digest_of
from siteshift.core.model.policy import ServicePolicy
from siteshift.core.model.topology import Member, Pool, Service, SharedFateGroup, Site
from siteshift.core.model.units import GroupId, MemberId
from siteshift.core.operate.goal import setup_digests
from siteshift.core.state.codec import from_document, to_document, to_matter

FIRST_FORM: Mapping[type, str] = {
    Site: "id label capacity_rps",
    Member: "id service site name address port capacity_rps role standby_driver",
    Pool: "service site nominal_bp answers members",
    Service: "id names tier demand_rps pools slo_latency_ms depends_on data shed_answers",
    SharedFateGroup: "id sites members",
    ServicePolicy: "mode max_utilisation_pm min_serving_sites max_unattended_bp velocity_bp velocity_window_ms removals_per_hour "
    "refuge_same_fate hold_down_ms hold_down_max_ms failback ramp_bp soak_ms settle_ms proof_bp proof_ms standby_deadline_ms "
    "warm_on_suspicion ttl_normal_s ttl_suspect_s residual_done_bp leave_degraded_below_pm data_max_lag_ms when_store_lost",
    Goal: "verb services sites members shares_bp override cause owner ticket life_ms expires_ms topology policy",
    Bounds: "service site share_min_bp share_max_bp utilisation_max_pm",
    Envelope: "bounds shed_max_bp members planes accepted",
    Accepted: "code numbers",
}
"""What digests have been made of from the first on. It never changes: a later field is `added`, and its digests stay."""

UNBOUND: Mapping[type, str] = {Envelope: "not_before_ms start_by_ms ends_at_ms", Accepted: "approvals_needed"}
"""What no digest is of: it follows from the rest, or is counted from the confirmation."""


@pytest.mark.parametrize("kind", FIRST_FORM, ids=lambda kind: kind.__name__)
def test_a_field_is_of_the_first_form_or_says_what_its_absence_stands_for(kind: type) -> None:
    """One that is neither suspends every goal with the upgrade that brings it: declare it with `model.digest.added`."""
    known = [*FIRST_FORM[kind].split(), *UNBOUND.get(kind, "").split()]
    assert [entry.name for entry in fields(kind) if entry.name not in before_of(kind)] == known


def test_digests_are_those_that_stored_goals_and_journals_have() -> None:
    """As version d0f892f made them. Whoever has to change them changes what every running node has stored."""
    book = Playbook(setup=three_sites())
    book.run(6_000)
    assert setup_digests(book.setup, (WEB,)) == ("f63a1987e508201c", "fad18736f962f08b")
    offer = book.look(DrainRequest(site=P)).offer
    assert offer is not None
    assert (offer.goal.digest, offer.digest) == ("da1febe0a0ebd0b7", "b7de7fdf9440c097")


# -- whatever the documents ------------------------------------------------------------------------------------------------

NUMBER, NAME = st.integers(0, 10_000), st.text("abcxyz-19", min_size=1, max_size=6)
BY_TYPE: Mapping[str, st.SearchStrategy[Any]] = {
    "int": NUMBER,
    "bool": st.booleans(),
    "str": NAME,
    "int | None": st.none() | NUMBER,
    "Mode": st.sampled_from(Mode),
    "Failback": st.sampled_from(Failback),
    "WhenStoreLost": st.sampled_from(WhenStoreLost),
    "DataKind": st.sampled_from(DataKind),
    "MemberRole": st.sampled_from(MemberRole),
    "Verb": st.sampled_from(Verb),
    "FindingCode": st.sampled_from([FindingCode.CAPACITY_SHORT, FindingCode.VELOCITY]),
    "tuple[int, ...]": st.lists(NUMBER, max_size=3).map(tuple),
    "Mapping[MemberId, Direction]": st.dictionaries(NAME, st.sampled_from(Direction), max_size=2),
    "Mapping[str, int | str]": st.dictionaries(NAME, NUMBER, max_size=2),
}


def strategy_of(annotation: str) -> st.SearchStrategy[Any]:
    """Values of an annotation as it stands in the source."""
    if annotation in BY_TYPE:
        return BY_TYPE[annotation]
    if annotation.startswith("Mapping["):
        return st.dictionaries(NAME, NUMBER, max_size=2)
    if annotation.endswith(" | None"):
        return st.none() | NAME
    if annotation.startswith("tuple["):
        nested = {"Pool": Pool, "Member": Member, "Bounds": Bounds, "Accepted": Accepted}
        inner = annotation.removeprefix("tuple[").removesuffix(", ...]")
        items = records(nested[inner]) if inner in nested else NAME
        key = (lambda item: (item.service, item.site)) if inner == "Bounds" else repr
        return st.lists(items, max_size=2, unique_by=key).map(tuple)
    return NAME


def records(kind: type) -> st.SearchStrategy[Any]:
    unbound = UNBOUND.get(kind, "").split()
    return st.builds(kind, **{e.name: strategy_of(str(e.type)) for e in fields(kind) if e.name not in unbound})


def digest(record: Any) -> str:
    """What binds a record: its own digest, or that of what the configuration says."""
    match record:
        case Goal():
            return record.digest
        case Envelope():
            return digest_of(record.matter())
        case Bounds():
            return digest(Envelope(bounds=(record,), shed_max_bp={}))
        case Accepted():
            return digest(Envelope(bounds=(), shed_max_bp={}, accepted=(record,)))
        case _:
            return digest_of(to_matter(record))


def knowing_more(record: Any, **later: Any) -> Any:
    """The record as a version has it that knows one more field of it, and of whatever is in it."""
    kind = type(record)
    more = make_dataclass(
        kind.__name__,
        [("warmth", kind.__class__, added(default=7, before=5)), ("colours", tuple, added(default=(), before=()))],
        bases=(kind,),
        frozen=True,
        kw_only=True,
    )
    values = {e.name: getattr(record, e.name) for e in fields(kind)}
    values = {name: _items_knowing_more(value) for name, value in values.items()}
    return more(**values, **{"warmth": 5, **later})


def _items_knowing_more(value: Any) -> Any:
    if isinstance(value, tuple) and any(type(item) in FIRST_FORM for item in value):
        return tuple(knowing_more(item) for item in value)
    return value


KINDS = sorted(FIRST_FORM, key=lambda kind: kind.__name__)
EVERY = settings(max_examples=40, deadline=None, derandomize=True)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@EVERY
@given(data=st.data())
def test_a_version_that_knows_more_and_does_the_same_makes_the_same_digest(kind: type, data: st.DataObject) -> None:
    record = data.draw(records(kind))
    assert digest(knowing_more(record)) == digest(record)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@EVERY
@given(data=st.data())
def test_a_later_field_counts_once_it_says_anything(kind: type, data: st.DataObject) -> None:
    """Its default too, where that is not what was done before."""
    record = data.draw(records(kind))
    made = {digest(knowing_more(record, **later)) for later in ({}, {"warmth": 7}, {"warmth": 0}, {"colours": ("red",)})}
    assert len(made) == 4


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@EVERY
@given(data=st.data())
def test_whatever_is_changed_changes_the_digest(kind: type, data: st.DataObject) -> None:
    """To its default and from it alike: a default may be another one in the next version."""
    record = data.draw(records(kind))
    name = data.draw(st.sampled_from(FIRST_FORM[kind].split()))
    value, annotation = getattr(record, name), next(str(e.type) for e in fields(kind) if e.name == name)
    other = data.draw(strategy_of(annotation).filter(lambda found: _meaning(kind, found) != _meaning(kind, value)))
    assert digest(replace(record, **{name: other})) != digest(record)
    assert digest(knowing_more(replace(record, **{name: other}))) != digest(record)


def _meaning(kind: type, value: Any) -> Any:
    """What of a value a digest is of: a goal and an envelope leave the order out."""
    if isinstance(value, tuple) and kind in (Goal, Envelope):
        return sorted(map(repr, value))
    return value.value if isinstance(value, Enum) else value


@given(soak_ms=NUMBER, warmth_ms=NUMBER)
@EVERY
def test_a_document_without_a_later_field_says_what_its_absence_stood_for(soak_ms: int, warmth_ms: int) -> None:
    """And not the default of whoever reads it: else a record of before would be replayed by rules that nobody had."""
    older = ServicePolicy(soak_ms=soak_ms)
    assert from_document(Newer, to_document(older)) == Newer(soak_ms=soak_ms, warmth_ms=5)
    newer = Newer(soak_ms=soak_ms, warmth_ms=warmth_ms)
    assert from_document(Newer, to_document(newer)) == newer
    assert from_document(ServicePolicy, to_document(newer)) == older
    assert Newer().warmth_ms == 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Newer(ServicePolicy):
    warmth_ms: int = added(default=7, before=5)


def test_of_a_whole_setup_only_what_is_of_the_services_counts() -> None:
    setup = three_sites()
    topology, policy = setup_digests(setup, (WEB,))
    group = SharedFateGroup(id=GroupId("g"), sites=(P,), members=(MemberId("m"),))
    plain = replace(setup, topology=replace(setup.topology, groups=(group,)))
    service, *_ = plain.topology.services
    later = replace(
        plain,
        topology=replace(
            plain.topology,
            services=(knowing_more(service),),
            sites=tuple(knowing_more(site) for site in plain.topology.sites),
            groups=(knowing_more(group),),
        ),
        policy=replace(plain.policy, default=knowing_more(plain.policy.default)),
    )
    assert setup_digests(later, (WEB,)) == setup_digests(plain, (WEB,)) == (setup_digests(plain, (WEB,))[0], policy)
    assert setup_digests(plain, (WEB,))[0] != topology
    goal = Goal(verb=Verb.DRAIN, services=(WEB,), sites=(P,), owner="kim", topology=topology, policy=policy)
    offer = Offer(goal=goal, envelope=Envelope(bounds=(), shed_max_bp={}))
    assert Offer(goal=knowing_more(goal), envelope=knowing_more(offer.envelope)).digest == offer.digest
