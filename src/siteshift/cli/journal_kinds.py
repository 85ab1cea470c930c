"""The kinds of rows a journal has, and what each tells: for `journal tail --kind` and the reference. A test keeps it whole."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

KINDS: Mapping[str, str] = MappingProxyType(
    {
        "adopted": "what was found and not remembered is held as found",
        "answer": "a person's request, and what it was answered",
        "approval": "an approval given, used, lapsed or revoked",
        "belief": "what all reports together say, when that changes",
        "clock": "the wall clock left siteshift time",
        "decision": "a new generation: shares, causes, services",
        "envelope_left": "a goal left the bounds that were approved",
        "findings": "what the rules say to the next step of a service, when that changes",
        "fresh": "the node has seen enough to act",
        "gap": "rows that were counted instead of kept while the disk was full",
        "goal": "a goal waits, runs, is suspended, reached or ended",
        "input": "what the core heard, for a replay",
        "life": "a service at a site went from one life to another",
        "offer": "a suspended goal is offered afresh",
        "override_ends_soon": "people were told of the end of an override",
        "override_expired": "an override came to its end",
        "override_lifted": "a person lifted an override",
        "plan_changed": "a step was taken that no plan had foreseen",
        "plane_foreign": "another controller has signed a data plane",
        "plane_left": "a reload took a data plane away",
        "reload": "a configuration was taken, and what it changed",
        "reload_refused": "a configuration was refused, with every problem",
        "sealed": "old entries went into a segment: which, and how its chain ends",
        "second_copy": "the second copy of the steering is of no use",
        "segment_removed": "a segment was removed, older or larger in all than is kept",
        "segment_set_aside": "a file stood where a segment belongs, and was renamed",
        "setup": "what the configuration came to, for a replay",
        "share_left": "a reload took away what had a share",
        "standby": "a standby member started, was ready, proven, failed or retired",
        "standby_left": "a reload took away a standby that ran",
        "started": "a node started",
        "started_from_nothing": "neither a store nor its second copy was found",
        "state": "the whole state: a replay can begin there",
        "store": "the store was lost, or is usable again",
        "store_set_aside": "a broken store was set aside",
        "term": "whose turn it is to decide changed",
        "traffic": "what meters count at places where it changed by more than chance, and nothing else was news",
        "violation": "a law's checker found it broken",
        "why": "the reasons of a generation, for each service at each site",
    }
)
"""Kind and meaning, by name."""
