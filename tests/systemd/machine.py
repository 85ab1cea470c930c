"""A small machine with the shipped unit: a Debian from `scripts/systemd-root`, booted by systemd-nspawn without a network.

Its root is never changed: everything written goes to memory and ends with the machine. Commands are run inside by nsenter.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
ROOT = Path(os.environ.get("SITESHIFT_SYSTEMD_ROOT", REPOSITORY / "build" / "systemd-root"))
DEADLINE_S = 120.0
"""Generous: a machine boots in seconds, on a busy one in a minute."""

LAUNCHER = """#!/usr/bin/python3
import sys
sys.path[:0] = ["/opt/siteshift/src", "/opt/siteshift/packages"]
from siteshift.cli import main
sys.argv[0] = "siteshift"
sys.exit(main())
"""


@dataclass(slots=True, kw_only=True)
class Machine:
    """The booted machine."""

    folder: Path
    boot: subprocess.Popen[bytes]
    init: int

    @property
    def config(self) -> Path:
        return self.folder / "etc" / "siteshift.yaml"

    def run(self, *command: str, check: bool = True, user: str | None = None) -> str:
        """A command inside; what it printed. ``user``: as a person of that name, with the groups they have."""
        asked = ["runuser", "-u", user, "--", *command] if user else list(command)
        done = subprocess.run(
            ["nsenter", "-t", str(self.init), "--all", "--", *asked],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
            env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}\n{self.journal()}"
        return done.stdout + done.stderr

    def show(self, name: str) -> str:
        """One property of the unit."""
        return self.run("systemctl", "show", "siteshift", "--property", name, "--value").strip()

    def journal(self) -> str:
        return self.run("journalctl", "-u", "siteshift", "-o", "cat", "--no-pager", "-n", "60", check=False)

    def until(self, what: str, holds: Callable[[], object]) -> None:
        """Wait until something is so. Fails with the unit's journal."""
        limit_s = time.monotonic() + DEADLINE_S
        while not holds():
            assert time.monotonic() < limit_s, f"not so after {DEADLINE_S:g} s: {what}\n{self.journal()}"
            time.sleep(0.2)


@contextmanager
def machine(folder: Path, config: str) -> Iterator[Machine]:
    """Boot it with the shipped unit, sysusers file and this configuration; power it off with the block."""
    launcher = folder / "siteshift"
    launcher.write_text(LAUNCHER, encoding="utf-8")
    launcher.chmod(0o755)
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    binds = {
        REPOSITORY / "config" / "siteshift.service": "/etc/systemd/system/siteshift.service",
        REPOSITORY / "config" / "siteshift.sysusers": "/etc/sysusers.d/siteshift.conf",
        REPOSITORY / "src": "/opt/siteshift/src",
        Path(packages): "/opt/siteshift/packages",
        launcher: "/opt/siteshift/.venv/bin/siteshift",
    }
    with bare_machine(folder, binds) as found:
        found.config.write_text(config, encoding="utf-8")
        yield found


@contextmanager
def bare_machine(folder: Path, binds: Mapping[Path, str]) -> Iterator[Machine]:
    """Boot it with these of our files and nothing else of ours; `folder/etc` is its /etc/siteshift."""
    for tool in ("systemd-nspawn", "nsenter"):
        assert shutil.which(tool), f"{tool} is missing: make servers"
    assert (ROOT / ".complete").exists(), f"there is no {ROOT}: scripts/systemd-root {ROOT}"
    (folder / "etc").mkdir()
    folder.chmod(0o755)
    command = ["systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--private-network", "--volatile=overlay"]
    command += [f"--directory={ROOT}", "--console=pipe", f"--bind={folder / 'etc'}:/etc/siteshift"]
    command += [f"--bind-ro={here}:{there}" for here, there in binds.items()]
    with (folder / "boot.log").open("wb") as log:
        boot = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            found = Machine(folder=folder, boot=boot, init=_init_of(boot, folder / "boot.log"))
            found.until("the machine has booted", lambda: _is_up(found))
            yield found
        finally:
            _power_off(boot)


def _init_of(boot: subprocess.Popen[bytes], log: Path) -> int:
    """The machine's process 1 as we see it: the only child of nspawn's that is called systemd."""
    limit_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < limit_s and boot.poll() is None:
        children = Path(f"/proc/{boot.pid}/task/{boot.pid}/children").read_text().split()
        for child in children:
            if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                return int(child)
        time.sleep(0.1)
    raise AssertionError(f"the machine did not boot: {log.read_text(errors='replace')[-2_000:]}")


def _is_up(found: Machine) -> bool:
    state = found.run("systemctl", "is-system-running", check=False).strip().splitlines()
    return bool(state) and state[-1] in ("running", "degraded")


def _power_off(boot: subprocess.Popen[bytes]) -> None:
    """nspawn powers the machine off at SIGTERM; one that hangs is ended with all it runs."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if boot.poll() is None:
            boot.send_signal(number)
            try:
                boot.wait(60)
            except subprocess.TimeoutExpired:
                continue
