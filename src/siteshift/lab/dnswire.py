"""As much DNS as a stub resolver needs: one A question, and the addresses and the least TTL of the answer."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache

TYPE_A = 1
CLASS_IN = 1
_HEADER = struct.Struct("!HHHHHH")
_RECORD = struct.Struct("!HHIH")
_RECURSION_DESIRED = 0x0100


@dataclass(frozen=True, slots=True)
class Addresses:
    """The answer: empty addresses mean that the name has none."""

    query_id: int
    addresses: tuple[str, ...]
    ttl_s: int


@lru_cache(maxsize=64)
def _question(name: str) -> bytes:
    labels = b"".join(bytes((len(label),)) + label.encode("ascii") for label in name.rstrip(".").split("."))
    return labels + b"\0" + struct.pack("!HH", TYPE_A, CLASS_IN)


def encode_query(query_id: int, name: str) -> bytes:
    """An A query for the name."""
    return _HEADER.pack(query_id, _RECURSION_DESIRED, 1, 0, 0, 0) + _question(name)


def decode_answer(message: bytes) -> Addresses:
    """The A records of an answer. Raises ValueError when it is not one or is cut short."""
    try:
        query_id, flags, questions, answers, _, _ = _HEADER.unpack_from(message)
        if not flags & 0x8000:
            raise ValueError("not an answer")
        at = _HEADER.size
        for _ in range(questions):
            at = _skip_name(message, at) + 4
        found: list[str] = []
        ttls: list[int] = []
        for _ in range(answers):
            at = _skip_name(message, at)
            kind, _klass, ttl_s, length = _RECORD.unpack_from(message, at)
            at += _RECORD.size
            if at + length > len(message):
                raise ValueError("a DNS message that ends early")
            if kind == TYPE_A and length == 4:
                found.append(".".join(map(str, message[at : at + 4])))
                ttls.append(ttl_s)
            at += length
    except (struct.error, IndexError) as problem:
        raise ValueError("a DNS message that ends early") from problem
    return Addresses(query_id, tuple(found), min(ttls, default=0))


def _skip_name(message: bytes, at: int) -> int:
    while length := message[at]:
        if length >= 0xC0:
            return at + 2
        at += length + 1
    return at + 1
