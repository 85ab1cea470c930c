"""The commands in groups, and an example or two of each: what `--help` ends with and docs/CLI.md shows."""

from __future__ import annotations

LOOK, MOVE, PEOPLE, RECORD, NODE, TRY = "Look", "Move traffic", "What people force and approve", "Record", "Node", "Try it"

GROUPS: dict[str, tuple[str, ...]] = {
    LOOK: ("status", "top", "why", "members", "plan", "fate"),
    MOVE: ("drain", "undrain", "depool", "pool"),
    PEOPLE: ("override", "freeze", "unfreeze", "plane", "approvals", "approve", "revoke", "ack", "switch"),
    RECORD: ("journal",),
    NODE: ("setup", "run", "config", "completion", "version"),
    TRY: ("sim", "drill", "lab"),
}
"""Every command stands in one of them, in this order; a test keeps it so."""

EXAMPLES: dict[str, tuple[str, ...]] = {
    "setup": ("siteshift setup --dry-run", "siteshift setup --example haproxy"),
    "run": ("siteshift run --config /etc/siteshift/siteshift.yaml",),
    "status": ("siteshift status", "siteshift status --json"),
    "why": ("siteshift why pangyo", "siteshift why shop", "siteshift why pangyo --at 14:52"),
    "members": ("siteshift members pangyo",),
    "drain": (
        "siteshift drain pangyo --reason 'power work' --dry-run",
        "siteshift drain pangyo --reason 'power work' --ticket OPS-17 --for 2h --wait",
        "siteshift drain pangyo --service shop --reason 'bad release' --yes",
    ),
    "undrain": ("siteshift undrain pangyo --wait",),
    "depool": ("siteshift depool shop/pangyo/web-3 --reason 'disk'",),
    "pool": ("siteshift pool shop/pangyo/web-3",),
    "freeze": ("siteshift freeze shop --reason 'big sale' --for 6h",),
    "unfreeze": ("siteshift unfreeze shop",),
    "approve": ("siteshift approvals", "siteshift approve 0123456789abcdef"),
    "revoke": ("siteshift revoke 0123456789abcdef --reason 'wrong site'",),
    "ack": ("siteshift ack pangyo --reason 'the switch was replaced'",),
    "override list": ("siteshift override list",),
    "override lift": ("siteshift override lift o12",),
    "override shares": ("siteshift override shares shop pangyo=20 gasan=50 anyang=30 --reason 'load test'",),
    "override mode": ("siteshift override mode shop observe --reason 'release' --for 1h",),
    "plane out": ("siteshift plane out lb1 --reason 'new kernel' --for 1h",),
    "plane in": ("siteshift plane in lb1",),
    "switch off": ("siteshift switch off --reason 'it does the wrong thing'",),
    "switch on": ("siteshift switch on",),
    "journal tail": ("siteshift journal tail -n 50", "siteshift journal tail --follow --kind decision --kind answer"),
    "journal export": ("siteshift journal export /var/backups/siteshift.jsonl",),
    "config check": ("siteshift config check /etc/siteshift/siteshift.yaml", "siteshift config check --elsewhere new.yaml"),
    "completion": ("siteshift completion bash",),
    "sim run": ("siteshift sim run simulations/hang.yaml", "siteshift sim run --config siteshift.yaml simulations/hang.yaml"),
}


def epilog(command: str) -> str | None:
    """What the help of a command ends with; None: it has no example."""
    found = EXAMPLES.get(command)
    return "\n\n".join(("Examples:", *(f"  {line}" for line in found))) if found else None


def group_of(command: str) -> str:
    """The heading a command stands under."""
    return next(group for group, commands in GROUPS.items() if command in commands)
