"""Who asks: by peer credentials on the Unix socket, by bearer token or client certificate over TLS.

A person is a name that goes on record; a role says what they may do. Each role may do what the one before it may. One human is
one name, however they sign in: a Unix user that belongs to the owner of a token has that owner's name.
"""

from __future__ import annotations

import contextlib
import grp
import hmac
import os
import pwd
import re
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from aiohttp import web

from siteshift.config.setups import ApiSetup, UnixGrantSetup
from siteshift.core.model.approval import canonical


class Rank(IntEnum):
    """What one may do: look, act, approve, everything."""

    VIEWER = 1
    OPERATOR = 2
    APPROVER = 3
    ADMIN = 4


RANKS = {"viewer": Rank.VIEWER, "operator": Rank.OPERATOR, "approver": Rank.APPROVER, "admin": Rank.ADMIN}


SUDO_HEADER = "Siteshift-Sudo-User"
"""Who became root by sudo, as ``NAME (uid NUMBER)``. Believed of root and of the node's own user, who may do everything anyway:
it is put on record beside what the kernel says, and gives no right and no other name (law 13)."""
_SUDO_USER = re.compile(r"[A-Za-z0-9._@+-]{1,64}(?: \(uid [0-9]{1,10}\))?", re.ASCII)
SO_PEERGROUPS = 59
"""asm-generic/socket.h; Python has no name for it."""
GROUPS_BYTES = 1_024
"""256 groups, the most Python's getsockopt asks for; who is in more is known by the group database alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A person by their canonical name, and their rank. ``via`` tells how they were recognised.

    ``peer``: the Unix user by number, as the kernel tells it, and who is behind sudo, as root's side says; for the record alone.
    """

    person: str
    rank: Rank
    via: str
    peer: str = ""


ASKER = web.RequestKey("asker", Identity)
"""Who asks, once the door was passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A bearer token in plain text, in memory only."""

    owner: str
    rank: Rank
    secret: str


class Doorkeeper:
    """Recognises who asks. Raises `SecretUnavailable` when a token's secret cannot be read."""

    def __init__(self, setup: ApiSetup) -> None:
        self._grants = setup.unix_grants
        self._tokens = [
            Token(owner=entry.owner, rank=RANKS[entry.role.value], secret=entry.secret.resolve()) for entry in setup.tokens
        ]
        self._by_owner = {token.owner: token.rank for token in self._tokens}
        self._people = people_of(setup)

    def recognise(self, request: web.Request) -> Identity | None:
        """The person behind a request, or None. A token, where one is given, decides alone."""
        header = request.headers.get("Authorization", "")
        if header:
            return self._by_token(header)
        transport = request.transport
        peer = transport.get_extra_info("socket") if transport is not None else None
        if peer is not None and peer.family == socket.AF_UNIX:
            return self._by_peer(peer, request.headers.get(SUDO_HEADER, ""))
        certificate = transport.get_extra_info("peercert") if transport is not None else None
        return self._by_certificate(certificate) if certificate else None

    def why_unknown(self, request: web.Request) -> str:
        """For somebody who was not recognised: what they showed, and what it lacks."""
        if request.headers.get("Authorization", ""):
            return "the bearer token is none of `api.tokens`"
        transport = request.transport
        peer = transport.get_extra_info("socket") if transport is not None else None
        if peer is not None and peer.family == socket.AF_UNIX:
            _, uid, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
            return f"the Unix user {_user_name(uid)} has no role in `api.unix.grants`"
        if transport is not None and transport.get_extra_info("peercert"):
            return "the certificate's common name is no owner in `api.tokens`"
        return "send a bearer token, or use the Unix socket"

    def _by_token(self, header: str) -> Identity | None:
        kind, _, given = header.partition(" ")
        if kind.lower() != "bearer":
            return None
        found: Identity | None = None
        for token in self._tokens:
            if hmac.compare_digest(token.secret.encode(), given.strip().encode("utf-8", "surrogateescape")):
                found = Identity(person=token.owner, rank=token.rank, via="token")
        return found

    def _by_peer(self, peer: socket.socket, sudo: str) -> Identity | None:
        """SO_PEERCRED and SO_PEERGROUPS (unix(7), socket(7)): root and the node's own user are admin, others as granted."""
        size = struct.calcsize("3i")
        _, uid, gid = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
        name = _user_name(uid)
        person = self._people.get(canonical(name), name)
        if uid in (0, _own_uid()):
            behind = f", sudo by {sudo}" if _SUDO_USER.fullmatch(sudo) else ""
            return Identity(person=person, rank=Rank.ADMIN, via="unix socket", peer=f"uid {uid}{behind}")
        groups = _groups_of(peer, name, gid) if any(grant.group for grant in self._grants) else frozenset()
        rank = max((RANKS[g.role.value] for g in self._grants if _is_granted(g, uid, groups, name)), default=None)
        if rank is None:
            return None
        return Identity(person=person, rank=rank, via="unix socket", peer=f"uid {uid}")

    def _by_certificate(self, certificate: dict[str, object]) -> Identity | None:
        """The common name of a client certificate that our CA signed; its rank is that of the token owner so named."""
        for name in _common_names(certificate.get("subject", ())):
            if name in self._by_owner:
                return Identity(person=name, rank=self._by_owner[name], via="certificate")
        return None


def people_of(setup: ApiSetup) -> dict[str, str]:
    """Canonical spelling of a Unix user → the name of the person: of the token's owner, where the user is theirs."""
    owners = {canonical(token.owner): token.owner for token in setup.tokens}
    return owners | {canonical(token.unix_user): token.owner for token in setup.tokens if token.unix_user}


def approvers_of(setup: ApiSetup) -> frozenset[str]:
    """Canonical names of everybody who may approve: an approval of anybody else does not count any more (law 13)."""
    people = people_of(setup)
    users = {"root", _user_name(_own_uid())}
    for grant in setup.unix_grants:
        if RANKS[grant.role.value] >= Rank.APPROVER:
            users |= {_user_of(grant.user)} if grant.user else _members_of(grant.group)
    owners = {token.owner for token in setup.tokens if RANKS[token.role.value] >= Rank.APPROVER}
    return frozenset(canonical(people.get(canonical(name), name)) for name in owners | users)


def _user_of(name_or_number: str) -> str:
    return _user_name(int(name_or_number)) if name_or_number.isascii() and name_or_number.isdigit() else name_or_number


def _members_of(group: str) -> set[str]:
    """Everybody in a Unix group, by its list or as their own group."""
    try:
        entry = grp.getgrgid(int(group)) if group.isascii() and group.isdigit() else grp.getgrnam(group)
    except KeyError:
        return set()
    return {*entry.gr_mem, *(user.pw_name for user in pwd.getpwall() if user.pw_gid == entry.gr_gid)}


def _common_names(subject: object) -> Iterable[str]:
    for entry in subject if isinstance(subject, tuple) else ():
        for key, value in entry:
            if key == "commonName":
                yield str(value)


def _own_uid() -> int:
    return os.getuid()


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _is_granted(grant: UnixGrantSetup, uid: int, groups: frozenset[str], name: str) -> bool:
    return grant.user in (name, str(uid)) if grant.user else grant.group in groups


def _groups_of(peer: socket.socket, user: str, gid: int) -> frozenset[str]:
    """The groups of whoever connected, by name and by number: those of the process, and those its user has been given."""
    gids = {gid, *_process_groups(peer)}
    with contextlib.suppress(KeyError, OSError):
        gids.update(os.getgrouplist(user, gid))
    names: set[str] = set()
    for number in gids:
        with contextlib.suppress(KeyError):
            names.add(grp.getgrgid(number).gr_name)
    return frozenset(names | {str(number) for number in gids})


def _process_groups(peer: socket.socket) -> tuple[int, ...]:
    """The supplementary groups of the process at the other end. None where the kernel cannot tell (before Linux 4.13)."""
    try:
        found = peer.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, GROUPS_BYTES)
    except OSError:
        return ()
    return struct.unpack(f"{len(found) // 4}I", found)
