"""Certificates of an authority that this machine alone trusts."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization


class Authority:
    """A certificate authority, and what it signs."""

    def __init__(self, folder: Path) -> None:
        self._ca = trustme.CA()
        self.bundle = str(folder / "ca.pem")
        self._ca.cert_pem.write_to_path(self.bundle)
        stranger = self._stranger = trustme.CA()
        self.other_bundle = str(folder / "other.pem")
        stranger.cert_pem.write_to_path(self.other_bundle)

    def server(self, *names: str) -> ssl.SSLContext:
        """Return the context of a server with a certificate for these names."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert(
            *(names or ("localhost", "127.0.0.1", "service.invalid"))
        ).configure_cert(context)
        return context

    def asking(self, *names: str, required: bool = True) -> ssl.SSLContext:
        """Return the context of a server that asks clients for a certificate of this authority."""
        context = self.server(*names)
        self._ca.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
        return context

    def client(self, folder: Path, *, known: bool = True) -> ClientFiles:
        """Return the files of a client's certificate, signed by this authority or by another one."""
        signed = (self._ca if known else self._stranger).issue_cert("client@example.test")
        key = serialization.load_pem_private_key(signed.private_key_pem.bytes(), None)
        encrypted = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(PASSWORD.encode()),
        )
        files = ClientFiles(*(folder / name for name in ("both.pem", "c.pem", "k.pem", "e.pem")))
        certificate = b"".join(blob.bytes() for blob in signed.cert_chain_pems)
        files.certificate.write_bytes(certificate)
        files.key.write_bytes(signed.private_key_pem.bytes())
        files.encrypted.write_bytes(encrypted)
        files.both.write_bytes(signed.private_key_pem.bytes() + certificate)
        return files


PASSWORD = "pässword-canary"


@dataclass(frozen=True)
class ClientFiles:
    """A client's certificate and its private key, in one file and in two; the key also encrypted."""

    both: Path
    certificate: Path
    key: Path
    encrypted: Path
