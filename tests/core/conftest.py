"""Every playbook keeps every law, whether its test asks about laws or not. A test that plants a fault takes `broken_laws`,
looks, and clears it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from core import playbook
from siteshift.core.invariants import Violation


@pytest.fixture(autouse=True)
def broken_laws(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Violation]]:
    broken: list[Violation] = []
    judge = playbook.check

    def check(*passage: object) -> tuple[Violation, ...]:
        found = judge(*passage)  # type: ignore[arg-type]
        broken.extend(found)
        return found

    monkeypatch.setattr(playbook, "check", check)
    yield broken
    assert broken == []
