"""From the file's policy sections to `Policy`: absent keys keep the core's defaults."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
from siteshift.core.model.codes import DataKind, Failback, Mode
from siteshift.core.model.policy import JudgePolicy, Policy, ServicePolicy
from siteshift.core.model.units import ServiceId

UNSAID_MODE = Mode.RECOMMEND
"""Of a service whose file names no mode: who has not said that siteshift may act is asked first."""


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
    """What holds for services that say nothing else. Without a `mode` anywhere siteshift proposes and moves nothing."""
    return _overlaid(replace(ServicePolicy(), mode=UNSAID_MODE), config.policy)


def idle_services(policy: Policy, services: Iterable[ServiceId]) -> dict[ServiceId, Mode]:
    """The services for which nothing moves by itself, with the mode that says so."""
    modes = {service: policy.of(service).mode for service in services}
    return {service: mode for service, mode in modes.items() if mode is not Mode.AUTO}


def idle_text(idle: Mapping[ServiceId, Mode]) -> str:
    """The same in a sentence, for who starts or checks; empty when all services are moved automatically."""
    if not idle:
        return ""
    named = ", ".join(f"{service} ({mode.value})" for service, mode in idle.items())
    return f"nothing moves by itself for {named}: siteshift watches, proposes under recommend, and waits for a person"


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
