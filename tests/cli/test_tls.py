"""Over TLS with tokens: who may what, and two persons for what needs two."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from nodes.command_line import Cli, Ended, run
from nodes.running_node import NodeShape, RunningNode, running_node
from servers.ports import free_port
from siteshift.cli.exits import ExitCode

PEOPLE = {"vera": "viewer", "oskar": "operator", "anna": "approver"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def tls_node(folder: Path) -> Iterator[tuple[RunningNode, int]]:
    """A node with a certificate of its own and a token for each person."""
    _write_certificate(folder)
    for person in PEOPLE:
        (folder / person).write_text(f"{person}-long-enough-a-secret\n")
        (folder / person).chmod(0o600)
    port = free_port()
    api = {
        "unix": {"path": str(folder / "api.sock")},
        "tls": {
            "listen": f"127.0.0.1:{port}",
            "certificate_file": str(folder / "node.crt"),
            "key": f"file:{folder / 'node.key'}",
        },
        "tokens": [{"owner": name, "role": role, "secret": f"file:{folder / name}"} for name, role in PEOPLE.items()],
    }
    with running_node(folder, NodeShape(sections={"api": api})) as node:
        yield node, port


def _write_certificate(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "node")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "node.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "node.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    (folder / "node.key").chmod(0o600)


@pytest.fixture
def cli_of(tls_node: tuple[RunningNode, int], folder: Path) -> dict[str, Cli]:
    """Each person's command line."""
    node, port = tls_node
    node.calm()

    def of(person: str) -> Cli:
        def ask(*words: str) -> Ended:
            way = ("--url", f"https://127.0.0.1:{port}", "--ca", str(folder / "node.crt"), "--token-file", str(folder / person))
            return run(*way, *words)

        return ask

    return {person: of(person) for person in PEOPLE}


def test_a_viewer_looks_and_does_not_act(cli_of: dict[str, Cli]) -> None:
    assert cli_of["vera"]("status").code == ExitCode.DONE
    ended = cli_of["vera"]("drain", "pangyo", "-r", "x", "--yes")
    assert ended.code == ExitCode.REFUSED
    assert "vera is viewer; this needs operator" in ended.err
    assert "api.tokens" in ended.err


def test_an_operator_drains_in_his_own_name(cli_of: dict[str, Cli], tls_node: tuple[RunningNode, int]) -> None:
    assert cli_of["oskar"]("drain", "pangyo", "-r", "x", "--yes").code == ExitCode.DONE
    assert tls_node[0].status()["overrides"][0]["owner"] == "oskar"


def test_two_persons_carry_an_overload(cli_of: dict[str, Cli], tls_node: tuple[RunningNode, int]) -> None:
    """The operator is told what a colleague must do; then it goes through within those bounds, with both names on record."""
    words = ("override", "shares", "shop", "pangyo=96", "gasan=2", "anyang=2", "--reason", "test")
    first = cli_of["oskar"](*words, "--yes")
    assert first.code == ExitCode.NEEDS_APPROVAL
    assert "CAPACITY_SHORT" in first.out
    digest = cli_of["oskar"](*words, "--dry-run", "--json").document["plans"][0]["digest"]
    assert f"siteshift approve {digest}" in first.err
    kept = cli_of["oskar"](*words, "--digest", digest)
    assert kept.code == ExitCode.NEEDS_APPROVAL
    assert "it is kept and nothing has moved yet" in kept.err
    assert "another person with the role approver must run" in kept.err
    listed = cli_of["vera"]("approvals").out
    for part in (digest, "waiting", "asked for by oskar", f"siteshift approve {digest}", "shop at pangyo: share 49 to 97 %"):
        assert part in listed
    assert max(map(len, listed.splitlines())) <= 80
    assert cli_of["oskar"]("approve", digest).code == ExitCode.REFUSED
    shown = cli_of["anna"]("approve", digest)
    assert (shown.code, "shop at pangyo: share 49 to 97 %" in shown.out) == (ExitCode.USAGE, True)
    granted = cli_of["anna"]("approve", digest, "--yes")
    assert granted.code == ExitCode.DONE, granted.err
    assert tls_node[0].status()["overrides"][0]["approved_by"] == ["anna"]
    again = cli_of["oskar"](*words, "--digest", digest)
    assert again.code == ExitCode.DONE, "a second identical request joins the first"
    assert "in force as override" in again.out
    assert len(tls_node[0].status()["overrides"]) == 1
    taken = cli_of["anna"]("revoke", digest)
    assert taken.code == ExitCode.DONE, taken.err
    assert "anna (approver by token)" in cli_of["vera"]("approvals").out


def test_without_a_token_or_the_right_authority(tls_node: tuple[RunningNode, int], folder: Path) -> None:
    url = f"https://127.0.0.1:{tls_node[1]}"
    nameless = run("status", "--url", url, "--ca", str(folder / "node.crt"))
    assert nameless.code == ExitCode.REFUSED
    assert "--token-file" in nameless.err
    distrusted = run("status", "--url", url)
    assert distrusted.code == ExitCode.UNREACHABLE
    assert "--ca" in distrusted.err
    assert run("status", "--url", url, "--ca", str(folder / "none.crt")).code == ExitCode.FAILED
