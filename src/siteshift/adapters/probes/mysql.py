"""MariaDB and MySQL: log in, and say goodbye.

A connection that is closed before it has logged in counts as a handshake error of its address, and after ``max_connect_errors``
of them (100) the server refuses that address, everybody who works there included
(https://mariadb.com/kb/en/server-system-variables/#max_connect_errors). So this check logs in, as HAProxy's
``option mysql-check user`` does, with an account that has no password and no rights, and ends with COM_QUIT.

https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html
"""

from __future__ import annotations

import asyncio
import struct

from siteshift.adapters.probes.address import parse_address
from siteshift.adapters.probes.faults import Reported, verdict_of
from siteshift.adapters.probes.http_visit import open_stream
from siteshift.adapters.probes.slot import PASSED, Verdict, failed, lost
from siteshift.core.model.codes import Fault
from siteshift.core.model.probe import ProbeSpec

MAX_PACKET_BYTES = 4_096
"""A greeting has some hundred bytes, an error at most 512 of text."""
MAX_SWITCHES = 2
"""How often a server may ask for another way of logging in; real ones ask once."""

_ERROR = 0xFF
_PROTOCOL = 10
_CAPABILITIES = 0x0000_0001 | 0x0000_0200 | 0x0000_8000 | 0x0008_0000
"""LONG_PASSWORD, PROTOCOL_41, SECURE_CONNECTION, PLUGIN_AUTH."""
_UTF8MB4 = 45
_QUIT = b"\x01\x00\x00\x00\x01"

HOST_IS_BLOCKED, HOST_NOT_PRIVILEGED = 1129, 1130
"""Errors that are about our address and not about the server."""


class NotMysql(Exception):
    """The peer spoke, but not this protocol."""


class MysqlVisit:
    """One login a run."""

    def __init__(self, spec: ProbeSpec) -> None:
        """Raises ValueError for an address that is none."""
        self._spec = spec
        self._address = parse_address(spec.address, spec.port)

    async def once(self) -> Verdict:
        try:
            reader, writer = await open_stream(self._address, self._spec.port, self._spec.proxy_protocol)
        except OSError as problem:
            return verdict_of(problem.errno, Reported.LATER)
        try:
            return await self._log_in(reader, writer)
        except NotMysql as problem:
            return failed(Fault.PROTOCOL, str(problem))
        except asyncio.IncompleteReadError:
            return failed(Fault.RESET, "closed before the login was over")
        except OSError as problem:
            return verdict_of(problem.errno, Reported.LATER)
        finally:
            writer.transport.abort()

    async def _log_in(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Verdict:
        number, greeting = await _packet(reader)
        if greeting[0] == _ERROR:
            return verdict_of_error(greeting)
        if greeting[0] != _PROTOCOL:
            raise NotMysql(f"no greeting of MySQL: {greeting[:40]!r}")
        _send(writer, number + 1, login_packet(self._spec.mysql_user))
        for _ in range(MAX_SWITCHES + 1):
            number, answer = await _packet(reader)
            match answer[0]:
                case 0x00:  # OK
                    break
                case 0xFF:  # an error
                    return verdict_of_error(answer)
                case 0xFE:  # another plugin: for an account without a password nothing is said, or a zero
                    plugin = answer[1:].partition(b"\0")[0]
                    _send(writer, number + 1, b"" if plugin == b"mysql_native_password" else b"\0")
                case 0x01:  # caching_sha2_password: its fast way is over, OK follows
                    pass
                case _:
                    raise NotMysql(f"no answer to a login: {answer[:40]!r}")
        else:
            raise NotMysql("the server asks for one way of logging in after another")
        writer.write(_QUIT)
        if await reader.read(1):  # nothing: the server closes first, and has read our goodbye
            raise NotMysql("the server speaks on after the goodbye")
        return PASSED

    async def close(self) -> None:
        """Nothing is kept between runs."""


def login_packet(user: str) -> bytes:
    """HandshakeResponse41 of an account without a password."""
    fixed = struct.pack("<IIB23x", _CAPABILITIES, MAX_PACKET_BYTES, _UTF8MB4)
    return fixed + user.encode() + b"\0" + b"\0" + b"mysql_native_password\0"


def verdict_of_error(packet: bytes) -> Verdict:
    """What an ERR packet says about the server, or about us."""
    if len(packet) < 3:
        return failed(Fault.PROTOCOL, "an error without a number")
    number = int.from_bytes(packet[1:3], "little")
    words = packet[3:].decode(errors="replace")
    words = words[6:] if words.startswith("#") else words  # the SQL state, once the protocol is agreed
    detail = f"error {number}: {words[:160]}"
    if number in (HOST_IS_BLOCKED, HOST_NOT_PRIVILEGED):
        return lost(detail)
    return failed(Fault.BAD_STATUS, detail)


async def _packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The number and the payload of the next packet. Raises `NotMysql`, asyncio.IncompleteReadError, OSError."""
    head = await reader.readexactly(4)
    size = int.from_bytes(head[:3], "little")
    if not 0 < size <= MAX_PACKET_BYTES:
        raise NotMysql(f"a packet of {size} bytes")
    return head[3], await reader.readexactly(size)


def _send(writer: asyncio.StreamWriter, number: int, payload: bytes) -> None:
    writer.write(len(payload).to_bytes(3, "little") + bytes([number & 0xFF]) + payload)
