"""Servers that ask for our certificate: it is shown whichever way a check goes, read again when it is renewed, and while it is
not valid nothing is said about the server."""

from __future__ import annotations

import os
import shutil
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization

from siteshift.core.model.codes import Fault, Outcome
from siteshift.core.model.probe import HttpCheck, ProbeKind, ProbeSpec, TlsCheck

from .peers import web_peer
from .pki import Authority
from .probing import first_result, probing, spec
from .test_grpc import grpc_peer
from .test_proxy_protocol import behind

Way = Callable[[int, TlsCheck], ProbeSpec]
WAYS: dict[str, Way] = {
    "https": lambda port, tls: spec(ProbeKind.HTTPS, port, tls=tls),
    "https, kept": lambda port, tls: spec(ProbeKind.HTTPS, port, tls=tls, keep_alive=True),
    "redirects": lambda port, tls: spec(ProbeKind.HTTPS, port, tls=tls, http=HttpCheck(follow_redirects=1)),
    "journey": lambda port, tls: spec(ProbeKind.JOURNEY, port, tls=tls, steps=(HttpCheck(),)),
    "grpc": lambda port, tls: spec(ProbeKind.GRPC, port, tls=tls),
    "grpc, kept": lambda port, tls: spec(ProbeKind.GRPC, port, tls=tls, keep_alive=True),
}
NAME = "web.example"


async def ok(_request: web.Request) -> web.Response:
    return web.Response(text="ok")


@asynccontextmanager
async def strict_peer(way: str, authority: Authority) -> AsyncIterator[int]:
    """A server that wants a certificate of the same authority."""
    if way.startswith("grpc"):
        credentials = grpc.ssl_server_credentials([authority.leaf(NAME)[::-1]], authority.ca_pem, True)
        async with grpc_peer(credentials=credentials) as port:
            yield port
        return
    context = authority.server(NAME)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.ca_file)
    async with web_peer(web.get("/", ok), tls=context) as port:
        yield port


def own(authority: Authority, folder: Path, *, days: int = 90, name: str = "probe") -> TlsCheck:
    """A certificate of ours, key and all in one file."""
    path = folder / f"{name}.pem"
    path.write_bytes(b"".join(authority.leaf("node.example", days=days)))
    return TlsCheck(server_name=NAME, ca_file=authority.ca_file, client_certificate=str(path))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.mark.parametrize("way", WAYS)
async def test_our_certificate_is_shown(way: str, authority: Authority, tmp_path: Path) -> None:
    async with strict_peer(way, authority) as port, probing(WAYS[way](port, own(authority, tmp_path))) as seen:
        result = await seen.until(lambda _: True, times=3)
    assert (result.outcome, result.fault) == (Outcome.PASS, Fault.NONE), result.detail


async def test_its_key_may_be_in_another_file(authority: Authority, tmp_path: Path) -> None:
    cert, key = authority.leaf("node.example")
    (tmp_path / "a.crt").write_bytes(cert)
    (tmp_path / "a.key").write_bytes(key)
    apart = TlsCheck(
        server_name=NAME,
        ca_file=authority.ca_file,
        client_certificate=str(tmp_path / "a.crt"),
        client_key=str(tmp_path / "a.key"),
    )
    async with strict_peer("https", authority) as port:
        result = await first_result(WAYS["https"](port, apart))
    assert result.outcome is Outcome.PASS, result.detail


@pytest.mark.parametrize("newest", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize("way", WAYS)
async def test_a_server_that_refuses_us_is_said_to(way: str, newest: str, authority: Authority, tmp_path: Path) -> None:
    """Without a certificate, and with one of an authority that it does not know. With TLS 1.3 its alert follows the handshake.

    A real HAProxy: Python's own servers close without an alert, and then there is nothing to tell.
    """
    bare = TlsCheck(server_name=NAME, ca_file=authority.ca_file)
    foreign = replace(own(Authority(tmp_path, "foreign"), tmp_path), ca_file=authority.ca_file)
    (tmp_path / "server.pem").write_bytes(b"".join(authority.leaf(NAME)))
    bind = f"ssl crt {tmp_path}/server.pem ca-file {authority.ca_file} verify required ssl-max-ver {newest} alpn h2,http/1.1"
    async with behind(tmp_path, bind, header=False) as port:
        for tls in (bare, foreign):
            result = await first_result(WAYS[way](port, tls))
            assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.PROTOCOL), result.detail
            # TLS 1.2 has no alert of its own for a certificate that is missing.
            words = "ALERT_HANDSHAKE_FAILURE" if (newest, tls) == ("TLSv1.2", bare) else "refuses our client certificate"
            assert words in result.detail


@pytest.mark.parametrize("way", WAYS)
async def test_while_it_is_not_valid_nothing_is_said_about_the_server(way: str, authority: Authority, tmp_path: Path) -> None:
    async with strict_peer(way, authority) as port:
        result = await first_result(WAYS[way](port, own(authority, tmp_path, days=-2)))
    assert (result.outcome, result.fault) == (Outcome.LOST, Fault.LOCAL)
    assert "our client certificate" in result.detail


@pytest.mark.parametrize("way", WAYS)
async def test_a_renewed_one_is_read_while_we_run(way: str, authority: Authority, tmp_path: Path) -> None:
    tls = own(authority, tmp_path, days=-2)
    async with strict_peer(way, authority) as port, probing(WAYS[way](port, tls)) as seen:
        await seen.until(lambda result: result.outcome is Outcome.LOST)
        own(authority, tmp_path, name="renewed")
        shutil.move(tmp_path / "renewed.pem", tls.client_certificate)
        await seen.until(lambda result: result.outcome is Outcome.PASS)


async def test_a_file_that_is_half_written_leaves_the_one_before_in_use(authority: Authority, tmp_path: Path) -> None:
    tls, written = own(authority, tmp_path), tmp_path / "probe.pem"
    async with strict_peer("https", authority) as port, probing(WAYS["https"](port, tls)) as seen:
        await seen.until(lambda result: result.outcome is Outcome.PASS)
        written.write_bytes(b"-----BEGIN CERT")
        os.utime(written, ns=(1, 1))
        since = len(seen.results)
        result = await seen.until(lambda _: True, times=2, since=since)
        assert result.outcome is Outcome.PASS, result.detail
        written.unlink()
        result = await seen.until(lambda _: True, times=2, since=len(seen.results))
    assert result.outcome is Outcome.PASS, result.detail


async def test_an_authority_that_is_renewed_is_read_too(tmp_path: Path) -> None:
    old, new = Authority(tmp_path, "old"), Authority(tmp_path, "new")
    trusted = tmp_path / "trusted.pem"
    shutil.copy(old.ca_file, trusted)
    async with web_peer(web.get("/", ok), tls=new.server(NAME)) as port:
        tls = TlsCheck(server_name=NAME, ca_file=str(trusted))
        async with probing(WAYS["https"](port, tls)) as seen:
            await seen.until(lambda result: result.fault is Fault.BAD_CERTIFICATE)
            shutil.copy(new.ca_file, trusted)
            os.utime(trusted, ns=(1, 1))
            await seen.until(lambda result: result.outcome is Outcome.PASS)


async def test_a_key_that_wants_a_password_asks_nobody(authority: Authority, tmp_path: Path) -> None:
    cert, key = authority.leaf("node.example")
    locked = serialization.load_pem_private_key(key, None).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    )
    (tmp_path / "locked.pem").write_bytes(cert + locked)
    tls = TlsCheck(server_name=NAME, ca_file=authority.ca_file, client_certificate=str(tmp_path / "locked.pem"))
    async with strict_peer("https", authority) as port:
        result = await first_result(WAYS["https"](port, tls))
    assert (result.outcome, result.fault) == (Outcome.LOST, Fault.LOCAL)
