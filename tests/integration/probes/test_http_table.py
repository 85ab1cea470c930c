"""One table of HTTP, for both engines: the raw sockets of plain checks and the streams of journeys and redirects.

What a row says is true whichever way it is asked. Replies that are no HTTP are in `test_http_hostile`, by the same ways.
"""

from __future__ import annotations

import asyncio
import codecs
import gzip
import re
import ssl
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from siteshift.core.model.codes import Fault, Outcome
from siteshift.core.model.probe import HttpCheck, ProbeKind, ProbeSpec, TlsCheck

from .peers import keeps_saying, tcp_peer, web_peer
from .pki import Authority
from .probing import first_result, probing, spec

HEAD = b"HTTP/1.1 200 OK\r\n"
PATIENCE_MS = 20_000

Way = Callable[[int, HttpCheck], ProbeSpec]
WAYS: dict[str, Way] = {
    "new": lambda port, check: spec(ProbeKind.HTTP, port, http=check, timeout_ms=PATIENCE_MS),
    "kept": lambda port, check: spec(ProbeKind.HTTP, port, http=check, keep_alive=True, timeout_ms=PATIENCE_MS),
    "redirects": lambda port, check: spec(
        ProbeKind.HTTP, port, http=replace(check, follow_redirects=1), timeout_ms=PATIENCE_MS
    ),
    "journey": lambda port, check: spec(ProbeKind.JOURNEY, port, steps=(check,), timeout_ms=PATIENCE_MS),
}


def with_length(body: bytes, *headers: bytes) -> bytes:
    """A reply with this body and these headers."""
    return HEAD + b"".join(header + b"\r\n" for header in headers) + b"Content-Length: %d\r\n\r\n" % len(body) + body


def raw_deflate(data: bytes) -> bytes:
    pack = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return pack.compress(data) + pack.flush()


STATE = HttpCheck(body_match="^상태: ..$")
"""Two characters, which are six bytes in UTF-8 and four in EUC-KR."""
NOT_STATE = HttpCheck(body_not_match="상태: 나쁨|오류")
WELL = "상태: 정상"
BAD = "상태: 나쁨"
PLAIN = b"Content-Type: text/plain"


def text(body: str, codec: str, label: str | None) -> bytes:
    return with_length(body.encode(codec), PLAIN + (b"; charset=" + label.encode() if label else b""))


PASS, WRONG, NO_HTTP, STATUS = Fault.NONE, Fault.BAD_CONTENT, Fault.PROTOCOL, Fault.BAD_STATUS
Row = tuple[bytes, HttpCheck, Fault]

CODINGS: dict[str, Row] = {
    "gzip is unpacked": (with_length(gzip.compress(WELL.encode()), b"Content-Encoding: gzip"), STATE, PASS),
    "gzip in capitals is unpacked": (with_length(gzip.compress(WELL.encode()), b"CONTENT-ENCODING: GZIP"), STATE, PASS),
    "deflate is unpacked": (with_length(zlib.compress(WELL.encode()), b"Content-Encoding: deflate"), STATE, PASS),
    "deflate without its header too": (with_length(raw_deflate(WELL.encode()), b"Content-Encoding: deflate"), STATE, PASS),
    "identity is nothing": (with_length(WELL.encode(), b"Content-Encoding: identity"), STATE, PASS),
    "what must not be there is found in gzip": (
        with_length(gzip.compress(BAD.encode()), b"Content-Encoding: gzip"), NOT_STATE, WRONG,
    ),
    "gzip in EUC-KR": (
        with_length(gzip.compress(WELL.encode("euc-kr")), b"Content-Encoding: gzip", PLAIN + b"; charset=euc-kr"), STATE, PASS,
    ),
    "what must not be there is not passed over in br": (
        with_length(b"\x0b\x02\x80abc\x03", b"Content-Encoding: br"), NOT_STATE, NO_HTTP,
    ),
    "where nobody looks at the body its coding is no matter": (
        with_length(b"\x0b\x02\x80abc\x03", b"Content-Encoding: br"), HttpCheck(), PASS,
    ),
}  # fmt: skip

CHARSETS: dict[str, Row] = {
    "UTF-8 that says so": (text(WELL, "utf-8", "utf-8"), STATE, PASS),
    "UTF-8 in quotes": (text(WELL, "utf-8", '"UTF-8"'), STATE, PASS),
    "utf8, as many write it": (text(WELL, "utf-8", "utf8"), STATE, PASS),
    "UTF-8 without a word": (text(WELL, "utf-8", None), STATE, PASS),
    "UTF-8 with a mark in front": (with_length(codecs.BOM_UTF8 + WELL.encode()), STATE, PASS),
    "a mark wins over a label": (
        with_length(codecs.BOM_UTF8 + WELL.encode(), PLAIN + b"; charset=iso-8859-1"), STATE, PASS,
    ),
    "UTF-16 with a mark": (with_length(codecs.BOM_UTF16_LE + WELL.encode("utf-16-le")), STATE, PASS),
    "UTF-16 by its label": (text(WELL, "utf-16-be", "utf-16be"), STATE, PASS),
    "EUC-KR": (text(WELL, "euc-kr", "EUC-KR"), STATE, PASS),
    "ks_c_5601-1987, which is EUC-KR": (text(WELL, "euc-kr", "ks_c_5601-1987"), STATE, PASS),
    "letters that only cp949 has": (text("상태: 똠뷁", "cp949", "euc-kr"), STATE, PASS),
    "EUC-KR that only the page says": (
        with_length(f'<html><meta charset="euc-kr"><p>{WELL}'.encode("euc-kr"), b"Content-Type: text/html"),
        HttpCheck(body_match="<p>상태: 정상$"), PASS,
    ),
    "EUC-KR the old way": (
        with_length(
            f'<META http-equiv=Content-Type content="text/html; charset=euc-kr"><p>{WELL}'.encode("euc-kr"),
            b"Content-Type: text/html",
        ),
        HttpCheck(body_match="<p>상태: 정상$"), PASS,
    ),
    "Shift_JIS": (text("状態: 良好", "shift_jis", "Shift_JIS"), HttpCheck(body_match="^状態: ..$"), PASS),
    "Latin-1": (text("état: réglé", "latin-1", "iso-8859-1"), HttpCheck(body_match="^état: .{5}$"), PASS),
    "Latin-1 without a word": (text("état: réglé", "latin-1", None), HttpCheck(body_match="^état: .{5}$"), PASS),
    "a label nobody knows": (text(WELL, "utf-8", "x-nonsense"), STATE, PASS),
    "a label that is a codec of Python and no charset": (text(WELL, "utf-8", "rot13"), STATE, PASS),
    "the wrong words in EUC-KR": (text(BAD, "euc-kr", "euc-kr"), NOT_STATE, WRONG),
    "the wrong words in UTF-8": (text(BAD, "utf-8", None), NOT_STATE, WRONG),
    "bytes that are no text": (with_length(b"\xff\xfe\x00"[:1] + b"ok"), HttpCheck(body_match="ok$"), PASS),
    "escapes by number": (with_length(WELL.encode()), HttpCheck(body_match=r"^\uc0c1\ud0dc"), PASS),
    "a header in UTF-8": (
        with_length(b"", b"X-State: " + WELL.encode()), HttpCheck(header_match=(("x-state", "^상태: ..$"),)), PASS,
    ),
    "a header in Latin-1": (
        with_length(b"", b"X-State: caf\xe9"), HttpCheck(header_match=(("x-state", "^café$"),)), PASS,
    ),
}  # fmt: skip

CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def in_chunks(body: bytes, size: int) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return CHUNKED + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def head_of(size: int) -> bytes:
    return with_length(WELL.encode(), b"X-Long: " + b"x" * size)


FRAMING: dict[str, Row] = {
    "chunks that cut letters in two": (in_chunks(WELL.encode(), 1), STATE, PASS),
    "chunks with trailers": (CHUNKED + b"%x\r\n%s\r\n0\r\nX: y\r\n\r\n" % (len(WELL.encode()), WELL.encode()), STATE, PASS),
    "a long body cut in the middle of a letter": (
        with_length(("가" * 200_000).encode()), HttpCheck(body_match="^상|^가+.?$"), PASS,
    ),
    "a head of 9 kB": (head_of(9_000), STATE, PASS),
    "a head of 60 kB": (head_of(60_000), STATE, PASS),
    "a head just beyond the bound": (head_of(65_600), STATE, NO_HTTP),
    "a head beyond the bound": (head_of(70_000), STATE, NO_HTTP),
    "204 has no body": (b"HTTP/1.1 204 No Content\r\n\r\n", HttpCheck(), PASS),
    "204 and what a body must have": (b"HTTP/1.1 204 No Content\r\n\r\n", STATE, WRONG),
    "204 with a length, as some send it": (b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", HttpCheck(), PASS),
    "304 with the length of what it does not send": (
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", HttpCheck(statuses=((304, 304),)), PASS,
    ),
    "304 where 200 is wanted": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", HttpCheck(), STATUS),
    "HEAD with the length of what it does not send": (HEAD + b"Content-Length: 5\r\n\r\n", HttpCheck(method="HEAD"), PASS),
    "HEAD of chunks": (CHUNKED, HttpCheck(method="HEAD"), PASS),
    "HEAD of something packed": (
        HEAD + b"Content-Encoding: br\r\nContent-Length: 5\r\n\r\n", HttpCheck(method="HEAD", body_not_match="bad"), PASS,
    ),
    "interim replies come first": (
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + with_length(WELL.encode()),
        STATE, PASS,
    ),
    "an interim reply has no body": (
        b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n" + with_length(WELL.encode()), STATE, PASS,
    ),
    "a redirect without a place is a status": (
        b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", HttpCheck(statuses=((302, 302),)), PASS,
    ),
    "line feeds alone": (b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", HttpCheck(), NO_HTTP),
    "two lengths": (HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", HttpCheck(), NO_HTTP),
    "one length twice": (HEAD + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", HttpCheck(), NO_HTTP),
}  # fmt: skip

ROWS = CODINGS | CHARSETS | FRAMING


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("row", ROWS)
async def test_a_reply_means_the_same_whichever_way_it_was_asked_for(way: str, row: str) -> None:
    answer, check, fault = ROWS[row]
    async with tcp_peer(keeps_saying(answer)) as port:
        result = await first_result(WAYS[way](port, check))
    assert result.fault is fault, result.detail
    assert result.outcome is (Outcome.PASS if fault is PASS else Outcome.FAIL)


# ---- what is sent

REQUESTS: dict[str, tuple[HttpCheck, str, dict[str, str]]] = {
    "a path of letters beyond ASCII": (HttpCheck(path="/상태?이름=값"), "/%EC%83%81%ED%83%9C?%EC%9D%B4%EB%A6%84=%EA%B0%92", {}),
    "a path that is encoded already": (HttpCheck(path="/%EC%83%81?a=%20b"), "/%EC%83%81?a=%20b", {}),
    "a path with a number sign": (HttpCheck(path="/a#b"), "/a%23b", {}),
    "two slashes": (HttpCheck(path="//a"), "//a", {}),
    "dots": (HttpCheck(path="/a/../b"), "/a/../b", {}),
    "an empty query": (HttpCheck(path="/a?"), "/a?", {}),
    "a header beyond Latin-1": (HttpCheck(headers=(("X-State", "상태"),)), "/", {"x-state": "상태"}),
    "a header in Latin-1's letters": (HttpCheck(headers=(("X-State", "café"),)), "/", {"x-state": "café"}),
    "a host with a port": (HttpCheck(host="shop.example.com:8443"), "/", {"host": "shop.example.com:8443"}),
    "a host with a dot at its end": (HttpCheck(host="shop.example.com."), "/", {"host": "shop.example.com."}),
    "an address as a host": (HttpCheck(host="[2001:db8::1]"), "/", {"host": "[2001:db8::1]"}),
    "a host as a header": (HttpCheck(host="a.example", headers=(("Host", "b.example"),)), "/", {"host": "b.example"}),
    "a body": (HttpCheck(method="POST", body="상태".encode()), "/", {"content-length": "6"}),
    "a body that is empty": (HttpCheck(method="PUT"), "/", {"content-length": "0"}),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("row", REQUESTS)
async def test_a_request_is_the_same_whichever_way_it_is_sent(way: str, row: str) -> None:
    check, target, headers = REQUESTS[row]
    came: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(HEAD + b"Content-Length: 0\r\nConnection: close\r\n\r\n")

    async with tcp_peer(answer) as port:
        result = await first_result(WAYS[way](port, check))
    assert result.outcome is Outcome.PASS, result.detail
    line, *fields = came[0].decode().rstrip("\r\n").split("\r\n")
    assert line == f"{check.method} {target} HTTP/1.1"
    found = {name.lower(): value for name, value in (field.split(": ", 1) for field in fields)}
    assert len(found) == len(fields), "a header twice"
    assert {name: found.get(name) for name in headers} == headers


# ---- the name in the handshake

HTTPS_WAYS: dict[str, Callable[[int, HttpCheck, TlsCheck], ProbeSpec]] = {
    "new": lambda port, check, tls: spec(ProbeKind.HTTPS, port, http=check, tls=tls),
    "kept": lambda port, check, tls: spec(ProbeKind.HTTPS, port, http=check, tls=tls, keep_alive=True),
    "redirects": lambda port, check, tls: spec(ProbeKind.HTTPS, port, http=replace(check, follow_redirects=1), tls=tls),
    "journey": lambda port, check, tls: spec(ProbeKind.JOURNEY, port, steps=(check,), tls=tls),
}
NAMES = [
    ("shop.example.com", "", "shop.example.com"),
    ("shop.example.com:8443", "", "shop.example.com"),
    ("shop.example.com.", "", "shop.example.com"),
    ("shop.example.com.:8443", "", "shop.example.com"),
    ("SHOP.example.com", "", "shop.example.com"),
    ("127.0.0.1:8443", "", None),
    ("[::1]", "", None),
    ("[::1]:8443", "", None),
    ("", "", None),
    ("shop.example.com", "other.example.com", "other.example.com"),
    ("shop.example.com", "other.example.com.", "other.example.com"),
]


@pytest.mark.parametrize("way", HTTPS_WAYS)
@pytest.mark.parametrize(("host", "server_name", "sent"), NAMES)
async def test_the_handshake_names_the_bare_host_and_no_address(
    way: str, host: str, server_name: str, sent: str | None, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    names: list[str | None] = []
    context = authority.server("shop.example.com", "other.example.com", "127.0.0.1", "::1")
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    async with tcp_peer(keeps_saying(with_length(b"")), tls=context) as port:
        tls = TlsCheck(server_name=server_name, ca_file=authority.ca_file)
        result = await first_result(HTTPS_WAYS[way](port, HttpCheck(host=host), tls))
    assert result.outcome is Outcome.PASS, result.detail
    assert [name and name.lower() for name in names][:1] == [sent]


async def test_each_step_of_a_journey_shakes_hands_with_the_name_of_its_own_host(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    names: list[str | None] = []
    context = authority.server("login.example.com", "shop.example.com")
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    steps = (HttpCheck(host="login.example.com"), HttpCheck(host="shop.example.com:8443"))
    async with tcp_peer(keeps_saying(with_length(b"")), tls=context) as port:
        result = await first_result(spec(ProbeKind.JOURNEY, port, steps=steps, tls=TlsCheck(ca_file=authority.ca_file)))
    assert result.outcome is Outcome.PASS, result.detail
    assert names[:2] == ["login.example.com", "shop.example.com"]


@pytest.mark.parametrize("way", HTTPS_WAYS)
async def test_a_twin_shakes_hands_as_its_check_does(way: str, tmp_path: Path) -> None:
    """Failing by a certificate would hide that the check passes whatever is asked."""
    authority = Authority(tmp_path)
    async with tcp_peer(keeps_saying(with_length(b"")), tls=authority.server("shop.example.com")) as port:
        one = HTTPS_WAYS[way](port, HttpCheck(host="shop.example.com"), TlsCheck(ca_file=authority.ca_file))
        one = replace(one, twin=HttpCheck(host="must-fail.invalid"), interval_ms=50)
        async with probing(one) as seen:
            result = await seen.until(lambda result: result.must_fail)
    assert result.outcome is Outcome.PASS, "and so it is known that the check cannot fail"


# ---- redirects and cookies, which only streams follow

REDIRECTS: dict[str, tuple[bytes, bytes]] = {
    "a path": (b"/there?a=b", b"/there?a=b"),
    "a path beside this one": (b"there", b"/here/there"),
    "a query": (b"?a=b", b"/here/?a=b"),
    "a fragment": (b"/there#part", b"/there"),
    "letters as they are": ("/상태".encode(), b"/%EC%83%81%ED%83%9C"),
    "letters in EUC-KR as they are": ("/상태".encode("euc-kr"), b"/%BB%F3%C5%C2"),
    "letters encoded": (b"/%EC%83%81", b"/%EC%83%81"),
    "a space as it is": (b"/a b", b"/a%20b"),
}


@pytest.mark.parametrize("row", REDIRECTS)
async def test_a_redirect_is_followed_byte_by_byte(row: str) -> None:
    location, target = REDIRECTS[row]
    came: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0]:
            came.append(line)
            if line.startswith(b"GET /here/ "):
                writer.write(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location + b"\r\n\r\n")
            else:
                writer.write(with_length(b""))

    async with tcp_peer(answer) as port:
        result = await first_result(spec(ProbeKind.HTTP, port, http=HttpCheck(path="/here/", follow_redirects=1)))
    assert result.outcome is Outcome.PASS, result.detail
    assert came[1] == b"GET " + target + b" HTTP/1.1"


@pytest.mark.parametrize("value", [b"abc/def==", b'"quoted"', b"caf\xe9", "상태".encode(), "상태".encode("euc-kr")])
async def test_a_cookie_goes_back_byte_by_byte(value: bytes) -> None:
    came: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(HEAD + b"Connection: close\r\nContent-Length: 0\r\nSet-Cookie: sid=" + value + b"; Path=/\r\n\r\n")

    async with tcp_peer(answer) as port:
        result = await first_result(spec(ProbeKind.JOURNEY, port, steps=(HttpCheck(), HttpCheck(path="/two"))))
    assert result.outcome is Outcome.PASS, result.detail
    assert re.findall(rb"\r\nCookie: ([^\r]*)", came[1]) == [b"sid=" + value]


async def test_what_a_step_found_goes_on_in_any_script() -> None:
    async def first(_request: web.Request) -> web.Response:
        return web.Response(body="이름=상태;".encode("euc-kr"), content_type="text/plain", charset="euc-kr")

    async def second(request: web.Request) -> web.Response:
        words = (request.match_info["name"], request.headers["X-Name"].encode("utf-8", "surrogateescape").decode())
        return web.Response(status=200 if (*words, await request.text()) == ("상태", "상태", "이름=상태") else 400)

    steps = (
        HttpCheck(path="/first", extract=(("name", "이름=([^;]+)"),)),
        HttpCheck(method="POST", path="/second/{name}", headers=(("X-Name", "{name}"),), body="이름={name}".encode()),
    )
    async with web_peer(web.get("/first", first), web.post("/second/{name}", second)) as port:
        result = await first_result(spec(ProbeKind.JOURNEY, port, steps=steps))
    assert result.outcome is Outcome.PASS, result.detail


def test_the_table_has_a_row_for_every_way() -> None:
    assert len(ROWS) == len(CODINGS) + len(CHARSETS) + len(FRAMING)
    assert HTTPS_WAYS.keys() == WAYS.keys()
    assert ssl.HAS_SNI
