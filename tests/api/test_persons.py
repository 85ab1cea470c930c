"""Who may: by token, client certificate or peer credentials; what each role may; and when two persons are needed."""

from __future__ import annotations

import asyncio
import json
import pwd
import shutil
import ssl
import subprocess
from pathlib import Path

import aiohttp
import pytest

from api.served import Document, Reply, Served, token
from integration.probes.pki import Authority

OVERLOAD = {"service": "web", "shares_bp": {"pangyo": 0, "gasan": 10_000, "anyang": 0}, "reason": "forced"}
"""All of 100 rps to a site that carries 40, and 60 with its standby."""

PEER = """
import http.client, socket, sys
class Node(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(sys.argv[1])
node = Node("node")
node.request("POST", "/v1/drain", b'{"site": "pangyo", "reason": "peer", "dry_run": true}')
first = node.getresponse()
first.read()
node.request("GET", "/v1/status")
print(first.status, node.getresponse().status)
"""


@pytest.mark.parametrize(
    ("owner", "looks", "drains", "approves"),
    [("vera", 200, 403, 403), ("olaf", 200, 200, 403), ("ada", 200, 200, 422), ("root2", 200, 200, 422), ("eve", 401, 401, 401)],
)
async def test_each_role_may_what_the_one_before_may_and_more(
    node: Served, owner: str, looks: int, drains: int, approves: int
) -> None:
    assert (await node.get("/v1/status", owner=owner)).status == looks
    body = {"site": "pangyo", "reason": "test"}
    assert (await node.act("drain", {**body, "dry_run": True}, owner=owner)).status == drains
    drained = await node.act("drain", body, owner=owner)
    assert drained.status == drains
    if drains == 200:
        assert drained.document["override"]["owner"] == owner
    approved = await node.act("approve", {"digest": "0123456789abcdef"}, owner=owner)
    assert approved.status == approves
    if drains == 403:
        assert drained.code == "NOT_ALLOWED" and "vera is viewer; this needs operator" in drained.text


async def test_a_token_decides_alone_even_for_root(node: Served) -> None:
    """Whoever says he is somebody is judged as that somebody: a wrong token on the Unix socket is nobody."""
    assert (await node.get("/v1/status")).status == 200
    wrong = await node.ask("GET", "/v1/status", headers={"Authorization": "Bearer wrong"})
    assert (wrong.status, wrong.code, wrong.headers["WWW-Authenticate"]) == (401, "UNKNOWN_PERSON", "Bearer")
    assert "bearer token" in wrong.document["detail"]
    basic = await node.ask("GET", "/v1/status", headers={"Authorization": f"Basic {token('ada')}"})
    assert basic.status == 401


async def test_health_is_told_to_anybody(node: Served) -> None:
    for path in ("/healthz", "/readyz"):
        assert (await node.over_tls(path, context=node.trusting())).status == 200
    assert (await node.over_tls("/metrics", context=node.trusting())).status == 401


async def test_tokens_serve_over_tls(node: Served) -> None:
    headers = {"Authorization": f"Bearer {token('vera')}"}
    assert (await node.over_tls("/v1/status", context=node.trusting(), headers=headers)).status == 200
    assert (await node.over_tls("/v1/status", context=node.trusting())).status == 401
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        await node.over_tls("/v1/status", context=ssl.create_default_context())


async def test_a_client_certificate_is_the_token_owner_it_names(node: Served, tmp_path: Path) -> None:
    path, named = "/v1/approve", {"Idempotency-Key": "k"}
    assert (await node.over_tls("/v1/status", context=node.certified("vera"))).status == 200
    refused = await node.over_tls(path, context=node.certified("olaf"), method="POST", headers=named)
    assert (refused.status, refused.code) == (403, "NOT_ALLOWED")
    admitted = await node.over_tls(path, context=node.certified("ada"), method="POST", headers=named)
    assert (admitted.status, admitted.code) == (400, "DIGEST_MISSING")
    assert (await node.over_tls("/v1/status", context=node.certified("mallory"))).status == 401
    with pytest.raises((aiohttp.ClientError, ssl.SSLError, OSError)):
        await node.over_tls("/v1/status", context=node.certified("ada", Authority(tmp_path, "other")))


@pytest.mark.parametrize(
    ("user", "groups", "expected"),
    [
        ("root", [], "200 200"),
        ("daemon", [], "200 200"),
        ("nobody", [], "401 401"),
        ("nobody", ["games"], "200 200"),
        ("nobody", ["mail"], "401 401"),
    ],
)
async def test_the_unix_socket_knows_its_peer(node: Served, user: str, groups: list[str], expected: str) -> None:
    """root is admin, `daemon` and the group `games` were granted the role of an operator, `nobody` is nobody.

    A supplementary group counts as the process has it, whatever the group database says.
    """
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin")
    assert python is not None, "install python3: the test needs an interpreter that every user may run"
    account = pwd.getpwnam(user)

    def ask() -> str:
        command = [python, "-c", PEER, str(node.socket)]
        done = subprocess.run(
            command,
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=groups,
            cwd="/",
            capture_output=True,
            timeout=60,
        )
        return done.stdout.decode().strip() or done.stderr.decode()

    assert await asyncio.to_thread(ask) == expected
    if expected == "401 401":
        told = await asyncio.to_thread(
            subprocess.run,
            ["curl", "-s", "--unix-socket", str(node.socket), "http://node/v1/status"],
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=groups,
            cwd="/",
            capture_output=True,
            timeout=60,
        )
        assert "the Unix user nobody has no role in `api.unix.grants`" in told.stdout.decode(), "they are on the socket already"


# -- two persons ------------------------------------------------------------------------------------------------------


async def plan_of(node: Served, owner: str = "olaf") -> str:
    """The digest of the overload, as anybody may look at it."""
    reply = await node.act("shares", {**OVERLOAD, "dry_run": True}, owner=owner, key="")
    found: Document = reply.document
    assert found["severity"] == "needs_approval", reply.text
    assert any(entry["code"] == "CAPACITY_SHORT" for entry in found["findings"]), json.dumps(found["findings"])
    return str(found["offer"]["digest"])


async def force(node: Served, owner: str, digest: str) -> Reply:
    return await node.act("shares", {**OVERLOAD, "digest": digest}, owner=owner)


async def approve(node: Served, owner: str, digest: str) -> Reply:
    return await node.act("approve", {"digest": digest, "reason": "agreed"}, owner=owner)


async def test_a_forced_overload_needs_who_asks_and_another_person(node: Served) -> None:
    digest = await plan_of(node)
    kept = await force(node, "olaf", digest)
    assert (kept.status, kept.code) == (409, "CAPACITY_SHORT")
    assert kept.document["waits_until_ms"] > node.node.clock.now_ms()
    granted = await approve(node, "ada", digest)
    assert granted.status == 200, granted.text
    assert granted.document["override"]["owner"] == "olaf"
    assert node.node.loop.state.overrides[-1].approved_by == ("ada",)
    (goal,) = (await node.get("/v1/approvals")).document["goals"]
    assert (goal["digest"], goal["goal"]["owner"], goal["approvals_missing"]) == (digest, "olaf", 0)
    assert [(a["person"], a["rank"], a["via"]) for a in goal["approvals"]] == [("ada", "approver", "token")]


async def test_nobody_is_two_persons(node: Served) -> None:
    digest = await plan_of(node, owner="ada")
    assert (await force(node, "ada", digest)).status == 409
    own = await approve(node, "ada", digest)
    assert (own.status, own.code) == (422, "OWN_REQUEST")
    by_certificate = await node.over_tls(
        "/v1/approve", context=node.certified("ada"), method="POST", headers={"Idempotency-Key": "c"}, body={"digest": digest}
    )
    assert by_certificate.code == "OWN_REQUEST", by_certificate.text
    again = await force(node, "ada", digest)
    assert (again.status, again.code) == (409, "CAPACITY_SHORT")
    assert node.node.loop.state.overrides == ()


async def test_a_token_and_a_unix_user_of_one_human_are_one_person(node: Served) -> None:
    """root over the Unix socket is `boss`, whose token may approve: asked for by one way, approved by the other."""
    digest = await plan_of(node, owner="")
    assert (await force(node, "", digest)).status == 409
    (goal,) = (await node.get("/v1/approvals")).document["goals"]
    assert goal["goal"]["owner"] == "boss"
    assert (await approve(node, "boss", digest)).code == "OWN_REQUEST"


async def test_who_may_not_approve_does_not_count(node: Served) -> None:
    digest = await plan_of(node, owner="ada")
    assert (await force(node, "ada", digest)).status == 409
    for owner in ("vera", "olaf"):
        assert (await approve(node, owner, digest)).status == 403
    assert node.node.loop.state.overrides == ()


async def test_who_is_only_named_does_not_count(node: Served) -> None:
    digest = await plan_of(node)
    named = await node.act("shares", {**OVERLOAD, "digest": digest, "approved_by": ["ada", "abe"]}, owner="olaf")
    assert (named.status, named.code) == (400, "BAD_REQUEST")
    assert named.document["errors"][0]["field"] == "approved_by"


async def test_an_approval_is_of_one_offer_and_of_no_other(node: Served) -> None:
    digest = await plan_of(node)
    assert (await force(node, "olaf", digest)).status == 409
    assert (await approve(node, "ada", "0" * 16)).status == 422
    assert (await force(node, "olaf", "0" * 16)).status == 422
    assert node.node.loop.state.overrides == ()


async def test_an_approval_is_taken_back_by_who_gave_it(node: Served) -> None:
    digest = await plan_of(node)
    assert (await force(node, "olaf", digest)).status == 409
    assert (await node.act("revoke", {"digest": digest}, owner="vera")).status == 403
    assert (await node.act("revoke", {"digest": digest, "person": "olaf"}, owner="abe")).code == "NOT_ALLOWED"
    assert (await approve(node, "ada", digest)).status == 200
    assert (await node.act("revoke", {"digest": digest}, owner="ada")).status == 200
    (goal,) = (await node.get("/v1/approvals")).document["goals"]
    assert goal["approvals"][0]["state"] in ("revoked", "used")
