"""A command loads what it needs: the lab and the virtual world cost half a second that nobody has in an outage."""

from __future__ import annotations

import json
import subprocess
import sys

from siteshift.cli.lab import DEMO_FAULTS
from siteshift.lab.demo import FAULTS

HEAVY = {"aiohttp", "dns", "hypothesis", "numpy", "prometheus_client", "pydantic", "structlog", "tenacity", "yaml"}
PROGRAM = "import json, sys; import siteshift.cli.program; print(json.dumps(sorted(sys.modules)))"


def test_the_program_loads_no_other_layer_and_nothing_heavy() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    loaded = json.loads(ended.stdout)
    ours = {name.split(".")[1] for name in loaded if name.startswith("siteshift.")}
    assert ours == {"cli", "errors"}
    assert HEAVY & set(loaded) == set()


def test_the_faults_named_on_the_command_line_are_those_of_the_demonstration() -> None:
    assert set(DEMO_FAULTS) == set(FAULTS)
