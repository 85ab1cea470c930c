"""What a link does to one exchange over TCP, a request and its answer: later by the packets sent again, or not in time.

One rule for whoever asks over a link: users, balancers that send on, checks, looks at traffic, nodes among themselves, and calls
to data planes, standby drivers and the store. A request and its answer are a packet each. Lost is the pair, with the chance that
either is (`network.Net.loss_pm`); it is sent again after `RESEND_MS`, which doubles each time (RFC 6298, 5.5). Who has no open
connection has to open one first: SYN and SYN-ACK are such a pair as well, sent again after `OPEN_AGAIN_MS`. What would come at
or after the asker's patience is not in time: never an answer. A cut loses every packet.

Not modelled: answers of many packets (fast retransmit), congestion windows, DNS look-ups (resolvers ask again, and elsewhere).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from functools import lru_cache

ALL_PM = 1_000
RESEND_MS = 200
"""The least retransmission timeout of Linux (TCP_RTO_MIN, net/tcp.h). RFC 6298 2.4 would have a second, which no server waits;
the links of a world take milliseconds, so that the least one is what counts."""
OPEN_AGAIN_MS = 1_000
"""Of a SYN: nothing has been measured yet (RFC 6298 2.1; Linux TCP_TIMEOUT_INIT)."""

Answers = tuple[tuple[int, float], ...]
"""How much later answers come by the way, and which part of them; what is missing to a whole comes not at all."""
AT_ONCE: Answers = ((0, 1.0),)


def resends_ms(first_ms: int, within_ms: int) -> Iterator[int]:
    """How late an exchange is after none, one, two … losses: 0, the first timeout, three times that, seven times …"""
    late_ms, wait_ms = 0, first_ms
    while late_ms < within_ms:
        yield late_ms
        late_ms, wait_ms = late_ms + wait_ms, 2 * wait_ms


@lru_cache(maxsize=4_096)
def answers(loss_pm: int, within_ms: int, *, opening: float = 0.0) -> Answers:
    """What becomes of many exchanges, of which the part ``opening`` has to open a connection first."""
    if not loss_pm:
        return AT_ONCE
    kept = _pairs(loss_pm, RESEND_MS, within_ms)
    opened = then(_pairs(loss_pm, OPEN_AGAIN_MS, within_ms), kept, within_ms)
    return _merged([*_times(kept, 1 - opening), *_times(opened, opening)], within_ms)


def _pairs(loss_pm: int, first_ms: int, within_ms: int) -> Answers:
    lost = loss_pm / ALL_PM
    return tuple((late_ms, (1 - lost) * lost**times) for times, late_ms in enumerate(resends_ms(first_ms, within_ms)))


def then(first: Answers, second: Answers, within_ms: int) -> Answers:
    """One way after another: the delays add up."""
    if first == AT_ONCE:
        return second
    if second == AT_ONCE:
        return first
    return _merged([(one_ms + other_ms, one * other) for one_ms, one in first for other_ms, other in second], within_ms)


def _times(ways: Answers, part: float) -> Answers:
    return tuple((late_ms, each * part) for late_ms, each in ways)


def _merged(ways: Iterable[tuple[int, float]], within_ms: int) -> Answers:
    found: dict[int, float] = {}
    for late_ms, part in ways:
        if late_ms < within_ms and part > 0:
            found[late_ms] = found.get(late_ms, 0.0) + part
    return tuple(sorted(found.items()))


def part_in_time(ways: Answers, within_ms: int | None = None) -> float:
    """The part of exchanges that are answered, or that are answered later by less than ``within_ms``."""
    return sum(part for late_ms, part in ways if within_ms is None or late_ms < within_ms)


def one_exchange(lots: random.Random, loss_pm: int, within_ms: int, *, first_ms: int = RESEND_MS) -> int | None:
    """How much later one answer comes, over a connection kept open; None: not in time. Draws a lot for each packet."""
    if not loss_pm:
        return 0
    if loss_pm >= ALL_PM:
        return None
    return next((late_ms for late_ms in resends_ms(first_ms, within_ms) if lots.randrange(ALL_PM) >= loss_pm), None)


def one_visit(lots: random.Random, loss_pm: int, within_ms: int) -> int | None:
    """The same of who opens a connection for it."""
    opened_ms = one_exchange(lots, loss_pm, within_ms, first_ms=OPEN_AGAIN_MS)
    if opened_ms is None:
        return None
    asked_ms = one_exchange(lots, loss_pm, within_ms - opened_ms)
    return None if asked_ms is None else opened_ms + asked_ms
