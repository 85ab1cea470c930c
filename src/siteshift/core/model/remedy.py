"""What a person can do about each finding. Every `FindingCode` has one entry; a test keeps it so.

How many persons an approval takes is not said here: it depends on the case, and the finding itself knows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from siteshift.core.model.codes import FindingCode

REMEDIES: Mapping[FindingCode, str] = MappingProxyType(
    {
        FindingCode.LAST_SERVING_SITE: "Bring another site into service first (undrain it, or open its standby). "
        "No approval lifts this; it is judged again by itself as soon as another site serves.",
        FindingCode.MIN_SERVING_SITES: "Undrain another site first, lower `min_serving_sites`, or approve the plan.",
        FindingCode.CAPACITY_SHORT: "Open standby members, lower demand, or drain less; else approve the plan.",
        FindingCode.SHED_NEEDED: "Open standby members or drain less; else approve that this much is shed.",
        FindingCode.STANDBY_NOT_READY: "Wait until the standby members are ready, or leave them out.",
        FindingCode.VELOCITY: "Wait until the window has passed, or have a person approve the plan.",
        FindingCode.REMOVALS_PER_HOUR: "Find out why sites keep being removed; meanwhile a person may approve.",
        FindingCode.SHARE_NEEDS_PERSON: "Have the plan approved, or raise `max_unattended_percent`.",
        FindingCode.SAME_FATE: "Choose a refuge outside the group, set `refuge_same_fate`, or approve the plan.",
        FindingCode.DATA_ROLE: "Promote the data at the target (siteshift never does) and wait for the role check.",
        FindingCode.CHANGE_FREEZE: "Wait for the end of the freeze, lift it, or approve. What protects users passes, and what "
        "sheds fewer.",
        FindingCode.HOLD_DOWN: "Wait until the hold-down ends, or undrain by hand.",
        FindingCode.MODE_OBSERVE: "Put the service into `recommend` or `auto` (an override of kind mode will do).",
        FindingCode.MODE_RECOMMEND: "Approve the plan by its digest, or put the service into `auto`.",
        FindingCode.STALE_DIGEST: "A digit is wrong, or what would happen has changed since. Look at what is shown now, and "
        "give its digest.",
        FindingCode.OVERRIDE_EXPIRED: "Give an expiry in the future.",
        FindingCode.OVERRIDE_TOO_LONG: "Give an expiry within `policy.overrides.max_expiry_h`; renew it when it is due.",
        FindingCode.NOT_LEADER: "Ask the leading node, or wait until this node holds the term.",
        FindingCode.STORE_LOST: "Bring the store back: free the disk, or mend what the log names; steering holds still.",
        FindingCode.BLIND: "Bring the anchors back in reach of a vantage. An operator alone cannot force it: somebody "
        "with the role approver, who sees by other means that the other sites are well, may approve the plan by its digest.",
        FindingCode.GLOBAL_FAULT: "Look for a common cause (release, dependency, our network); moving does not help. "
        "Somebody with the role approver may approve the plan by its digest all the same.",
        FindingCode.NO_FRESH_EVIDENCE: "Wait for fresh reports about the site, or have a person who knows approve.",
        FindingCode.TARGET_UNHEALTHY: "Choose a site that is up, wait until it is, or undrain it; approve what asks for it.",
        FindingCode.UNKNOWN_NAME: "Correct the name: `siteshift status` has the sites and services, `siteshift members` the "
        "members, `siteshift override list` what is forced.",
        FindingCode.NOTHING_TO_DO: "If you expected something, look whether name and digest are right: `siteshift status`, "
        "`siteshift override list`, `siteshift approvals`.",
        FindingCode.CHANGED_BY_HAND: "To keep it, have siteshift do it (`depool`, `drain`, `shares`); else ours is put back.",
        FindingCode.DATA_PLANE_UNKNOWN: "Bring the data plane back in reach; it is read before anything is written. If no user "
        "comes by it meanwhile: `siteshift plane out PLANE`, and moves go on without it.",
        FindingCode.PLANE_OBSTACLE: "No write of siteshift changes it: do there what the finding says.",
        FindingCode.LAST_PLANE: "Bring this plane back in reach, or put another one into service first: "
        "`siteshift plane in PLANE`.",
        FindingCode.SWITCHED_OFF: "Switch automatic acting on again, or act by hand.",
        FindingCode.HELD_AS_ADOPTED: "Find out why the site was left as it is, then acknowledge it: `siteshift ack SITE`, or "
        "`siteshift ack` for all.",
        FindingCode.PLANE_FOREIGN: "Stop one of the two controllers, or take the plane out of one's configuration. To take it "
        "over on purpose: `siteshift ack --plane PLANE`.",
        FindingCode.NO_POOL: "Leave the site out, or give the service a pool there in the configuration.",
        FindingCode.ROOM_HELD_BACK: "Unless you know what no check sees, lift what is named; else open standby members or lower "
        "demand.",
        FindingCode.ENVELOPE_LEFT: "Look at `siteshift approvals` and have the fresh envelope confirmed and approved, or lift "
        "the override. Protective moves go on meanwhile.",
        FindingCode.OWN_REQUEST: "Another person with the role approver has to approve it.",
        FindingCode.NOT_ALLOWED: "Ask the person themselves, or somebody with the role admin.",
        FindingCode.INCOMPLETE: "Give what is missing and ask again.",
    }
)
