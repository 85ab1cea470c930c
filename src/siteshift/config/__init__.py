"""Configuration: one strict YAML file, every problem at once with its place and remedy, and what it resolves to.

``load_config`` → `LoadedConfig` → ``resolve`` → `Resolved` (topology, policy, probes, setups of adapters). The file's
model stands in `siteshift.config.model`; ids of problems in `siteshift.config.problem`.
"""

from siteshift.config.changes import describe_changes
from siteshift.config.errors import ConfigError, SecretUnavailable
from siteshift.config.load import LoadedConfig, Surroundings, check_config, check_text, load_config
from siteshift.config.problem import Problem, ProblemCode, ProblemSeverity
from siteshift.config.resolve import Resolved, resolve
from siteshift.config.resolve_policy import idle_services, idle_text, policy_of
from siteshift.config.schema import config_schema
from siteshift.config.secret import SecretRef
from siteshift.config.show import effective_values, show_config

__all__ = [
    "ConfigError",
    "LoadedConfig",
    "Problem",
    "ProblemCode",
    "ProblemSeverity",
    "Resolved",
    "SecretRef",
    "SecretUnavailable",
    "Surroundings",
    "check_config",
    "check_text",
    "config_schema",
    "describe_changes",
    "effective_values",
    "idle_services",
    "idle_text",
    "load_config",
    "policy_of",
    "resolve",
    "show_config",
]
