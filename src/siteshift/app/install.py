"""What `siteshift setup` puts on a host: as a list that can be looked at before anything is done.

Nothing that a person changed is replaced: each file of ours carries a line with the digest of the rest, and one whose digest does
not fit any more is left, and named. A configuration is written once and never again.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from siteshift.app.share import PARTS
from siteshift.errors import SiteshiftError

UNIT, SYSUSERS = "etc/systemd/system/siteshift.service", "etc/sysusers.d/siteshift.conf"
CONFIG, SHARED, COMMAND = "etc/siteshift/siteshift.yaml", "usr/local/share/siteshift", "usr/local/bin/siteshift"
EXAMPLES = {
    "embedded-dns": "one-node-embedded-dns.yaml",
    "haproxy": "one-node-haproxy.yaml",
    "bind": "one-node-bind.yaml",
    "all": "three-sites.yaml",
}
"""What a configuration may be begun from, by what steers."""
_STAMP = re.compile(r"^# Written by siteshift setup; sha256 ([0-9a-f]{16}): .*\n", re.MULTILINE)
_HIDDEN = ("/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/")
"""What the unit does not see (`ProtectHome`, `PrivateTmp`)."""


class Doing(StrEnum):
    """What becomes of a file. ``keep``: it is as it should be; ``leave``: a person changed it, and it is not."""

    WRITE = "write"
    REPLACE = "replace"
    KEEP = "keep"
    LEAVE = "leave"
    LINK = "link"


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One file, folder or link. ``content`` None: a copy of the folder ``source``, or a link to it."""

    path: Path
    doing: Doing
    content: str | None = None
    source: Path | None = None
    mode: int = 0o644
    why: str = ""


class CannotInstall(SiteshiftError):
    """The host, or where the program lies, is not fit for it. ``remedy`` says what to do."""

    def __init__(self, text: str, remedy: str) -> None:
        self.remedy = remedy
        super().__init__(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """What is installed where. ``root``: ``/``, or a folder that becomes one (a package, an image)."""

    root: Path
    program: Path
    share: Path
    example: str | None = None
    replaces: bool = False

    def pieces(self) -> list[Piece]:
        """Everything, in order. Raises `CannotInstall`."""
        self._check()
        config = self.share / "config"
        pieces = [
            self._ours(SYSUSERS, (config / "siteshift.sysusers").read_text(encoding="utf-8")),
            self._ours(UNIT, self._unit((config / "siteshift.service").read_text(encoding="utf-8"))),
            *self._copies(),
            *self._command(),
        ]
        if self.example is not None:
            text = (config / EXAMPLES[self.example]).read_text(encoding="utf-8")
            pieces.append(self._once(CONFIG, text))
        return pieces

    def commands(self) -> list[list[str]]:
        """What is run after the files are there; nothing for another root."""
        return [] if self.root != Path("/") else [["systemd-sysusers"], ["systemctl", "daemon-reload"]]

    def install(self, pieces: Sequence[Piece]) -> None:
        """Write, copy, link, then run `commands`. May be repeated. Raises `CannotInstall`."""
        try:
            for piece in pieces:
                _put(piece)
        except OSError as error:
            raise CannotInstall(f"{error.filename}: {error.strerror}", "Run it as root, or give another --root.") from error
        for command in self.commands():
            try:
                subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
            except FileNotFoundError as error:
                raise CannotInstall(f"there is no {command[0]}", "siteshift's unit needs systemd 252 or newer.") from error
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
                said = str(getattr(error, "stderr", "") or error).strip()
                raise CannotInstall(f"{' '.join(command)}: {said}", "See that it works by itself, then repeat.") from error

    def _check(self) -> None:
        if not self.program.exists():
            raise CannotInstall(f"there is no {self.program}", "Say where the program is: --program.")
        if self.root == Path("/") and f"{self.program}".startswith(_HIDDEN):
            text = f"the service cannot see {self.program}: its unit hides home directories and /tmp from it"
            raise CannotInstall(text, "Install siteshift into a virtual environment in /opt, as docs/INSTALL.md says.")

    def _unit(self, text: str) -> str:
        text = text.replace("/opt/siteshift/.venv/bin/siteshift", str(self.program))
        return text.replace("file:///opt/siteshift/docs", f"file:///{SHARED}/docs")

    def _ours(self, name: str, text: str) -> Piece:
        path, stamped = self.root / name, stamp(text)
        found = _text_of(path)
        if found is None:
            return Piece(path=path, doing=Doing.WRITE, content=stamped)
        if found == stamped:
            return Piece(path=path, doing=Doing.KEEP)
        if is_as_written(found) or self.replaces:
            return Piece(path=path, doing=Doing.REPLACE, content=stamped)
        why = "it was changed: move your changes into a drop-in, then repeat with --replace"
        return Piece(path=path, doing=Doing.LEAVE, why=why)

    def _once(self, name: str, text: str) -> Piece:
        path = self.root / name
        if path.exists():
            return Piece(path=path, doing=Doing.KEEP, why="a configuration is never replaced")
        return Piece(path=path, doing=Doing.WRITE, content=text)

    def _copies(self) -> Iterator[Piece]:
        for part in PARTS:
            path = self.root / SHARED / part
            yield Piece(path=path, doing=Doing.REPLACE if path.exists() else Doing.WRITE, source=self.share / part)

    def _command(self) -> Iterator[Piece]:
        """A link where everybody's PATH has it, unless something stands there."""
        path = self.root / COMMAND
        if self.program == path:
            return
        if path.is_symlink() and path.readlink() == self.program:
            yield Piece(path=path, doing=Doing.KEEP)
        elif path.is_symlink() and self.replaces:
            yield Piece(path=path, doing=Doing.LINK, source=self.program)
        elif path.is_symlink() or path.exists():
            yield Piece(path=path, doing=Doing.LEAVE, why="something else stands there")
        else:
            yield Piece(path=path, doing=Doing.LINK, source=self.program)


def stamp(text: str) -> str:
    """A file of ours with a line that tells whether somebody changed the rest."""
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"# Written by siteshift setup; sha256 {digest}: a file that is changed is left alone by the next one.\n{text}"


def is_as_written(text: str) -> bool:
    """Whether a file is as some version of ours wrote it."""
    found = _STAMP.match(text)
    return found is not None and hashlib.sha256(text[found.end() :].encode()).hexdigest()[:16] == found[1]


def _text_of(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CannotInstall(f"{path}: {error.strerror}", "Look at what stands there, and repeat.") from error


def _put(piece: Piece) -> None:
    if piece.doing in (Doing.KEEP, Doing.LEAVE):
        return
    piece.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if piece.doing is Doing.LINK:
        assert piece.source is not None
        piece.path.unlink(missing_ok=True)
        piece.path.symlink_to(piece.source)
    elif piece.content is None:
        assert piece.source is not None
        _copy(piece.source, piece.path)
    else:
        partly = piece.path.with_name(f"{piece.path.name}.partial")
        partly.write_text(piece.content, encoding="utf-8")
        partly.chmod(piece.mode)
        partly.rename(piece.path)


def _copy(source: Path, target: Path) -> None:
    """Replace a folder by another; readable by all, whatever the umask was when the wheel was unpacked."""
    if target.exists():
        shutil.rmtree(target)
    shutil.copytree(source, target)
    for folder, _, names in os.walk(target):
        Path(folder).chmod(0o755)
        for name in names:
            (Path(folder) / name).chmod(0o644)
