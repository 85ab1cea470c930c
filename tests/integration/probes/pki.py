"""Certificates for one test: an authority, and leaves signed by it."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Authority:
    """Signs leaves. ``ca_file`` is what a client trusts."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._name = _name(name)
        self._key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.UTC)
        cert = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(self._name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=400))
            .not_valid_after(now + datetime.timedelta(days=400))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        path = folder / f"{name}.pem"
        self.ca_pem = cert.public_bytes(serialization.Encoding.PEM)
        path.write_bytes(self.ca_pem)
        self.ca_file = str(path)

    def leaf(self, *names: str, days: int = 90) -> tuple[bytes, bytes]:
        """Certificate and key (PEM) for names and addresses, ending in ``days`` (negative: ended)."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.UTC)
        cert = (
            x509.CertificateBuilder()
            .subject_name(_name(names[0]))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=300))
            .not_valid_after(now + datetime.timedelta(days=days, hours=1))
            .add_extension(x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return (
            cert.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        )

    def server(self, *names: str, days: int = 90, alpn: tuple[str, ...] = (), flight_bytes: int = 0) -> ssl.SSLContext:
        """A server context with a fresh leaf, and a chain of at least ``flight_bytes`` behind it."""
        cert, key = self.leaf(*names, days=days)
        path = self._folder / f"leaf-{names[0].replace(':', '_')}-{days}.pem"
        path.write_bytes(cert + key + self._chain(flight_bytes))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context

    def _chain(self, flight_bytes: int) -> bytes:
        """Certificates that a careless administrator left in the file: different ones, each of 100 names."""
        chain, size = [], 0
        while size < flight_bytes:
            pem, _ = self.leaf(*(f"host-{size}-{number}.example" for number in range(100)))
            chain.append(pem)
            size += len(ssl.PEM_cert_to_DER_cert(pem.decode()))
        return b"".join(chain)


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
