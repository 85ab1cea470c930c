"""What a person can do about each finding, diagnosis and notice. Every code has one entry; a test keeps it so.

How many persons an approval takes is not said here: it depends on the case, and the finding itself knows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from siteshift.core.model.codes import DiagnosisCode, FindingCode, NoticeCode

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


NOTICE_REMEDIES: Mapping[str, str] = MappingProxyType(
    {
        DiagnosisCode.SITE_DOWN.value: (
            "siteshift leaves the site by itself where the mode is auto. Look: `siteshift status`, `siteshift why SITE`. What"
            " waits for a person: `siteshift approvals`, `siteshift plan`."
        ),
        DiagnosisCode.SITE_DEGRADED.value: (
            "Users get errors or late answers there. Look: `siteshift why SITE`. To leave it by hand: `siteshift drain SITE "
            "--reason TEXT`."
        ),
        DiagnosisCode.SERVICE_DOWN.value: (
            "The service is left at this site where the mode is auto. Look: `siteshift why SITE`, `siteshift status`."
        ),
        DiagnosisCode.SERVICE_DEGRADED.value: "Look at what the checks and the traffic say: `siteshift why SITE`.",
        DiagnosisCode.MEMBER_DOWN.value: "Mend the server; it serves again when its checks pass. Look: `siteshift members`.",
        DiagnosisCode.GLOBAL_FAULT.value: (
            "It fails everywhere, so moving does not help. Look for a common cause: a release, a dependency, a broken check, "
            "our own network."
        ),
        DiagnosisCode.PATH_DOWN.value: "The site serves, and one way to it does not. Look at that network: `siteshift why SITE`.",
        DiagnosisCode.OBSERVER_ISOLATED.value: (
            "This node's own line is cut; it changes nothing until its anchors answer. Look at its network."
        ),
        DiagnosisCode.CHECK_BROKEN.value: (
            "The check cannot be believed: it passes where it must fail, or fails where users are answered. Mend the check; "
            "nothing is decided by it."
        ),
        DiagnosisCode.DEPENDENCY_DOWN.value: (
            "Mend what it depends on at this site; moving this service alone may not help. Look: `siteshift why SITE`."
        ),
        DiagnosisCode.OVERLOAD.value: (
            "The pool is asked more than it carries. Open standbys, add servers, or shed load. Look: `siteshift status`."
        ),
        DiagnosisCode.STALE.value: "What is known is old. Look at the node that reports it: `siteshift status`.",
        NoticeCode.BLIND.value: (
            "Nothing is believed and nothing is moved. Bring the anchors back in reach of the node, or look at its network: "
            "`siteshift status`."
        ),
        NoticeCode.CLOCK.value: "Set the machine's clock right (chrony, systemd-timesyncd), then restart the node.",
        NoticeCode.DRIFT.value: (
            "Somebody changed the data plane by hand. To keep the change, have siteshift make it; it is left alone until the "
            "next move there. Look: `siteshift status`."
        ),
        NoticeCode.GOAL_ENDED.value: "Look whether it should be asked for again: `siteshift approvals`.",
        NoticeCode.OVERRIDE_ENDS_SOON.value: (
            "To keep it, ask for it again with a new end; else nothing. Look: `siteshift override list`."
        ),
        NoticeCode.OVERRIDE_LIFTED.value: "The configuration no longer has what was forced. Look: `siteshift status`.",
        NoticeCode.PLANE_STALE.value: (
            "The data plane has a newer generation than ours; it is read and numbered past. If it lasts, look for a second "
            "controller: `siteshift status`."
        ),
        NoticeCode.PLANE_REFUSED.value: (
            "The data plane will not take it: look at what it says, its permissions and keys: `siteshift status`. It is tried"
            " again by itself."
        ),
        NoticeCode.PLANE_FAILED.value: (
            "Bring the data plane back in reach; it is written again by itself. Look: `siteshift status`."
        ),
        NoticeCode.PLANE_AMBIGUOUS.value: (
            "It is not known whether the write arrived; it is read before it is written again. If it lasts, look at the data "
            "plane."
        ),
        NoticeCode.PLANE_FORGETS.value: (
            "It takes every write and shows none: look for a second writer, a read-only file, or a restart loop. Look: "
            "`siteshift status`."
        ),
        NoticeCode.PLANE_LEFT.value: (
            "It keeps what it has and is not written any more. Take its records or weights over by hand."
        ),
        NoticeCode.PLANE_UNREADABLE.value: (
            "Bring the data plane back in reach; what it does is unknown meanwhile. Look: `siteshift status`."
        ),
        NoticeCode.RECORD_GAP.value: "Free the disk, or mend what the log names: steering holds still, and the record has a gap.",
        NoticeCode.RELOAD_REFUSED.value: (
            "The configuration that ran before stays. Correct the file: `siteshift config check FILE`, then reload again."
        ),
        NoticeCode.STANDBY_FAILED.value: (
            "Bring the standby up by hand, or mend its driver; survivors have its capacity less. Look: `siteshift members`."
        ),
        NoticeCode.SHARE_LEFT.value: "Take the servers out at the load balancer, or put the pool back and drain it first.",
        NoticeCode.STANDBY_LEFT.value: "It is left running: retire it by hand if it shall not run.",
        NoticeCode.STARTED_FROM_NOTHING.value: "If this node ran before, drain again what must stay away: `siteshift drain`.",
    }
)
"""By the value of a diagnosis' or notice's code; those that are findings' codes too are in `REMEDIES`."""
