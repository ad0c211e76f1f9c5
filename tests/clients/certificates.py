"""Certificates of an authority that this machine alone trusts."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme


class Authority:
    """A certificate authority, and what it signs."""

    def __init__(self, folder: Path) -> None:
        self._ca = trustme.CA()
        self.bundle = str(folder / "ca.pem")
        self._ca.cert_pem.write_to_path(self.bundle)
        stranger = trustme.CA()
        self.other_bundle = str(folder / "other.pem")
        stranger.cert_pem.write_to_path(self.other_bundle)

    def server(self, *names: str) -> ssl.SSLContext:
        """Return the context of a server with a certificate for these names."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert(
            *(names or ("localhost", "127.0.0.1", "service.invalid"))
        ).configure_cert(context)
        return context
