"""Imitates the runtime API of HAProxy versions that are not to be had as a binary here, on a Unix socket.

Answers have the shape recorded from 2.6.12 and 2.8.25 with the differences of a `Shape`. It keeps variables and server
states, so that an enactor can be run against it. What 2.6 and 2.8 really do is tested with the real ones.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

_STATE = """
be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change
srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn
srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port
"""
_STAT = """
pxname svname qcur qmax scur smax slim stot bin bout dreq dresp ereq econ eresp wretr wredis status weight act bck
hrsp_1xx hrsp_2xx hrsp_3xx hrsp_4xx hrsp_5xx hrsp_other last_chk qtime ctime rtime ttime mode algo
"""
STATE_COLUMNS, STAT_COLUMNS = _STATE.split(), _STAT.split()
ADMIN_FLAGS = {"ready": 0x00, "maint": 0x01, "drain": 0x08}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How a version answers. ``found_ends`` follows a variable's value, ``ends`` every other answer."""

    name: str
    version: str
    found_ends: str = "\n\n"
    ends: str = "\n"
    written: str = "\n"
    conditions: bool = True
    more_columns: tuple[str, ...] = ()
    backwards: bool = False
    prompt: str = ""

    def columns(self, known: list[str]) -> list[str]:
        found = [*known, *self.more_columns]
        return found[::-1] if self.backwards else found


@dataclass(slots=True)
class Server:
    admin: str = "ready"
    weight: int = 1


@dataclass(slots=True)
class HaproxyImitation:
    """One process: ``servers`` by backend and name. ``lines`` are those it was sent."""

    shape: Shape
    servers: Mapping[str, Mapping[str, Server]]
    variables: dict[str, tuple[str, str]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    def answer(self, line: str) -> str:
        """The answer to a line of commands."""
        self.lines.append(line)
        return self.shape.prompt + "".join(self._one(command) + self.shape.prompt for command in line.split(";"))

    def _one(self, command: str) -> str:
        words = command.split(" ")
        ends = self.shape.ends
        match words:
            case ["experimental-mode", "on"]:
                return self.shape.written
            case ["get", "var", name]:
                if name not in self.variables:
                    return f"Variable not found.\n{ends}"
                kind, value = self.variables[name]
                return f"{name}: type={kind} value=<{value}>{self.shape.found_ends}"
            case ["set", "var", name, *expression]:
                return self._set(name, " ".join(expression))
            case ["set", "server", where, what, value]:
                return self._change(where, what, value)
            case ["show", "info"]:
                return f"Name: HAProxy\nVersion: {self.shape.version}\nPid: 17\nStart_time_sec: 1796007472\n{ends}"
            case ["show", "version"]:
                return f"{self.shape.version}\n{ends}"
            case ["show", "servers", "state"]:
                return f"1\n# {self._table(STATE_COLUMNS, ' ')}{ends}"
            case ["show", "stat", _, kinds, _]:
                return f"# {self._table(STAT_COLUMNS, ',', of_backends=kinds == '6')}{ends}"
        return f"Unknown command: '{words[0]}', but maybe one of the following ones is a better match:\n  help\n{ends}"

    def _set(self, name: str, expression: str) -> str:
        name_alone, conditional, _ = name.partition(",iflt")
        if conditional and not self.shape.conditions:
            return f"invalid variable name '{name}'. Only alphanumerical characters, '.' and '_' are supported\n{self.shape.ends}"
        kind, value = re.fullmatch(r"(int|str)\((.*)\)", expression).groups()  # type: ignore[union-attr]
        if conditional and name_alone in self.variables and int(self.variables[name_alone][1]) >= int(value):
            return self.shape.written
        self.variables[name_alone] = ("sint" if kind == "int" else "str", value)
        return self.shape.written

    def _change(self, where: str, what: str, value: str) -> str:
        backend, _, name = where.partition("/")
        server = self.servers.get(backend, {}).get(name)
        if server is None:
            return f"No such server.\n{self.shape.ends}"
        if what == "weight":
            server.weight = int(value)
        else:
            server.admin = value
        return self.shape.written

    def _table(self, known: list[str], separator: str, *, of_backends: bool = False) -> str:
        columns = self.shape.columns(known)
        rows = [separator.join(columns)]
        for backend, servers in self.servers.items():
            if of_backends:
                whole = {"pxname": backend, "svname": "BACKEND", "mode": "http", "algo": "roundrobin"}
                rows.append(separator.join(whole.get(column, "") for column in columns))
            for name, server in servers.items():
                values = dict.fromkeys(columns, "0") | {
                    "be_name": backend,
                    "srv_name": name,
                    "pxname": backend,
                    "svname": name,
                    "srv_addr": "127.0.0.1",
                    "srv_fqdn": "-",
                    "srv_op_state": "0" if server.admin == "maint" else "2",
                    "srv_admin_state": str(ADMIN_FLAGS[server.admin]),
                    "srv_uweight": str(server.weight),
                    "srv_iweight": "1",
                    "status": "no check",
                    "last_chk": "",
                    "hrsp_1xx": "",
                    "mode": "http",
                    "algo": "",
                }
                rows.append(separator.join(values[column] for column in columns))
        return "\n".join(rows) + "\n"


@asynccontextmanager
async def haproxy_imitation(path: Path, imitated: HaproxyImitation) -> AsyncIterator[str]:
    """The address it answers on."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = (await reader.readline()).decode()
        if line.endswith("\n"):
            writer.write(imitated.answer(line[:-1]).encode())
        writer.close()

    server = await asyncio.start_unix_server(serve, str(path))
    try:
        yield f"unix:{path}"
    finally:
        server.close()
