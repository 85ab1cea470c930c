"""Every key of the policy has an effect: the core reads what it sets, in stories that run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from architecture.test_every_code_is_produced import STORIES
from core.judge import test_observer
from core.judge.cases import PANGYO, Drive, deployment
from siteshift.config.model.policy import DEPLOYMENT_FIELDS, JUDGE_FIELDS, OVERRIDE_FIELDS, SERVICE_POLICY_FIELDS
from siteshift.core.model.codes import Fault
from siteshift.core.model.policy import JudgePolicy, Policy, ServicePolicy

KEYS = {Policy: {**DEPLOYMENT_FIELDS, **OVERRIDE_FIELDS}, ServicePolicy: SERVICE_POLICY_FIELDS, JudgePolicy: JUDGE_FIELDS}
OF_OTHER_LAYERS = {
    "data_max_lag_ms": "`config.resolve_probes` puts it into the command of the data role's check",
    "timeout_ms": "`config.resolve_probes`: the timeout of every probe that has none of its own",
}
"""Read where probes are made: tests/config/test_resolve.py runs it."""


@contextmanager
def noted() -> Iterator[set[tuple[type, str]]]:
    """Which fields of the policies are read while it lasts."""
    found: set[tuple[type, str]] = set()

    def noting(self: Any, name: str) -> Any:
        found.add((type(self), name))
        return object.__getattribute__(self, name)

    for kind in KEYS:
        kind.__getattribute__ = noting  # type: ignore[method-assign,assignment]
    try:
        yield found
    finally:
        for kind in KEYS:
            del kind.__getattribute__


@pytest.fixture(scope="module")
def read() -> set[tuple[type, str]]:
    with noted() as found:
        for story in STORIES:
            story()
        test_observer.test_one_sick_member_stays_one_sick_member()
        for fault in (Fault.REFUSED, Fault.TIMEOUT):
            drive = Drive(deployment())
            drive.run(20_000)
            drive.fail(PANGYO, fault)
            drive.run(10_000)
    return found


@pytest.mark.parametrize("kind", KEYS, ids=lambda kind: kind.__name__)
def test_every_key_of_the_policy_is_read_by_what_decides(kind: type, read: set[tuple[type, str]]) -> None:
    unread = {key for key, field in KEYS[kind].items() if (kind, field) not in read and field not in OF_OTHER_LAYERS}
    assert unread == set()


def test_a_field_that_nobody_reads_would_be_found() -> None:
    with noted() as found:
        assert Policy().override_warn_ms
    assert (Policy, "override_warn_ms") in found and (Policy, "override_max_ms") not in found
