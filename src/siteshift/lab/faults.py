"""What can go wrong on command. Each fault is a value; `apply` does it to a running lab and `undo` takes it back.

Crash and hang are real: SIGKILL and SIGSTOP of the site's process (a stopped process still has its connections
accepted by the kernel, and nothing answers). Undoing a crash starts the process again: the site returns.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, assert_never

from siteshift.lab.control import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """The site's process dies: connections are reset, new ones refused."""

    site: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hang:
    """The site's process stops: connections are accepted, nothing answers."""

    site: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BlackHole:
    """Packets to and from the site vanish (network namespaces only)."""

    site: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Errors:
    """This part of all requests at the site, health probes included, is answered 500."""

    site: str
    rate_pm: int = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Every answer of the site comes later, without using more of its capacity."""

    site: str
    added_ms: int = 1_500


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowMember:
    """One member works this much slower (1000 is normal), so its queue fills."""

    site: str
    member: str
    slowdown_pm: int = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeLie:
    """The health page says all is well while every user request fails."""

    site: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthPageBroken:
    """The health page fails while users are served well. ``site`` empty: everywhere."""

    site: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberCrash:
    """One member stops listening."""

    site: str
    member: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberFlap:
    """One member goes down and up in turn."""

    site: str
    member: str
    down_ms: int = 2_000
    up_ms: int = 1_000


Fault = Crash | Hang | BlackHole | Errors | Latency | SlowMember | ProbeLie | HealthPageBroken | MemberCrash | MemberFlap

FAULTS: dict[str, type[Fault]] = {
    "crash": Crash,
    "hang": Hang,
    "black_hole": BlackHole,
    "errors": Errors,
    "latency": Latency,
    "slow_member": SlowMember,
    "probe_lie": ProbeLie,
    "health_page_broken": HealthPageBroken,
    "member_crash": MemberCrash,
    "member_flap": MemberFlap,
}
"""The faults by the name the command line uses."""


class World(Protocol):
    """What a fault needs of a lab."""

    @property
    def site_ids(self) -> tuple[str, ...]: ...

    async def tell(self, site: str, message: Message) -> Message:
        """Send a control message to the site's process."""

    def signal_site(self, site: str, number: signal.Signals) -> None:
        """Signal the site's process."""

    async def start_site(self, site: str) -> None:
        """Start the site's process and wait until it serves. Does nothing when it runs."""

    def cut_site(self, site: str) -> None:
        """Make packets to and from the site vanish. Raises `FaultImpossible` where that cannot be done."""

    def mend_site(self, site: str) -> None:
        """Let packets through again."""


class FaultImpossible(Exception):
    """This form of the lab cannot have that fault, or its words make no sense; says why."""


MOST_ERRORS_PM = 1_000

_SIZED = ("errors", "latency", "slow_member")
"""Faults that take a number."""


def parse_fault(text: str, *, site: str, member: str) -> Fault:
    """A fault from ``name``, ``name:number`` or ``name:number@site`` (rate in per mille or, with ``%``, per cent; latency in ms).

    ``site`` and ``member`` are the defaults; an empty ``site``: one has to be named. Raises `FaultImpossible` for an unknown
    name, or a number that cannot be.
    """
    words, at, where = text.partition("@")
    name, colon, number = words.partition(":")
    where = where if at else site
    if name not in FAULTS:
        raise FaultImpossible(f"unknown fault {name!r}; known: {', '.join(FAULTS)}")
    if not where:
        raise FaultImpossible(f"where? write {name}@SITE")
    if colon and name not in _SIZED:
        raise FaultImpossible(f"{name} takes no number")
    scale = 1
    if name == "errors" and number.endswith("%"):
        number, scale = number[:-1], 10
    if colon and not (number.isascii() and number.isdigit()):
        raise FaultImpossible(f"{number!r} is not a whole number")
    size = int(number) * scale if number else None
    if name == "errors" and size is not None and size > MOST_ERRORS_PM:
        raise FaultImpossible(f"{size} is more than all requests; errors are per mille: 300 is three in ten, and so is 30%")
    match name:
        case "errors":
            return Errors(site=where, rate_pm=300 if size is None else size)
        case "latency":
            return Latency(site=where, added_ms=1_500 if size is None else size)
        case "slow_member":
            return SlowMember(site=where, member=member, slowdown_pm=10_000 if size is None else size)
        case "member_crash":
            return MemberCrash(site=where, member=member)
        case "member_flap":
            return MemberFlap(site=where, member=member)
        case "health_page_broken":
            return HealthPageBroken(site="" if where == "everywhere" else where)
        case "crash":
            return Crash(site=where)
        case "hang":
            return Hang(site=where)
        case "black_hole":
            return BlackHole(site=where)
        case _:
            return ProbeLie(site=where)


def name_of(fault: Fault) -> str:
    """The command line's name of a fault."""
    return next(name for name, kind in FAULTS.items() if isinstance(fault, kind))


def words_of(fault: Fault) -> str:
    """A fault as it is typed, with the number and the place it has; of a member also which."""
    match fault:
        case Errors(rate_pm=size) | Latency(added_ms=size) | SlowMember(slowdown_pm=size):
            number = f":{size}"
        case _:
            number = ""
    member = f" ({fault.member})" if isinstance(fault, SlowMember | MemberCrash | MemberFlap) else ""
    return f"{name_of(fault)}{number}@{fault.site or 'everywhere'}{member}"


def effect_of(fault: Fault) -> str:
    """What a number of a fault means; empty for a fault without one."""
    match fault:
        case Errors(rate_pm=rate_pm):
            return f"{rate_pm / 10:g} % of its answers are errors"
        case Latency(added_ms=added_ms):
            return f"every answer comes {added_ms} ms later"
        case SlowMember(slowdown_pm=slowdown_pm):
            return f"it takes {slowdown_pm / 1_000:g} times as long"
        case _:
            return ""


_CONDITIONS = (Errors, Latency, SlowMember, ProbeLie, HealthPageBroken)
"""Faults that are one condition of their members: the next one takes its place."""
_OF_MEMBERS = (MemberCrash, MemberFlap)


class Wrongs:
    """The faults that were done to a lab and not taken back."""

    def __init__(self) -> None:
        self._now: list[Fault] = []

    def __iter__(self) -> Iterator[Fault]:
        return iter(self._now)

    def add(self, fault: Fault) -> None:
        """It was done. A site that starts again after a crash is as new; a condition takes the place of another."""
        if isinstance(fault, Crash):
            gone: list[Fault] = [one for one in self._now if one.site == fault.site and not isinstance(one, BlackHole)]
        else:
            gone = [one for one in self._now if _is_replaced(one, fault)]
        self._now = [one for one in self._now if one not in gone] + [fault]

    def like(self, fault: Fault) -> list[Fault]:
        """Those that taking this one back ends: of its kind, at its place; ``everywhere`` is every site."""
        return [
            one
            for one in self._now
            if type(one) is type(fault)
            and (one.site == fault.site or "" in (one.site, fault.site))
            and getattr(one, "member", "") == getattr(fault, "member", "")
        ]

    def remove(self, fault: Fault) -> None:
        """It was taken back."""
        gone = self.like(fault)
        self._now = [one for one in self._now if one not in gone]


def _is_replaced(one: Fault, by: Fault) -> bool:
    if one.site != by.site and by.site:
        return False
    is_same_member = getattr(one, "member", "") == getattr(by, "member", "")
    if isinstance(one, _CONDITIONS) and isinstance(by, _CONDITIONS):
        return is_same_member or not isinstance(by, SlowMember)
    if isinstance(one, _OF_MEMBERS) and isinstance(by, _OF_MEMBERS):
        return is_same_member
    return type(one) is type(by) and is_same_member


async def apply(world: World, fault: Fault) -> None:
    """Hurt the world. Raises `ControlError` when the site's process does not answer."""
    match fault:
        case Crash(site=site):
            world.signal_site(site, signal.SIGKILL)
        case Hang(site=site):
            world.signal_site(site, signal.SIGSTOP)
        case BlackHole(site=site):
            world.cut_site(site)
        case Errors(site=site, rate_pm=rate_pm):
            await world.tell(site, _condition(work_error_pm=rate_pm, health_error_pm=rate_pm))
        case Latency(site=site, added_ms=added_ms):
            await world.tell(site, _condition(added_ms=added_ms))
        case SlowMember(site=site, member=member, slowdown_pm=slowdown_pm):
            await world.tell(site, {**_condition(slowdown_pm=slowdown_pm), "member": member})
        case ProbeLie(site=site):
            await world.tell(site, _condition(work_error_pm=1_000))
        case HealthPageBroken(site=site):
            for each in _sites(world, site):
                await world.tell(each, _condition(health_error_pm=1_000))
        case MemberCrash(site=site, member=member):
            await world.tell(site, {"do": "close", "member": member})
        case MemberFlap(site=site, member=member, down_ms=down_ms, up_ms=up_ms):
            await world.tell(site, {"do": "flap", "member": member, "down_ms": down_ms, "up_ms": up_ms})
        case _:
            assert_never(fault)


async def undo(world: World, fault: Fault) -> None:
    """Take the fault back: the site, or the member, returns."""
    match fault:
        case Crash(site=site):
            await world.start_site(site)
        case Hang(site=site):
            world.signal_site(site, signal.SIGCONT)
        case BlackHole(site=site):
            world.mend_site(site)
        case Errors(site=site) | Latency(site=site) | ProbeLie(site=site):
            await world.tell(site, _condition())
        case SlowMember(site=site, member=member):
            await world.tell(site, {**_condition(), "member": member})
        case HealthPageBroken(site=site):
            for each in _sites(world, site):
                await world.tell(each, _condition())
        case MemberCrash(site=site, member=member) | MemberFlap(site=site, member=member):
            await world.tell(site, {"do": "settle", "member": member})
        case _:
            assert_never(fault)


def _condition(**wrong: int) -> Message:
    return {"do": "condition", **wrong}


def _sites(world: World, site: str) -> tuple[str, ...]:
    return (site,) if site else world.site_ids
