"""Journeys: several steps, with cookies and what earlier steps found."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web

from siteshift.core.model.codes import Fault, Outcome
from siteshift.core.model.probe import HttpCheck, ProbeKind, TlsCheck

from .peers import closed_port, closes, never, resets, says, tcp_peer, web_peer
from .pki import Authority
from .probing import first_result, probing, spec

LOGIN = HttpCheck(
    method="POST",
    path="/login",
    body=b'{"user": "probe"}',
    headers=(("Content-Type", "application/json"),),
    extract=(("token", r'"token": "([^"]+)"'), ("id", r"cart-\d+")),
)
CART = HttpCheck(path="/carts/{id}", headers=(("Authorization", "Bearer {token}"),), body_match="cart of probe")


async def login(request: web.Request) -> web.Response:
    user = (await request.json())["user"]
    answer = web.json_response({"token": f"t-{user}", "home": "cart-17"})
    answer.set_cookie("session", "abc")
    return answer


async def cart(request: web.Request) -> web.Response:
    if request.cookies.get("session") != "abc" or request.headers.get("Authorization") != "Bearer t-probe":
        return web.Response(status=401)
    return web.Response(text=f"cart of probe: {request.match_info['id']}")


async def to_name(_request: web.Request) -> web.Response:
    """A redirect to a name that resolves nowhere: it is reached at the probed address."""
    return web.Response(status=302, headers={"Location": f"http://shop.invalid:{_request.url.port}/who"})


async def who(request: web.Request) -> web.Response:
    return web.Response(text=request.headers["Host"])


ROUTES = [
    web.post("/login", login),
    web.get("/carts/{id}", cart),
    web.get("/to-name", to_name),
    web.get("/who", who),
]


@pytest.mark.parametrize("keep_alive", [False, True])
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_a_journey_carries_cookies_and_variables(keep_alive: bool, address: str) -> None:
    async with web_peer(*ROUTES, address=address) as port:
        one = spec(ProbeKind.JOURNEY, port, address=address, steps=(LOGIN, CART), keep_alive=keep_alive)
        async with probing(one) as seen:
            result = await seen.until(lambda _: True, times=3)
    assert (result.outcome, result.fault) == (Outcome.PASS, Fault.NONE), result.detail


async def test_cookies_live_for_one_run_only() -> None:
    async with web_peer(*ROUTES) as port:
        steps = (HttpCheck(path="/carts/cart-17", statuses=((401, 401),)), LOGIN, CART)
        async with probing(spec(ProbeKind.JOURNEY, port, steps=steps)) as seen:
            await seen.until(lambda _: True, times=3)
    assert {result.outcome for result in seen.results} == {Outcome.PASS}


@pytest.mark.parametrize(
    ("steps", "fault", "words"),
    [
        ((LOGIN, HttpCheck(path="/carts/{id}")), Fault.BAD_STATUS, "step 2: status 401"),
        ((HttpCheck(path="/carts/cart-1"),), Fault.BAD_STATUS, "status 401"),
        ((HttpCheck(path="/who", extract=(("x", "nothing"),)),), Fault.BAD_CONTENT, "nothing to extract as x"),
        ((HttpCheck(path="/who"), HttpCheck(path="/who", body_match="ok")), Fault.BAD_CONTENT, "step 2: body lacks"),
    ],
)
async def test_the_first_step_that_does_not_pass_is_named(steps: tuple[HttpCheck, ...], fault: Fault, words: str) -> None:
    async with web_peer(*ROUTES) as port:
        result = await first_result(spec(ProbeKind.JOURNEY, port, steps=steps))
    assert (result.outcome, result.fault) == (Outcome.FAIL, fault), result.detail
    assert words in result.detail


async def test_names_in_redirects_are_reached_at_the_probed_address() -> None:
    async with web_peer(*ROUTES) as port:
        step = HttpCheck(path="/to-name", follow_redirects=1, body_match="^shop.invalid")
        result = await first_result(spec(ProbeKind.JOURNEY, port, steps=(step,)))
    assert result.outcome is Outcome.PASS, result.detail


async def test_the_host_of_a_step_is_sent() -> None:
    async with web_peer(*ROUTES) as port:
        step = HttpCheck(path="/who", host="web.example", body_match="^web.example$")
        result = await first_result(spec(ProbeKind.JOURNEY, port, steps=(step,)))
    assert result.outcome is Outcome.PASS, result.detail


async def test_a_journey_over_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with web_peer(*ROUTES, tls=authority.server("shop.example")) as port:
        good = TlsCheck(server_name="shop.example", ca_file=authority.ca_file)
        result = await first_result(spec(ProbeKind.JOURNEY, port, tls=good, steps=(LOGIN, CART)))
        assert result.outcome is Outcome.PASS, result.detail
        bad = TlsCheck(server_name="other.example", ca_file=authority.ca_file)
        result = await first_result(spec(ProbeKind.JOURNEY, port, tls=bad, steps=(LOGIN, CART)))
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.BAD_CERTIFICATE), result.detail


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (resets, Fault.RESET),
        (closes, Fault.RESET),
        (never, Fault.TIMEOUT),
        (says(b"SSH-2.0-OpenSSH_9.2\r\n"), Fault.PROTOCOL),
    ],
)
async def test_a_broken_peer_fails_with_its_fault(answer: object, fault: Fault) -> None:
    async with tcp_peer(answer) as port:  # type: ignore[arg-type]
        result = await first_result(spec(ProbeKind.JOURNEY, port, steps=(HttpCheck(),), timeout_ms=1_000))
    assert (result.outcome, result.fault) == (Outcome.FAIL, fault), result.detail


async def test_a_closed_port_is_refused() -> None:
    with closed_port() as port:
        result = await first_result(spec(ProbeKind.JOURNEY, port, steps=(HttpCheck(),)))
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.REFUSED), result.detail
