"""The configuration as it takes effect: every default filled in, every policy made out, secrets as references."""

from __future__ import annotations

from typing import Any, TypeVar

import yaml
from pydantic import BaseModel

from siteshift.config.model.policy import (
    DEPLOYMENT_FIELDS,
    JUDGE_FIELDS,
    OVERRIDE_FIELDS,
    SERVICE_POLICY_FIELDS,
    JudgingSection,
    OverridesSection,
    PolicySection,
    ServicePolicySection,
)
from siteshift.config.model.root import ConfigFile
from siteshift.config.resolve_policy import judge_policy, policy_of, service_policy

Section = TypeVar("Section", bound=BaseModel)


def effective_values(config: ConfigFile) -> dict[str, Any]:
    """Plain values that are themselves a valid configuration, with the same meaning."""
    policy = policy_of(config)
    overrides = section_of(OverridesSection, OVERRIDE_FIELDS, policy)
    general = {
        **_fields(SERVICE_POLICY_FIELDS, policy.default),
        **_fields(DEPLOYMENT_FIELDS, policy),
        "overrides": overrides,
    }
    services = tuple(
        service.model_copy(
            update={
                "policy": section_of(ServicePolicySection, SERVICE_POLICY_FIELDS, service_policy(config, service)),
            }
        )
        for service in config.services
    )
    effective = config.model_copy(
        update={
            "judging": section_of(JudgingSection, JUDGE_FIELDS, judge_policy(config)),
            "policy": PolicySection.model_construct(**general),
            "services": services,
        }
    )
    values: dict[str, Any] = effective.model_dump(mode="json", exclude_none=True)
    return values


def show_config(config: ConfigFile) -> str:
    """`effective_values` as YAML."""
    return yaml.safe_dump(effective_values(config), sort_keys=False, allow_unicode=True, width=110)


def _fields(names: dict[str, str], source: object) -> dict[str, Any]:
    return {key: getattr(source, field) for key, field in names.items()}


def section_of(kind: type[Section], names: dict[str, str], source: object) -> Section:
    """A section of the file that says what ``source`` (a policy of the core) holds; ``names`` are key → field."""
    return kind.model_construct(**_fields(names, source))
