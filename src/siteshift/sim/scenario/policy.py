"""The `policy:` of a scenario: the product's own policy keys, in the product's own units.

A test holds the keys against those of the configuration file, so that what was replayed can be configured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from siteshift.core.model.policy import JudgePolicy, Policy, ServicePolicy
from siteshift.core.model.units import ServiceId
from siteshift.sim.scenario.document import ScenarioDocument, ScenarioProblemCode, Spot, Value
from siteshift.sim.scenario.fields import FieldKey, Names, keys_of, read_fields

SERVICE_KEYS = keys_of(ServicePolicy, frozenset({"data_max_lag_ms"}))
"""What may stand under `policy:` and under `policy: services: NAME:`."""
JUDGING_KEYS = keys_of(JudgePolicy, frozenset(entry for entry in JudgePolicy.__slots__ if entry.endswith("_ms")))
"""What may stand under `policy: judging:`; probe times are written in milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyPart:
    """What a file says about the policy: only what differs from what it is laid over."""

    judging: Mapping[str, Any] = field(default_factory=dict)
    default: Mapping[str, Any] = field(default_factory=dict)
    services: Mapping[ServiceId, Mapping[str, Any]] = field(default_factory=dict)

    def over(self, policy: Policy) -> Policy:
        """The policy with this laid over it."""
        default = replace(policy.default, **self.default)
        services = {service: replace(entry, **self.default) for service, entry in policy.services.items()}
        for service, part in self.services.items():
            services[service] = replace(services.get(service, default), **part)
        return replace(policy, judge=replace(policy.judge, **self.judging), default=default, services=services)


def read_policy(document: ScenarioDocument, value: Value, spot: Spot, names: Names) -> PolicyPart:
    """Read a `policy:` section; problems are noted in the document."""
    section = _mapping(document, value, spot)
    plain = {key: entry for key, entry in section.items() if key not in ("judging", "services")}
    default = read_fields(document, plain, spot, SERVICE_KEYS, names, what="a policy")
    judging = _part(document, section.get("judging"), (*spot, "judging"), JUDGING_KEYS, names)
    services = {}
    for name, entry in _mapping(document, section.get("services"), (*spot, "services")).items():
        here = (*spot, "services", name)
        if not names.has("service", name):
            remedy = f"this world has {names.listing('service')}"
            document.note(ScenarioProblemCode.UNKNOWN_NAME, here, f"there is no service `{name}`", remedy)
        services[ServiceId(name)] = _part(document, entry, here, SERVICE_KEYS, names)
    return PolicyPart(judging=judging, default=default, services=services)


def _part(document: ScenarioDocument, value: Value, spot: Spot, keys: Mapping[str, FieldKey], names: Names) -> dict[str, Any]:
    return read_fields(document, _mapping(document, value, spot), spot, keys, names, what="a policy")


def _mapping(document: ScenarioDocument, value: Value, spot: Spot) -> dict[str, Value]:
    if value is None or isinstance(value, dict):
        return value or {}
    document.note(ScenarioProblemCode.WRONG_TYPE, spot, "must hold keys and values")
    return {}
