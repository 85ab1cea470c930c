"""From the file's policy sections to `Policy`: absent keys keep the core's defaults."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import BaseModel

from siteshift.config.model.policy import (
    DEPLOYMENT_FIELDS,
    JUDGE_FIELDS,
    OVERRIDE_FIELDS,
    SERVICE_POLICY_FIELDS,
    ServicePolicySection,
)
from siteshift.config.model.root import ConfigFile
from siteshift.config.model.topology import ServiceEntry
from siteshift.core.model.codes import DataKind, Failback
from siteshift.core.model.policy import JudgePolicy, Policy, ServicePolicy
from siteshift.core.model.units import ServiceId


def policy_of(config: ConfigFile) -> Policy:
    """The whole policy. Services whose policy is the default have no entry of their own."""
    default = default_policy(config)
    special = {
        ServiceId(service.id): policy for service in config.services if (policy := service_policy(config, service)) != default
    }
    return replace(
        Policy(judge=judge_policy(config), default=default, services=special),
        **_given(config.policy, DEPLOYMENT_FIELDS),
        **_given(config.policy.overrides, OVERRIDE_FIELDS),
    )


def judge_policy(config: ConfigFile) -> JudgePolicy:
    """How evidence is judged."""
    return replace(JudgePolicy(), **_given(config.judging, JUDGE_FIELDS))


def default_policy(config: ConfigFile) -> ServicePolicy:
    """What holds for services that say nothing else."""
    return _overlaid(ServicePolicy(), config.policy)


def service_policy(config: ConfigFile, service: ServiceEntry) -> ServicePolicy:
    """What holds for one service. Writable data come back by hand unless somebody says otherwise (DESIGN §8)."""
    default = default_policy(config)
    if service.data is DataKind.WRITABLE and config.policy.failback is None:
        default = replace(default, failback=Failback.MANUAL)
    return _overlaid(default, service.policy)


def _overlaid(policy: ServicePolicy, section: ServicePolicySection) -> ServicePolicy:
    return replace(policy, **_given(section, SERVICE_POLICY_FIELDS))


def _given(section: BaseModel, names: dict[str, str]) -> dict[str, Any]:
    """The fields of the core that the section sets."""
    found = {field: getattr(section, key) for key, field in names.items()}
    return {field: value for field, value in found.items() if value is not None}
