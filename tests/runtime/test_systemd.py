"""What systemd hears, over a real datagram socket."""

import asyncio
import os
import socket
import time
from pathlib import Path

import pytest

from siteshift.runtime.systemd import SystemdNotifier, feed_watchdog

PATIENCE_S = 30


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path):
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    if request.param == "path":
        address = str(tmp_path / "notify")
        heard.bind(address)
    else:
        address = f"@siteshift-test-{os.getpid()}"
        heard.bind("\0" + address[1:])
    heard.settimeout(PATIENCE_S)
    yield heard, address
    heard.close()


def test_ready_status_and_stopping_are_told_in_one_message_each(listener) -> None:
    heard, address = listener
    notifier = SystemdNotifier.from_environment({"NOTIFY_SOCKET": address})
    assert notifier.is_listening
    notifier.ready("3 sites, 2 services\nserving")
    notifier.status("pangyo: draining")
    notifier.stopping()
    notifier.alive()
    assert [heard.recv(4096).decode() for _ in range(4)] == [
        "READY=1\nSTATUS=3 sites, 2 services serving",
        "STATUS=pangyo: draining",
        "STOPPING=1",
        "WATCHDOG=1",
    ]
    notifier.close()


def test_a_reload_carries_the_monotonic_instant(listener) -> None:
    heard, address = listener
    before_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notifier = SystemdNotifier.from_environment({"NOTIFY_SOCKET": address})
    notifier.reloading()
    word, instant = heard.recv(4096).decode().split("\n")
    assert word == "RELOADING=1"
    assert before_us <= int(instant.removeprefix("MONOTONIC_USEC=")) <= time.clock_gettime_ns(1) // 1000
    notifier.close()


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}])
def test_outside_systemd_nothing_happens(environment: dict[str, str]) -> None:
    notifier = SystemdNotifier.from_environment(environment | {"WATCHDOG_USEC": "1000"})
    assert not notifier.is_listening
    assert notifier.watchdog_us == 0
    notifier.ready("nobody listens")


def test_a_socket_that_is_gone_or_full_does_not_disturb(tmp_path: Path, listener) -> None:
    SystemdNotifier.from_environment({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()
    _, address = listener
    notifier = SystemdNotifier.from_environment({"NOTIFY_SOCKET": address})
    for _ in range(5_000):
        notifier.alive()
    notifier.close()


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30_000_000),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30_000_000),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, 0),
        ({"WATCHDOG_USEC": "soon"}, 0),
        ({"WATCHDOG_USEC": "-5"}, 0),
        ({}, 0),
    ],
)
def test_the_watchdog_interval_is_taken_only_when_it_is_meant_for_us(variables: dict[str, str], wanted: int) -> None:
    assert SystemdNotifier.from_environment({"NOTIFY_SOCKET": "/run/x", **variables}).watchdog_us == wanted


async def test_the_watchdog_is_fed_only_while_the_consumer_makes_progress(listener) -> None:
    heard, address = listener
    notifier = SystemdNotifier.from_environment({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "2000"})
    asked, ill = [], asyncio.Event()

    def healthy() -> bool:
        asked.append(None)
        return len(asked) <= 3

    feeding = asyncio.create_task(feed_watchdog(notifier, healthy, on_unhealthy=ill.set))
    await asyncio.wait_for(ill.wait(), PATIENCE_S)
    feeding.cancel()
    await asyncio.wait({feeding})
    assert [heard.recv(64) for _ in range(3)] == [b"WATCHDOG=1"] * 3
    heard.setblocking(False)
    with pytest.raises(BlockingIOError):
        heard.recv(64)
    notifier.close()


async def test_without_a_watchdog_the_feeder_only_waits() -> None:
    feeding = asyncio.create_task(feed_watchdog(SystemdNotifier(""), lambda: True))
    done, _ = await asyncio.wait({feeding}, timeout=0)
    assert not done
    feeding.cancel()
    await asyncio.wait({feeding})
