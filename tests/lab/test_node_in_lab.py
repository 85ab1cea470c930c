"""A real node in the lab: it writes what the node reads, and hears what the node says."""

from __future__ import annotations

from lab.waiting import until
from siteshift.lab.faults import Crash
from siteshift.lab.measure import DIAGNOSIS, WRITE
from siteshift.lab.recording import Recording
from siteshift.lab.report import render
from siteshift.lab.spec import ClientSpec
from siteshift.lab.timeline import totals
from siteshift.lab.world import Lab, LabShape


async def test_a_node_in_the_lab_leaves_a_crashed_site_and_the_recording_tells_it() -> None:
    async with Lab(LabShape(clients=ClientSpec(load_rps=100, users=200, resolvers=200))) as lab:
        await lab.start_node()
        await lab.start_clients()
        async with Recording(lab) as recording:
            await until(lambda: served(lab) > 200, "users are served by the node's DNS")
            fault_ms = recording.now_ms()
            await lab.apply(Crash(site="pangyo"))
            await until(lambda: {DIAGNOSIS, WRITE} <= {event.kind for event in recording.events}, "the node acts")
            await until(lambda: recording.desired[-1].shares_bp["pangyo"] == 0, "pangyo is steered to nothing")
            await until(lambda: lab_capacity(recording) > 0, "capacities are sampled")
            found = recording.milestones(site="pangyo", fault_ms=fault_ms, until_ms=recording.now_ms())
            run = recording.run(title="t", summary="s", milestones=found, criteria=[], parameters={})
        assert found.first_write_ms is not None
        assert found.diagnosis_ms is not None
        assert found.lost > 0
        assert "SITE_DOWN" in render(run)
        assert lab.stop_node() == 0


def served(lab: Lab) -> int:
    lab.timeline.refresh()
    return sum(count.served for count in totals(lab.timeline.bins).values())


def lab_capacity(recording: Recording) -> int:
    return sum(recording.capacities[-1].rps.values()) if recording.capacities else 0
