"""A real MariaDB in a folder of its own, on a free port of 127.0.0.1; always ended."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from servers.ports import free_port

START_S = 60
USER = "siteshift"

SYSTEM_TABLES = Path("/usr/share/mysql")
SMALL = ("--innodb-log-file-size=4M", "--innodb-buffer-pool-size=8M", "--aria-log-file-size=8M")
GRANTS = f"CREATE USER '{USER}'@'127.0.0.1';\nCREATE USER 'locked'@'127.0.0.1' IDENTIFIED BY 'secret';\n"


@dataclass(frozen=True, slots=True)
class MariadbServer:
    """A running server. ``USER`` may log in from 127.0.0.1 without a password and may do nothing else."""

    port: int
    process: subprocess.Popen[bytes]

    async def count(self, variable: str) -> int:
        """A counter of SHOW GLOBAL STATUS, asked for as a client does."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)

        async def packet() -> bytes:
            head = await reader.readexactly(4)
            return await reader.readexactly(int.from_bytes(head[:3], "little"))

        try:
            await packet()
            login = struct.pack("<IIB23x", 0x88201, 1 << 20, 45) + USER.encode() + b"\0\0mysql_native_password\0"
            writer.write(len(login).to_bytes(3, "little") + b"\x01" + login)
            assert (await packet())[0] == 0
            query = b"\x03" + f"SHOW GLOBAL STATUS LIKE '{variable}'".encode()
            writer.write(len(query).to_bytes(3, "little") + b"\x00" + query)
            rows = [await packet() for _ in range(1 + 2 + 1 + 1 + 1)]  # how many columns, each, EOF, one row, EOF
            name_size = rows[4][0]
            writer.write(b"\x01\x00\x00\x00\x01")
            await reader.read()
            return int(rows[4][1 + name_size + 1 :])
        finally:
            writer.close()


@contextmanager
def mariadb(folder: Path, *options: str) -> Iterator[MariadbServer]:
    """Run one. ``options`` of mariadbd beside ours."""
    binary = shutil.which("mariadbd", path=os.environ.get("PATH", "") + ":/usr/sbin")
    assert binary, "mariadbd is not installed: apt-get install mariadb-server-core"
    data = folder / "data"
    data.mkdir()
    tables = "".join((SYSTEM_TABLES / name).read_text() for name in ("mysql_system_tables.sql", "mysql_system_tables_data.sql"))
    made = subprocess.run(
        [binary, "--no-defaults", "--bootstrap", f"--datadir={data}", "--user=root", *SMALL],
        input=f"CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket=NULL, @skip_auth_anonymous=1;\n{tables}".encode(),
        capture_output=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr.decode()[-2_000:]
    grants = folder / "grants.sql"
    grants.write_text(GRANTS)
    port = free_port()
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [binary, "--no-defaults", f"--datadir={data}", "--user=root", "--bind-address=127.0.0.1", f"--port={port}",
             f"--socket={folder / 'm.sock'}", f"--pid-file={folder / 'pid'}", f"--init-file={grants}", *SMALL, *options],
            stdout=out, stderr=out,
        )  # fmt: skip
    try:
        ends = time.monotonic() + START_S
        while b"ready for connections" not in log.read_bytes():
            assert process.poll() is None and time.monotonic() < ends, log.read_text()[-2_000:]
            time.sleep(0.05)
        yield MariadbServer(port, process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
