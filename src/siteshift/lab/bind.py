"""BIND between the clients and the node: the zone, the key that may update it, and how the node is told of both."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from siteshift.lab.spec import SERVICE_NAME, ZONE, LabSpec

KEY_NAME = "siteshift-lab"
TTL_S = 10
"""Of the records BIND starts with; from the first update on the node's policy decides."""


def start_command(spec: LabSpec) -> list[str]:
    """Write BIND's files into the lab's folder and return what to run; it stays in the foreground."""
    folder = spec.path / "bind"
    folder.mkdir(exist_ok=True)
    secret = base64.b64encode(hashlib.sha256(f"{spec.folder}/{spec.seed}".encode()).digest()).decode()
    _secret_file(spec).write_text(secret)
    _secret_file(spec).chmod(0o600)
    (folder / "zone.db").write_text(_zone(spec))
    (folder / "named.conf").write_text(_named_conf(spec, folder, secret))
    return ["named", "-g", "-4", "-c", str(folder / "named.conf")]


def enactor(spec: LabSpec) -> dict[str, object]:
    """The node's enactor for this zone."""
    at = f"{spec.dns}:{spec.dns_port}"
    return {
        "id": "dns",
        "kind": "rfc2136",
        "zone": ZONE,
        "primary": at,
        "verify_servers": [at],
        "tsig": {"name": KEY_NAME, "secret": f"file:{_secret_file(spec)}"},
    }


def _secret_file(spec: LabSpec) -> Path:
    return spec.path / "tsig.key"


def _zone(spec: LabSpec) -> str:
    """Every site answers with as many addresses as its share asks for, of ten in all."""
    lines = [f"$ORIGIN {ZONE}.", f"$TTL {TTL_S}", "@ IN SOA ns1 hostmaster 1 3600 600 86400 5", "@ IN NS ns1"]
    lines.append(f"ns1 IN A {spec.dns}")
    for site in spec.sites:
        count = max(1, round(site.nominal_bp / 1_000))
        lines += [f"{SERVICE_NAME}. IN A {address}" for address in site.answers[:count]]
    return "\n".join(lines) + "\n"


def _named_conf(spec: LabSpec, folder: Path, secret: str) -> str:
    return f"""
options {{
  directory "{folder}"; pid-file none; session-keyfile "{folder}/session.key"; lock-file none;
  listen-on port {spec.dns_port} {{ {spec.dns}; }}; listen-on-v6 {{ none; }};
  recursion no; dnssec-validation no; notify no; rrset-order {{ order random; }}; minimal-responses yes;
}};
controls {{ }};
key "{KEY_NAME}" {{ algorithm hmac-sha256; secret "{secret}"; }};
zone "{ZONE}" {{ type primary; file "zone.db"; allow-update {{ key "{KEY_NAME}"; }}; }};
"""
