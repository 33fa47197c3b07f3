"""Who gets to a scheduler: certificates of a cluster, and the addresses that need none.

Whoever reaches a scheduler can run programs on its workers, so only this machine does without certificates.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from opfuzz.core.errors import OpfuzzError

CA, CERTIFICATE, KEY = OPTIONS = ("--tls-ca", "--tls-cert", "--tls-key")
TLS = "tls"


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files in PEM: of the authority that a cluster trusts, of a certificate of it, and of that certificate's key."""

    authority: Path
    certificate: Path
    key: Path

    def check(self) -> None:
        """Raises OpfuzzError for a file that is not what it should be, and for files that do not go together."""
        for option, path in zip(OPTIONS, (self.authority, self.certificate, self.key), strict=True):
            _check_readable(option, path)
        trusting = _holding(CA, self.authority)
        _holding(CERTIFICATE, self.certificate)
        shown = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._load(shown)
        self._load(trusting)
        # The other side trusts nobody: only what it shows is asked about.
        shown.check_hostname, shown.verify_mode = False, ssl.CERT_NONE
        trusting.verify_mode = ssl.CERT_REQUIRED
        try:
            _shake_hands(shown, trusting)
        except ssl.SSLCertVerificationError as error:
            raise OpfuzzError(
                f"{CERTIFICATE} {self.certificate}: {CA} {self.authority} does not vouch for it: "
                f"{error.verify_message}; give a certificate that this authority has signed"
            ) from None
        except ssl.SSLError as error:
            raise OpfuzzError(f"{CERTIFICATE} {self.certificate}: is of no use for TLS: {error.reason}") from None

    def _load(self, context: ssl.SSLContext) -> None:
        try:
            context.load_cert_chain(self.certificate, self.key, password=self._refuse)
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise OpfuzzError(
                    f"{KEY} {self.key}: the key does not belong to {CERTIFICATE} {self.certificate}; give the key that "
                    "the certificate was made with"
                ) from None
            if error.reason is not None:  # a key that is too short, say
                raise OpfuzzError(f"{CERTIFICATE} {self.certificate}: is of no use for TLS: {error.reason}") from None
            raise OpfuzzError(
                f"{KEY} {self.key}: no private key in PEM is there; give {_begins('PRIVATE KEY')}"
            ) from None

    def _refuse(self) -> str:
        """Dask would ask for a password, at any time, on the terminal."""
        raise OpfuzzError(
            f"{KEY} {self.key}: the key is encrypted, and Dask has no password for it; write it without one to a file "
            "that only you can read: openssl pkey -in FILE -out FILE"
        )

    @property
    def options(self) -> str:
        """As `dask scheduler` and `dask worker` take them."""
        return f"--tls-ca-file {self.authority} --tls-cert {self.certificate} --tls-key {self.key}"


def place_of(address: str, certificates: Certificates | None, is_insecure: bool) -> str:
    """The address of a scheduler as Dask is to be given it.

    Raises OpfuzzError for one without TLS that certificates are given for, or that is not of this machine alone.
    """
    scheme, separator, rest = address.rpartition("://")
    if certificates is not None:
        if not separator:
            return f"{TLS}://{rest}"
        if scheme != TLS:
            raise OpfuzzError(
                f"--scheduler {address}: {CA} is for an address with TLS; write {TLS}://{rest}, and start the "
                f"scheduler with {certificates.options}"
            )
    elif scheme != TLS and not is_insecure and not _is_loopback(address if separator else f"//{address}"):
        raise OpfuzzError(
            f"--scheduler {address}: others can reach it, and without TLS read along and run programs on the workers; "
            f"give {', '.join(OPTIONS)}, or say --insecure where the network is closed"
        )
    return address


def _is_loopback(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:  # a name, or no address at all
        return False


def _check_readable(option: str, path: Path) -> None:
    try:
        path.read_bytes()
    except OSError as error:
        raise OpfuzzError(f"{option} {path}: cannot be read: {error.strerror}") from None


def _holding(option: str, path: Path) -> ssl.SSLContext:
    """What trusts the certificates in a file. Raises OpfuzzError if there are none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_verify_locations(path)
    except ssl.SSLError:
        raise OpfuzzError(f"{option} {path}: no certificate in PEM is there; give {_begins('CERTIFICATE')}") from None
    return context


def _begins(what: str) -> str:
    return f"a file with a line -----BEGIN {what}-----"


def _shake_hands(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    """What both do when they connect, in memory. Raises SSLCertVerificationError if the server refuses the client."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [client.wrap_bio(back, there), server.wrap_bio(there, back, server_side=True)]
    while sides:
        for side in tuple(sides):
            try:
                side.do_handshake()
                sides.remove(side)
            except ssl.SSLWantReadError:
                continue
