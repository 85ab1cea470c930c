"""Keys, tokens and certificates are replaced as docs/OPERATING.md says, and nobody is refused meanwhile; so is a lost folder."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from integration.node.behind_bind import OTHER_SECRET, BehindBind, node_behind_bind
from integration.probes.pki import Authority
from nodes.command_line import Ended, run
from nodes.running_node import DEADLINE_S, Document, NodeShape, RunningNode, running_node
from servers.dns_servers import KEY_NAME
from servers.ports import free_port
from siteshift.cli.exits import ExitCode

SECOND = "second-key"


def reload(node: RunningNode, change: Callable[[Document], None] | None = None, kind: str = "reload") -> list[Document]:
    """Edit the file, reload, and wait until that is on record; all rows of that kind."""

    def rows() -> list[Document]:
        found: list[Document] = node.ask("GET", f"/v1/journal?kind={kind}")[1]["entries"]
        return found

    before = len(rows())
    if change is not None:
        values = yaml.safe_load(node.config.read_text(encoding="utf-8"))
        change(values)
        node.config.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    assert node.process is not None
    node.process.send_signal(signal.SIGHUP)
    node.until(lambda _: len(rows()) > before)
    return rows()


# -- TSIG -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def zone(tmp_path: Path) -> Iterator[BehindBind]:
    with node_behind_bind(tmp_path) as world:
        yield world


def test_a_tsig_key_is_replaced_without_a_refused_update(zone: BehindBind, tmp_path: Path) -> None:
    """Both keys may write while siteshift goes from one to the other."""
    named = zone.bind.first.directory / "named.conf"
    alone = named.read_text()
    both = alone.replace(f'{{ key "{KEY_NAME}"; }}', f'{{ key "{KEY_NAME}"; key "{SECOND}"; }}')
    assert both != alone
    second = f'key "{SECOND}" {{ algorithm hmac-sha256; secret "{OTHER_SECRET}"; }};\n'
    (tmp_path / "second.key").write_text(OTHER_SECRET)
    (tmp_path / "second.key").chmod(0o600)

    named.write_text(second + both)
    zone.bind.process.send_signal(signal.SIGHUP)
    reload(zone.node, lambda values: values["enactors"][0].update(tsig={"name": SECOND, "secret": f"file:{tmp_path}/second.key"}))
    zone.node.until(lambda status: status["services"][0]["in_step"])
    named.write_text(second + alone.replace(f'{{ key "{KEY_NAME}"; }}', f'{{ key "{SECOND}"; }}'))
    zone.bind.process.send_signal(signal.SIGHUP)

    assert zone.node.act("drain", site="gasan", reason="with the new key")[0] == 200
    zone.node.until(lambda status: status["services"][0]["sites"]["gasan"]["life"] == "drained")
    assert "gasan" not in zone.bind.sites()
    text = zone.node.log.read_text()
    assert "PLANE_REFUSED" not in text and "PLANE_FAILED" not in text, text


# -- tokens and certificates ------------------------------------------------------------------------------------------


class Api:
    """A node with TLS and a token, and somebody who asks it."""

    def __init__(self, node: RunningNode, folder: Path, port: int, authority: Authority) -> None:
        self.node, self.folder, self.port, self.authority = node, folder, port, authority

    def ask(self, token: str) -> Ended:
        way = ("--url", f"https://127.0.0.1:{self.port}", "--ca", self.authority.ca_file)
        return run(*way, "--token-file", str(self.folder / token), "status", "--json")

    def certificate(self) -> str:
        """The one that is shown to whoever connects now."""
        return ssl.get_server_certificate(("127.0.0.1", self.port), timeout=DEADLINE_S)

    def write(self, name: str) -> bytes:
        certificate, key = self.authority.leaf(name, "127.0.0.1")
        (self.folder / "node.crt").write_bytes(certificate)
        (self.folder / "node.key").write_bytes(key)
        (self.folder / "node.key").chmod(0o600)
        return certificate


def secret(folder: Path, name: str) -> str:
    (folder / name).write_text(f"{name}-that-is-long-enough\n")
    (folder / name).chmod(0o600)
    return f"file:{folder / name}"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("rotation")
    authority, port = Authority(folder), free_port()
    certificate, key = authority.leaf("node", "127.0.0.1")
    (folder / "node.crt").write_bytes(certificate)
    (folder / "node.key").write_bytes(key)
    (folder / "node.key").chmod(0o600)
    section = {
        "unix": {"path": str(folder / "api.sock")},
        "tls": {
            "listen": f"127.0.0.1:{port}",
            "certificate_file": str(folder / "node.crt"),
            "key": f"file:{folder / 'node.key'}",
        },
        "tokens": [{"owner": "prometheus", "role": "viewer", "secret": secret(folder, "old")}],
    }
    with running_node(folder, NodeShape(sections={"api": section})) as node:
        yield Api(node, folder, port, authority)


def test_a_token_is_replaced_while_both_are_good(api: Api) -> None:
    entry = {"owner": "prometheus", "role": "viewer", "secret": secret(api.folder, "new")}
    assert api.ask("old").code == ExitCode.DONE
    reload(api.node, lambda values: values["api"]["tokens"].append(entry))
    assert (api.ask("old").code, api.ask("new").code) == (ExitCode.DONE, ExitCode.DONE)
    reload(api.node, lambda values: values["api"]["tokens"].pop(0))
    refused = api.ask("old")
    assert refused.code == ExitCode.REFUSED and "none of `api.tokens`" in refused.out
    assert api.ask("new").code == ExitCode.DONE


def test_a_token_that_cannot_be_read_leaves_the_old_ones(api: Api) -> None:
    good = yaml.safe_load(api.node.config.read_text(encoding="utf-8"))["api"]["tokens"]
    entry = {"owner": "x", "role": "admin", "secret": f"file:{api.folder}/none"}
    reload(api.node, lambda values: values["api"]["tokens"].append(entry), "reload_refused")
    assert api.ask("new" if (api.folder / "new").exists() else "old").code == ExitCode.DONE
    reload(api.node, lambda values: values["api"].update(tokens=good))


def test_a_certificate_is_replaced_by_a_reload_of_the_same_file(api: Api) -> None:
    before = api.certificate()
    after = api.write("node-2").decode()
    assert api.certificate() == before
    reload(api.node)
    assert api.certificate() in after and api.certificate() != before


def test_a_certificate_that_does_not_fit_its_key_leaves_the_old_one(api: Api) -> None:
    before = api.certificate()
    kept = (api.folder / "node.crt").read_bytes(), (api.folder / "node.key").read_bytes()
    certificate, _ = api.authority.leaf("node-3", "127.0.0.1")
    (api.folder / "node.crt").write_bytes(certificate)
    reload(api.node, kind="reload_refused")
    assert api.certificate() == before
    (api.folder / "node.crt").write_bytes(kept[0])
    reload(api.node)


def test_where_it_listens_needs_a_restart(api: Api) -> None:
    rows = reload(api.node, lambda values: values["api"]["tls"].update(listen=f"127.0.0.1:{free_port()}"), "reload_refused")
    assert "api.tls.listen" in rows[-1]["data"]["problems"][0]
    reload(api.node, lambda values: values["api"]["tls"].update(listen=f"127.0.0.1:{api.port}"))


# -- backup and restore -----------------------------------------------------------------------------------------------


def backup(node: RunningNode, target: Path) -> None:
    """As the page says, while the node runs: `sqlite3 siteshift.db "VACUUM INTO '...'"`, then the other files."""
    target.mkdir()
    with sqlite3.connect(node.database) as connection:
        connection.execute(f"VACUUM INTO '{target / node.database.name}'")
    for path in node.database.parent.glob("siteshift.db.steering"):
        shutil.copy2(path, target)


def restore(node: RunningNode, source: Path) -> None:
    shutil.rmtree(node.database.parent)
    shutil.copytree(source, node.database.parent)


def drained(status: Document) -> Any:
    return status["services"][0]["sites"]["gasan"]["life"] == "drained"


def test_a_node_comes_back_from_a_backup_with_what_people_forced(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        assert node.act("drain", site="gasan", reason="power work")[0] == 200
        node.until(drained)
        backup(node, tmp_path / "backup")
        node.kill()
        restore(node, tmp_path / "backup")
        node.start()
        status = node.until(drained)
        assert [entry["reason"] for entry in status["overrides"]] == ["power work"]
        assert status["adoption"] is None
        assert run("journal", "verify", "--socket", str(node.socket)).code == ExitCode.DONE
