"""Secrets by reference, and what is looked at around a configuration."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from siteshift.config import SecretRef, SecretUnavailable, check_config, load_config, resolve
from siteshift.config.secret import MAX_SECRET_BYTES

BASE = (Path(__file__).parents[2] / "config" / "one-node-embedded-dns.yaml").read_text()


def ref(text: str) -> SecretRef:
    found = SecretRef.parse(text)
    assert found is not None
    return found


def secret_file(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    path = folder / "secret"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def self_signed(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate and its key, as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    paths = folder / f"{name}.crt", folder / f"{name}.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    paths[1].chmod(0o600)
    return paths


@pytest.mark.parametrize(
    "text",
    ["hunter2", "file:relative", "file:", "env:1X", "env:", "credential:../x", "credential:", "vault:x", "file:/a\0b", ""],
)
def test_what_is_no_reference_is_none(text: str) -> None:
    assert SecretRef.parse(text) is None


def test_one_line_break_at_the_end_is_not_part_of_a_secret(tmp_path: Path) -> None:
    for content, secret in ((b"s3cret", "s3cret"), (b"s3cret\n", "s3cret"), (b"s3cret\r\n", "s3cret"), (b" a \n\n", " a \n")):
        assert ref(f"file:{secret_file(tmp_path, content)}").resolve() == secret


def test_the_environment_and_systemd_credentials_hold_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SITESHIFT_TEST", "from-env")
    assert ref("env:SITESHIFT_TEST").resolve() == "from-env"
    secret_file(tmp_path, b"from-systemd\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert ref("credential:secret").resolve() == "from-systemd"
    assert ref("credential:secret").path() == tmp_path / "secret"


def test_a_secret_that_cannot_be_had_says_why_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.delenv("SITESHIFT_TEST", raising=False)
    cases = {
        f"file:{tmp_path}/missing": "No such file",
        f"file:{tmp_path}": "not a regular file",
        "env:SITESHIFT_TEST": "not set",
        "credential:secret": "CREDENTIALS_DIRECTORY",
    }
    for text, words in cases.items():
        with pytest.raises(SecretUnavailable, match=words):
            ref(text).resolve()
    for content, words in ((b"", "empty"), (b"\n", "empty"), (b"\xff\xfe", "UTF-8"), (b"x" * (MAX_SECRET_BYTES + 1), "larger")):
        with pytest.raises(SecretUnavailable, match=words):
            ref(f"file:{secret_file(tmp_path, content)}").resolve()


def test_printing_a_reference_shows_the_reference(tmp_path: Path) -> None:
    path = secret_file(tmp_path, b"s3cret")
    assert str(ref(f"file:{path}")) == f"file:{path}"
    assert "s3cret" not in repr(ref(f"file:{path}"))


def with_token(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(f"{BASE}\napi:\n  tokens:\n    - {{owner: alice, role: viewer, secret: '{text}'}}\n")
    path.chmod(0o640)
    return path


def ids(path: Path) -> list[str]:
    return [problem.id for problem in check_config(path)]


def test_secrets_are_read_while_checking(tmp_path: Path) -> None:
    good = secret_file(tmp_path, b"0123456789abcdef\n")
    assert ids(with_token(tmp_path, f"file:{good}")) == []
    assert ids(with_token(tmp_path, f"file:{tmp_path}/missing")) == ["CFG-601"]
    assert ids(with_token(tmp_path, "env:SITESHIFT_NO_SUCH_VARIABLE")) == ["CFG-601"]
    good.write_bytes(b"short\n")
    assert ids(with_token(tmp_path, f"file:{good}")) == ["CFG-605"]


def test_a_secret_that_everybody_may_read_is_a_warning(tmp_path: Path) -> None:
    path = with_token(tmp_path, f"file:{secret_file(tmp_path, b'0123456789abcdef', 0o644)}")
    (problem,) = load_config(path).warnings
    assert problem.id == "CFG-602"
    assert "0644" in problem.message
    assert "chmod" in problem.remedy


def test_a_configuration_that_everybody_may_write_is_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(BASE)
    path.chmod(0o666)
    assert ids(path) == ["CFG-604"]


def test_files_that_are_named_must_exist(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    good = secret_file(tmp_path, b"0123456789abcdef")
    tls = f"{{listen: '127.0.0.1:8443', certificate_file: {tmp_path}/no.crt, key: 'file:{good}', client_ca_file: {good}}}"
    token = f"[{{owner: alice, role: viewer, secret: 'file:{good}'}}]"
    path.write_text(f"{BASE}\napi:\n  tls: {tls}\n  tokens: {token}\n")
    missing, unusable = check_config(path)
    assert (missing.id, missing.path) == ("CFG-603", "api.tls.certificate_file")
    assert (unusable.id, unusable.path) == ("CFG-603", "api.tls.client_ca_file")
    assert "No such file" in missing.message
    assert "not usable as PEM" in unusable.message


def test_a_certificate_and_its_key_belong_together(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path, "one")
    _, other_key = self_signed(tmp_path, "two")
    path = tmp_path / "config.yaml"
    token = f"[{{owner: alice, role: viewer, secret: 'file:{secret_file(tmp_path, b'0123456789abcdef')}'}}]"
    for used, expected in ((key, []), (other_key, ["CFG-603"])):
        tls = f"{{listen: '127.0.0.1:8443', certificate_file: {certificate}, key: 'file:{used}', client_ca_file: {certificate}}}"
        path.write_text(f"{BASE}\napi:\n  tls: {tls}\n  tokens: {token}\n")
        assert ids(path) == expected


def test_accounts_must_exist_on_this_machine(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    grants = "[{user: root, role: admin}, {user: '12345', role: viewer}, {group: no-such-group, role: viewer}]"
    path.write_text(f"{BASE}\napi: {{unix: {{grants: {grants}}}}}\n")
    (problem,) = check_config(path)
    assert (problem.id, problem.path) == ("CFG-606", "api.unix.grants[2].group")


def test_a_tls_key_is_no_environment_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SITESHIFT_TEST", "key")
    path = tmp_path / "config.yaml"
    good = secret_file(tmp_path, b"0123456789abcdef")
    certificate, _ = self_signed(tmp_path, "one")
    tls = f"{{listen: '127.0.0.1:8443', certificate_file: {certificate}, key: 'env:SITESHIFT_TEST'}}"
    token = f"[{{owner: alice, role: viewer, secret: 'file:{good}'}}]"
    path.write_text(f"{BASE}\napi:\n  tls: {tls}\n  tokens: {token}\n")
    assert ids(path) == ["CFG-601"]


def test_a_tsig_secret_is_base64(tmp_path: Path) -> None:
    good = secret_file(tmp_path, b"not base64!")
    path = tmp_path / "config.yaml"
    bind = (
        f"{{id: bind, kind: rfc2136, zone: gslb.example.com, primary: '192.0.2.53:53', tsig: {{name: k, secret: 'file:{good}'}}}}"
    )
    path.write_text(BASE.replace("enactors:\n", f"enactors:\n  - {bind}\n"))
    assert ids(path) == ["CFG-605"]
    good.write_bytes(b"c2VjcmV0Cg==\n")
    assert ids(path) == []


def test_headers_with_secrets_are_read_when_probes_are_made_out(tmp_path: Path) -> None:
    good = secret_file(tmp_path, b"Bearer 0123456789abcdef\n")
    path = tmp_path / "config.yaml"
    text = BASE.replace("path: /healthz\n", f"path: /healthz\n        secret_headers: {{Authorization: 'file:{good}'}}\n")
    path.write_text(text)
    resolved = resolve(load_config(path).config)
    assert resolved.probes[0].http.headers == (("Authorization", "Bearer 0123456789abcdef"),)
    good.unlink()
    assert ids(path) == ["CFG-601"]


def probing_with(folder: Path, probe: str) -> list[str]:
    """What is said about one more probe, without the configuration's own."""
    path = folder / "siteshift.yaml"
    first = "    probes:\n"
    assert first in BASE
    path.write_text(BASE.replace(first, f"{first}      - {probe}\n", 1))
    path.chmod(0o600)
    return [f"{problem.id} {problem.path.rpartition('.')[2]}" for problem in check_config(path) if "probes[0]" in problem.path]


TWIN = "twin: {path: /must-fail}"


@pytest.mark.parametrize("kind", ["https", "grpc", "tls", "journey"])
def test_a_client_certificate_and_its_key_are_tried(tmp_path: Path, kind: str) -> None:
    certificate, key = self_signed(tmp_path, "ours")
    _, foreign = self_signed(tmp_path, "foreign")
    both = tmp_path / "both.pem"
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    more = {
        "https": TWIN,
        "grpc": "twin: {service: must.Fail}",
        "tls": "twin: {server_name: must-fail.invalid}",
        "journey": f"scheme: https, steps: [{{}}], {TWIN}",
    }

    def said(tls: str) -> list[str]:
        return probing_with(tmp_path, f"{{id: x, kind: {kind}, {more[kind]}, tls: {{{tls}}}}}")

    assert said(f"client_certificate: {certificate}, client_key: 'file:{key}'") == []
    assert said(f"client_certificate: {both}") == []
    assert said(f"client_certificate: {certificate}") == ["CFG-603 client_certificate"], "no key in it"
    assert said(f"client_certificate: {certificate}, client_key: 'file:{foreign}'") == ["CFG-603 client_certificate"]
    assert said(f"client_certificate: {tmp_path}/missing.pem") == ["CFG-603 client_certificate"]
    assert said(f"client_certificate: {certificate}, client_key: 'file:{tmp_path}/missing.key'") == ["CFG-601 client_key"]
    assert said(f"client_certificate: {certificate}, client_key: 'env:PATH'") == ["CFG-601 client_key"]
    assert said(f"ca_file: {tmp_path}/missing.pem") == ["CFG-603 ca_file"]


def test_a_key_with_a_password_is_refused_and_nobody_is_asked(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path, "ours")
    locked = serialization.load_pem_private_key(key.read_bytes(), None).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    )
    key.write_bytes(locked)
    tls = f"tls: {{client_certificate: {certificate}, client_key: 'file:{key}'}}"
    assert probing_with(tmp_path, f"{{id: x, kind: https, {TWIN}, {tls}}}") == ["CFG-603 client_certificate"]


@pytest.mark.parametrize(("content", "said"), [(b"Bearer abc\n", []), (b"Bearer abc\ndef", ["CFG-605"]), (b"a\0b", ["CFG-605"])])
def test_a_secret_header_holds_no_line_breaks(tmp_path: Path, content: bytes, said: list[str]) -> None:
    secret = secret_file(tmp_path, content)
    probe = f"{{id: x, kind: http, {TWIN}, secret_headers: {{Authorization: 'file:{secret}'}}}}"
    assert [problem.split()[0] for problem in probing_with(tmp_path, probe)] == said
