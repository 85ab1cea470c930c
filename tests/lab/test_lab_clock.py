"""All processes of a lab have one clock."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from siteshift.lab.ground import Loopback
from siteshift.lab.shape import LabShape, lay_out
from siteshift.lab.spec import load_spec
from siteshift.lab.timeline import wall_clock


def test_a_process_that_starts_after_the_machines_clock_was_set_counts_on_as_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bins of the clients and the instants of the recording came apart by the step, and a run had seen no request."""
    spec = lay_out(LabShape(), Loopback(), tmp_path)
    spec.save()
    before_ms = wall_clock(spec.clock_offset_ms)()
    assert abs(before_ms - time.time_ns() // 1_000_000) < 5_000
    an_hour_on_ns = time.time_ns() + 3_600_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: an_hour_on_ns)
    assert 0 <= wall_clock(load_spec(spec.file).clock_offset_ms)() - before_ms < 60_000
