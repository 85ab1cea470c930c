"""Secrets by reference: the configuration names where a secret is, never what it is.

``file:/etc/siteshift/tsig.key``  the content of a file      ``env:SITESHIFT_TSIG``  an environment variable
``credential:tsig``  a systemd credential (``LoadCredential=``), a file in ``$CREDENTIALS_DIRECTORY``

One trailing line break is not part of the secret.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from siteshift.config.errors import SecretUnavailable

MAX_SECRET_BYTES = 64 * 1024
"""A PEM chain is some 10 KiB."""

_NAMES = {
    "file": re.compile(r"/[^\0]+\Z"),
    "env": re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z"),
    "credential": re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z"),
}


class SecretSource(StrEnum):
    """Where a secret can be."""

    FILE = "file"
    ENV = "env"
    CREDENTIAL = "credential"


@dataclass(frozen=True, slots=True)
class SecretRef:
    """Where one secret is. Printing it shows the reference only."""

    source: SecretSource
    name: str

    @classmethod
    def parse(cls, text: str) -> SecretRef | None:
        """The reference written as ``text``, or None when it is none."""
        source, colon, name = text.partition(":")
        if not colon or source not in _NAMES or not _NAMES[source].match(name):
            return None
        return cls(SecretSource(source), name)

    def __str__(self) -> str:
        return f"{self.source.value}:{self.name}"

    def path(self) -> Path | None:
        """The file that holds the secret; None for an environment variable. Raises `SecretUnavailable`."""
        match self.source:
            case SecretSource.FILE:
                return Path(self.name)
            case SecretSource.CREDENTIAL:
                directory = os.environ.get("CREDENTIALS_DIRECTORY")
                if not directory:
                    raise SecretUnavailable(str(self), "$CREDENTIALS_DIRECTORY is not set: not started by systemd")
                return Path(directory) / self.name
            case SecretSource.ENV:
                return None

    def resolve_bytes(self) -> bytes:
        """The secret itself. Raises `SecretUnavailable` when it is missing, unreadable, empty or too large."""
        path = self.path()
        if path is None:
            found = os.environ.get(self.name)
            if found is None:
                raise SecretUnavailable(str(self), f"the environment variable {self.name} is not set")
            raw = found.encode("utf-8", "surrogateescape")
        else:
            raw = self._read(path)
        raw = raw.removesuffix(b"\n").removesuffix(b"\r")
        if not raw:
            raise SecretUnavailable(str(self), "is empty")
        return raw

    def resolve(self) -> str:
        """The secret as text. Raises `SecretUnavailable`."""
        try:
            return self.resolve_bytes().decode("utf-8")
        except UnicodeDecodeError:
            raise SecretUnavailable(str(self), "is not UTF-8 text") from None

    def readable_by_all(self) -> str:
        """The octal mode of a secret's file that everybody may read; empty when all is well or cannot be told."""
        try:
            path = self.path()
            mode = path.stat().st_mode if path else 0
        except (OSError, SecretUnavailable):
            return ""
        return f"{stat.S_IMODE(mode):04o}" if mode & stat.S_IROTH else ""

    def _read(self, path: Path) -> bytes:
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                raise SecretUnavailable(str(self), "is not a regular file")
            with path.open("rb") as stream:
                raw = stream.read(MAX_SECRET_BYTES + 1)
        except OSError as error:
            raise SecretUnavailable(str(self), error.strerror or type(error).__name__) from None
        if len(raw) > MAX_SECRET_BYTES:
            raise SecretUnavailable(str(self), f"is larger than {MAX_SECRET_BYTES} bytes")
        return raw
