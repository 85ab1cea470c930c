"""One node for the tests of this folder, and the command line as tests use it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nodes.command_line import Cli, run
from nodes.running_node import RunningNode, running_node


@pytest.fixture(scope="session")
def shared_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    with running_node(tmp_path_factory.mktemp("node")) as node:
        yield node


@pytest.fixture
def node(shared_node: RunningNode) -> Iterator[RunningNode]:
    """The node with nothing forced and all sites serving; left so again."""
    shared_node.calm()
    yield shared_node


@pytest.fixture
def cli(node: RunningNode, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line, pointed at the node."""
    monkeypatch.setenv("SITESHIFT_SOCKET", str(node.socket))
    return run
