"""The whole file."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from siteshift.config.fields import Strict
from siteshift.config.model.enactors import EnactorEntry
from siteshift.config.model.node import (
    ApiSection,
    JournalSection,
    LimitsSection,
    LogSection,
    NodeSection,
    SqliteStore,
    StoreSection,
)
from siteshift.config.model.observation import EvidenceEntry, MeterEntry, NotifierEntry
from siteshift.config.model.policy import JudgingSection, PolicySection
from siteshift.config.model.probes import AnchorsSection
from siteshift.config.model.standby import DriverEntry
from siteshift.config.model.topology import ServiceEntry, SharedFateEntry, SiteEntry


class ConfigFile(Strict):
    """A siteshift configuration. Top-level keys that begin with `x-` are free for YAML anchors."""

    version: Literal[1] = 1
    """Of this format."""
    node: NodeSection = Field(examples=[{"id": "node", "site": "site"}])
    api: ApiSection = ApiSection()
    store: StoreSection = SqliteStore()
    journal: JournalSection = JournalSection()
    log: LogSection = LogSection()
    limits: LimitsSection = LimitsSection()
    sites: tuple[SiteEntry, ...] = Field(examples=[[]])
    shared_fate: tuple[SharedFateEntry, ...] = ()
    anchors: AnchorsSection = AnchorsSection()
    judging: JudgingSection = JudgingSection()
    policy: PolicySection = PolicySection()
    services: tuple[ServiceEntry, ...] = Field(examples=[[]])
    enactors: tuple[EnactorEntry, ...] = ()
    standby_drivers: tuple[DriverEntry, ...] = ()
    traffic: tuple[MeterEntry, ...] = ()
    """Meters of seen traffic; without one a drain is complete when the TTL has run out, not when traffic says so."""
    evidence: tuple[EvidenceEntry, ...] = ()
    """Passive evidence: what real traffic says."""
    notifiers: tuple[NotifierEntry, ...] = ()
