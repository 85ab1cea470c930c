"""What a reload changes, in sentences for the journal and for the person who asked for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, replace
from typing import Any

from siteshift.config.resolve import Resolved
from siteshift.core.model.probe import ProbeSpec
from siteshift.core.model.topology import Pool, Service


def describe_changes(old: Resolved, new: Resolved) -> tuple[str, ...]:
    """One sentence for each change; empty when nothing changes. Secrets appear as references only."""
    return tuple(_changes(old, new))


def _changes(old: Resolved, new: Resolved) -> Iterator[str]:
    if old.digest == new.digest:
        return
    yield from _plain("node", old.node, new.node)
    yield from _listed("site", _by_id(old.topology.sites), _by_id(new.topology.sites), _fields)
    yield from _listed("service", _by_id(old.topology.services), _by_id(new.topology.services), _service)
    yield from _listed("shared-fate group", _by_id(old.topology.groups), _by_id(new.topology.groups), _fields)
    yield from _policies(old, new)
    yield from _probes("probe", old.probes, new.probes)
    yield from _probes("anchor", old.anchors, new.anchors)
    yield from _probes("own-site anchor", old.own_site_anchors, new.own_site_anchors)
    for kind, before, after in (
        ("enactor", old.planes, new.planes),
        ("standby driver", old.drivers, new.drivers),
        ("meter", old.meters, new.meters),
        ("evidence", old.evidence, new.evidence),
        ("notifier", old.notifiers, new.notifiers),
    ):
        yield from _listed(kind, _by_id(before), _by_id(after), _fields)
    yield from _plain("api", old.api, new.api)
    yield from _plain("store", old.store, new.store)
    yield from _plain("journal", old.journal, new.journal)
    yield from _plain("log", old.log, new.log)
    yield from _plain("limits", old.limits, new.limits)


def _by_id(things: Iterable[Any]) -> dict[str, Any]:
    return {str(thing.id): thing for thing in things}


def _listed(
    kind: str, old: Mapping[str, Any], new: Mapping[str, Any], compare: Callable[[Any, Any], Iterator[str]]
) -> Iterator[str]:
    for name in old:
        if name not in new:
            yield f"{kind} {name} removed"
    for name, thing in new.items():
        if name not in old:
            yield f"{kind} {name} added"
        elif old[name] != thing:
            yield from (f"{kind} {name}: {change}" for change in compare(old[name], thing))


def _plain(kind: str, old: Any, new: Any) -> Iterator[str]:
    yield from (f"{kind}: {change}" for change in _fields(old, new))


def _fields(old: Any, new: Any) -> Iterator[str]:
    """Fields that differ, with both values where they are short."""
    if type(old) is not type(new):
        yield f"is now {type(new).__name__}"
        return
    for field in fields(old):
        before, after = getattr(old, field.name), getattr(new, field.name)
        if before != after:
            yield _change(field.name, before, after)


def _change(name: str, before: object, after: object) -> str:
    said = f"{name} {_said(before)} → {_said(after)}"
    return said if len(said) <= 120 else f"{name} changed"


def _said(value: object) -> str:
    if value is None or value in ("", ()):
        return "none"
    if isinstance(value, tuple):
        return "[" + ", ".join(_said(item) for item in value) + "]"
    return str(value)


def _service(old: Service, new: Service) -> Iterator[str]:
    for field in fields(old):
        before, after = getattr(old, field.name), getattr(new, field.name)
        if field.name != "pools" and before != after:
            yield _change(field.name, before, after)
    sites = {str(pool.site): pool for pool in old.pools}, {str(pool.site): pool for pool in new.pools}
    yield from _listed("pool", *sites, _pool)


def _pool(old: Pool, new: Pool) -> Iterator[str]:
    if old.nominal_bp != new.nominal_bp:
        yield f"nominal share {old.nominal_bp / 100:g} % → {new.nominal_bp / 100:g} %"
    if old.answers != new.answers:
        yield _change("answers", old.answers, new.answers)
    members = {member.name: member for member in old.members}, {member.name: member for member in new.members}
    yield from _listed("member", *members, _fields)


def _policies(old: Resolved, new: Resolved) -> Iterator[str]:
    """A service's change is told where it is not that of the default."""
    yield from _plain("judging", old.policy.judge, new.policy.judge)
    general = tuple(_fields(old.policy.default, new.policy.default))
    yield from (f"policy: {change}" for change in general)
    for field in fields(old.policy):
        if field.name not in ("judge", "default", "services"):
            before, after = getattr(old.policy, field.name), getattr(new.policy, field.name)
            if before != after:
                yield f"policy: {_change(field.name, before, after)}"
    for service in new.topology.service_by_id:
        if service in old.topology.service_by_id:
            own = _fields(old.policy.of(service), new.policy.of(service))
            yield from (f"policy of {service}: {change}" for change in own if change not in general)


def _probes(kind: str, old: tuple[ProbeSpec, ...], new: tuple[ProbeSpec, ...]) -> Iterator[str]:
    """Counted by template: a service with 50 members changes 50 probes at once. Phases follow from the rest."""
    before, after = _templates(old), _templates(new)
    for name in before:
        if name not in after:
            yield f"{kind} {name} removed ({_count(len(before[name]))})"
    for name, specs in after.items():
        if name not in before:
            yield f"{kind} {name} added ({_count(len(specs))})"
        elif before[name] != specs:
            yield f"{kind} {name}: {_difference(before[name], specs)}"


def _difference(old: Mapping[str, ProbeSpec], new: Mapping[str, ProbeSpec]) -> str:
    counts = {
        "added": len(new.keys() - old.keys()),
        "changed": sum(old[key] != spec for key, spec in new.items() if key in old),
        "removed": len(old.keys() - new.keys()),
    }
    return ", ".join(f"{_count(number)} {what}" for what, number in counts.items() if number)


def _templates(specs: tuple[ProbeSpec, ...]) -> dict[str, dict[str, ProbeSpec]]:
    """Specs by ``service/template``, then by id."""
    found: dict[str, dict[str, ProbeSpec]] = {}
    for spec in specs:
        target, _, template = spec.id.partition("#")
        name = f"{target.partition('/')[0]}/{template.partition('@')[0]}" if template else target
        found.setdefault(name, {})[spec.id] = replace(spec, phase_ms=0)
    return found


def _count(number: int) -> str:
    return "1 probe" if number == 1 else f"{number} probes"
