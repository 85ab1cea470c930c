"""Asks a node over HTTP, on its Unix socket or over TLS. What goes wrong becomes a `Failure` with its exit code."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never
from urllib.parse import quote, urlencode

from siteshift.cli.exits import Document, ExitCode, Failure, problem_failure
from siteshift.cli.reach import Place, TlsPlace, UnixPlace

LOOK_DEADLINE_S = 10.0
ACT_DEADLINE_S = 15.0
"""Longer than the node itself waits for its controller (10 s), so that its own word on a late answer arrives."""
CROWDED_S = 0.02
"""Between two tries to get into a full queue; the node takes 1,300 connections a second out of it."""
LONG_DEADLINE_S = 300.0
"""For walking a whole journal."""

Query = Mapping[str, str | int | Sequence[str]]


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("node", timeout=timeout_s)
        self._path = path
        self._timeout_s = timeout_s

    def connect(self) -> None:
        """Connect. Where a crowd fills the node's queue the kernel says EAGAIN at once: then try until the time is over."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        end_s = time.monotonic() + self._timeout_s
        try:
            self.sock.settimeout(self.timeout)
            while True:
                try:
                    self.sock.connect(self._path)
                    return
                except BlockingIOError:
                    if time.monotonic() > end_s:
                        raise
                    time.sleep(CROWDED_S)
        except BaseException:
            self.sock.close()
            raise


@dataclass(frozen=True, slots=True)
class NodeClient:
    """One node. Every call is a connection of its own: commands are short, and nodes restart."""

    place: Place

    def get(self, path: str, query: Query | None = None, *, deadline_s: float = LOOK_DEADLINE_S) -> Document:
        """Look. Raises `Failure`."""
        target = quote(path) + (f"?{urlencode(query, doseq=True)}" if query else "")
        connection = self._connect(deadline_s)
        try:
            connection.request("GET", target, headers=self._headers())
            answer = connection.getresponse()
            status, raw = answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise self._silent(error, "Look at its log (`journalctl -u siteshift`).") from error
        finally:
            connection.close()
        return self._read(status, raw)

    def post(self, act: str, body: Document, *, key: str = "") -> Document:
        """Act. Raises `Failure`; when the answer was lost, it says that nobody knows whether it counts (law 10)."""
        headers = {**self._headers(), "Content-Type": "application/json"}
        if key:
            headers["Idempotency-Key"] = key
        connection = self._connect(ACT_DEADLINE_S)
        try:
            connection.request("POST", f"/v1/{act}", body=json.dumps(body).encode(), headers=headers)
            answer = connection.getresponse()
            status, raw = answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            if not key:
                raise self._silent(error, "Nothing was changed; ask again.") from error
            remedy = "Look before asking again: `siteshift override list`, `siteshift journal tail --kind answer`."
            text = f"the node at {self.place} was asked and its answer was lost ({_why(error)}): "
            text += "it is not known whether the request counts"
            raise Failure(ExitCode.UNREACHABLE, text, remedy=remedy, document={"title": text, "key": key}) from error
        finally:
            connection.close()
        return self._read(status, raw)

    def events(self) -> Iterator[Document]:
        """What happens from now on, until the node ends the stream. Raises `Failure`. Blocks between messages."""
        connection = self._connect(LOOK_DEADLINE_S)
        try:
            connection.request("GET", "/v1/events", headers={**self._headers(), "Accept": "text/event-stream"})
            answer = connection.getresponse()
            if answer.status != http.client.OK:
                self._read(answer.status, answer.read())
                return
            if connection.sock is not None:
                connection.sock.settimeout(None)
            while line := answer.readline():
                if line.startswith(b"data:"):
                    yield json.loads(line[5:])
        except (OSError, http.client.HTTPException) as error:
            raise self._silent(error, "") from error
        finally:
            connection.close()

    def _headers(self) -> dict[str, str]:
        if isinstance(self.place, TlsPlace):
            return {"Authorization": f"Bearer {self.place.token}"} if self.place.token else {}
        user, uid = os.environ.get("SUDO_USER", ""), os.environ.get("SUDO_UID", "")
        if not user.isascii() or not user.isprintable() or not user:
            return {}
        return {"Siteshift-Sudo-User": f"{user} (uid {uid})" if uid.isascii() and uid.isdigit() else user}

    def _connect(self, deadline_s: float) -> http.client.HTTPConnection:
        """A connection that stands: what fails here was certainly not asked."""
        match self.place:
            case UnixPlace(path=path):
                connection: http.client.HTTPConnection = _UnixConnection(str(path), deadline_s)
            case TlsPlace(host=host, port=port, ca=ca):
                try:
                    context = ssl.create_default_context(cafile=str(ca) if ca else None)
                except OSError as error:
                    text = f"the CA file {ca} cannot be used: {_why(error)}"
                    raise Failure(ExitCode.FAILED, text, remedy="Give a PEM file of certificates.") from error
                connection = http.client.HTTPSConnection(host, port, timeout=deadline_s, context=context)
            case _:
                assert_never(self.place)
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            text = f"no node answers at {self.place}: {_why(error)}"
            raise Failure(ExitCode.UNREACHABLE, text, remedy=self._remedy(error)) from error
        return connection

    def _remedy(self, error: OSError) -> str:
        if isinstance(error, ssl.SSLCertVerificationError):
            return "Give the certificate authority of the node with --ca, or ask by the name in its certificate."
        if isinstance(error, PermissionError):
            return "Run as a user that `api.unix` of the configuration lets in, or go by --url with a token."
        if isinstance(self.place, UnixPlace):
            return "Is it running (`systemctl status siteshift`)? Another place: --socket PATH or --url https://HOST:PORT."
        return "Is it running, and is `api.tls` in its configuration? On its own machine use --socket."

    def _silent(self, error: Exception, remedy: str) -> Failure:
        return Failure(ExitCode.UNREACHABLE, f"the node at {self.place} did not answer: {_why(error)}", remedy=remedy)

    def _read(self, status: int, raw: bytes) -> Document:
        try:
            document = json.loads(raw)
        except ValueError as error:
            text = f"what answers at {self.place} is no siteshift node (status {status})"
            raise Failure(ExitCode.UNREACHABLE, text, remedy="Check --socket or --url.") from error
        if not isinstance(document, dict):
            raise Failure(ExitCode.UNREACHABLE, f"what answers at {self.place} is no siteshift node")
        if status >= http.client.BAD_REQUEST:
            raise problem_failure(status, document)
        return document


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
