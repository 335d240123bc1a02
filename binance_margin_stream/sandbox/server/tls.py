"""TLS for the sandbox: its own certificate authority, and valid and invalid certificates."""

from __future__ import annotations

import datetime
import os
import ssl
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import trustme

__all__ = ["Certificates"]

CertificateProblem = Literal["unknown_ca", "wrong_host", "expired"]
SelectProblem = Callable[[], CertificateProblem | None]

_ORGANIZATION = "sandbox, not an exchange"
_EXPIRED_AT = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


class Certificates:
    """The certificates of one sandbox; the CA certificate is in a file until `close`."""

    def __init__(self, host: str) -> None:
        """Create certificates for a host, and for the names of loopback."""
        self._names = tuple(dict.fromkeys((host, "127.0.0.1", "::1", "localhost")))
        self._authority = trustme.CA(organization_name=_ORGANIZATION)
        self.ca_pem = self._authority.cert_pem.bytes().decode()
        """The CA certificate, which clients have to trust."""
        handle, self.ca_file = tempfile.mkstemp(prefix="sandbox-ca-", suffix=".pem")
        self.close = weakref.finalize(self, Path(self.ca_file).unlink, missing_ok=True)
        with os.fdopen(handle, "w") as file:
            file.write(self.ca_pem)

    def create_server_context(self, select_problem: SelectProblem) -> ssl.SSLContext:
        """A server context with the valid certificate; `select_problem` may select an invalid one for a handshake."""
        good = _create_context(self._authority.issue_cert(*self._names))

        def on_sni(handshake: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
            problem = select_problem()
            if problem is not None:
                handshake.context = self._create_invalid_context(problem)

        good.sni_callback = on_sni
        return good

    def _create_invalid_context(self, problem: CertificateProblem) -> ssl.SSLContext:
        if problem == "unknown_ca":
            return _create_context(trustme.CA(organization_name=_ORGANIZATION).issue_cert(*self._names))
        if problem == "wrong_host":
            return _create_context(self._authority.issue_cert("somebody-else.invalid"))
        return _create_context(self._authority.issue_cert(*self._names, not_before=_EXPIRED_AT, not_after=_EXPIRED_AT))


def _create_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    certificate.configure_cert(context)
    return context
