"""Standby drivers: placeholders that exist, and a place that is not lost with the site they replace."""

from __future__ import annotations

from collections.abc import Iterator
from string import Formatter

from siteshift.config.checks.findings import Findings
from siteshift.config.model.root import ConfigFile
from siteshift.config.model.standby import CommandHookDriver, DriverEntry, HaproxyServerDriver, HttpHookDriver
from siteshift.config.problem import Path, ProblemCode

HOOK_FIELDS = ("member", "service", "site", "name", "address", "port")
SERVER_FIELDS = ("site", "name", "service")


def check_drivers(config: ConfigFile, findings: Findings) -> None:
    """Templates, then law 17."""
    for index, driver in enumerate(config.standby_drivers):
        for path, text in _templates(driver, ("standby_drivers", index)):
            fields = SERVER_FIELDS if isinstance(driver, HaproxyServerDriver) else HOOK_FIELDS
            if wrong := _wrong_field(text, fields):
                remedy = "possible: " + ", ".join(f"`{{{name}}}`" for name in fields) + "; a plain brace is doubled"
                findings.note(ProblemCode.MALFORMED, path, wrong, remedy)
    _homes(config, findings)


def _templates(driver: DriverEntry, path: Path) -> Iterator[tuple[Path, str]]:
    match driver:
        case HttpHookDriver():
            for key in ("activate_url", "retire_url", "phase_url"):
                yield (*path, key), getattr(driver, key)
        case CommandHookDriver():
            for key in ("activate", "retire", "phase"):
                yield from (((*path, key, number), word) for number, word in enumerate(getattr(driver, key)))
        case HaproxyServerDriver():
            yield (*path, "backend"), driver.backend
            yield (*path, "server_pattern"), driver.server_pattern


def _wrong_field(text: str, fields: tuple[str, ...]) -> str:
    """What is wrong with a template, in words; empty when nothing is."""
    try:
        for _, name, spec, conversion in Formatter().parse(text):
            if name is not None and (name not in fields or spec or conversion):
                return f"`{{{name}}}` stands for nothing here"
    except ValueError:
        return "a brace is left open"
    return ""


def _homes(config: ConfigFile, findings: Findings) -> None:
    """Law 17: what starts a standby must not be lost with the site the standby replaces."""
    homes = {driver.id: driver.site for driver in config.standby_drivers if driver.site is not None}
    for index, service in enumerate(config.services):
        for number, pool in enumerate(service.pools):
            for position, member in enumerate(pool.members):
                home = homes.get(member.standby_driver or "")
                if home is not None and home != pool.site:
                    path: Path = ("services", index, "pools", number, "members", position, "standby_driver")
                    message = f"'{member.standby_driver}' lives in '{home}': lost with it, when '{member.name}' is needed"
                    remedy = f"use a driver in '{pool.site}' or outside all sites"
                    below: list[Path] = [("standby_drivers",), ("services", index, "pools", number)]
                    findings.note(ProblemCode.DRIVER_INSIDE, path, message, remedy, below=below)
