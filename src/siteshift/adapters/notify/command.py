"""Notifications through a program: mail, a pager's client, a script.

The program gets the message as JSON on its standard input, and its facts as ``SITESHIFT_NODE``, ``_SEVERITY``, ``_STATE``,
``_CODE``, ``_TEXT``, ``_TODO``, ``_KEY``, ``_SERVICE``, ``_SITE``, ``_MEMBER`` and ``_PLANE`` (empty where one does not apply)
in its environment (where a long text is cut), never on its command line, where everybody on the machine could read
it. No shell is involved. It runs in a session of its own, and the whole of it is killed at the deadline. Standard error takes
`child.OUTPUT_BYTES`; writing more fails in the program (EAGAIN).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence

from siteshift.adapters import child
from siteshift.adapters.notify.message import Message
from siteshift.core.model.notice import Notice
from siteshift.errors import AdapterError, Ambiguous, Permanent, Retryable

EX_TEMPFAIL = 75
"""sysexits.h: "temporary failure, user is invited to retry"."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
COMPLAINT_LIMIT = 4_096
ENVIRONMENT_LIMIT = 65_536
"""Linux takes 128 KiB for one value (execve(2)); the whole text is on standard input."""
SHOWN_LIMIT = 200
TOLD = ("node", "severity", "state", "code", "text", "todo", "key", "service", "site", "member", "plane")
"""What stands in the environment of the program, as ``SITESHIFT_`` and the name."""
MIN_SECRET = 6


class CommandNotifier:
    """Runs one program for each message. ``environment`` may hold secrets; it replaces ours, but for a plain PATH."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        node: str,
        cluster: str = "siteshift",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        if not command:
            raise Permanent("the command is empty", system="command", operation="configure")
        self._command = tuple(command)
        self._node = node
        self._cluster = cluster
        self._environment = {"PATH": PATH, **(environment or {})}
        self._secrets = [word for word in (*command[1:], *(environment or {}).values()) if len(word) >= MIN_SECRET]

    async def notify(self, notice: Notice, *, at_ms: int, deadline_ms: int) -> None:
        """Run it. Raises `Retryable` (exit status 75), `Permanent` (other failures), `Ambiguous` (killed)."""
        message = Message(notice=notice, node=self._node, cluster=self._cluster, at_ms=at_ms)
        with child.input_file(json.dumps(message.fields()).encode()) as told, child.output_pipe() as (said, complaint):
            process = await self._start(message, told, complaint)
            try:
                async with asyncio.timeout(deadline_ms / 1_000):
                    status = await process.wait()
            except TimeoutError:
                raise self._error(Ambiguous, f"did not end within {deadline_ms} ms and was killed") from None
            finally:
                if process.returncode is None:
                    await child.end(process)
            self._judge(status, child.written(said, COMPLAINT_LIMIT, from_end=False))

    async def close(self) -> None:
        """Nothing is kept between messages."""

    async def _start(self, message: Message, told: int, complaint: int) -> asyncio.subprocess.Process:
        fields = message.fields()
        about = {f"SITESHIFT_{name.upper()}": _for_environment(str(fields.get(name, ""))) for name in TOLD}
        try:
            return await child.start(
                self._command,
                stdin=told,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=complaint,
                env={**self._environment, **about},
                cwd="/",
            )
        except BlockingIOError as error:
            raise self._error(Retryable, f"cannot start: {error.strerror}") from None
        except (OSError, ValueError) as error:
            raise self._error(Permanent, f"cannot start: {getattr(error, 'strerror', None) or error}") from None

    def _judge(self, status: int, complaint: bytes) -> None:
        if status == 0:
            return
        said = self._shown(complaint)
        if status < 0:
            raise self._error(Ambiguous, f"was killed by signal {-status}{said}")
        if status == EX_TEMPFAIL:
            raise self._error(Retryable, f"exit status {status}{said}")
        raise self._error(Permanent, f"exit status {status}{said}")

    def _shown(self, complaint: bytes) -> str:
        """The first line of what it complained about, without what it may have learned from us."""
        lines = complaint.decode(errors="replace").strip().splitlines()
        if not lines:
            return ""
        line = lines[0]
        for secret in sorted(self._secrets, key=len, reverse=True):
            line = line.replace(secret, "***")
        return f": {line[:SHOWN_LIMIT]}"

    def _error(self, kind: type[AdapterError], detail: str) -> AdapterError:
        return kind(detail, system="command", operation="notify", target=self._command[0])


def _for_environment(value: str) -> str:
    return value.replace("\0", "").encode()[:ENVIRONMENT_LIMIT].decode(errors="ignore")
