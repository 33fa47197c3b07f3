"""Certificates for a cluster, made by openssl as a user makes them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from opfuzz.engine.executors.cluster.access import Certificates

CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")  # whose keys take no time


class Authority:
    """One that signs certificates, with its files in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self.certificate = folder / "ca.pem"
        self._request("ca", "-x509", "-days", "2", "-out", self.certificate)

    def sign(self, name: str, days: int = 2) -> Certificates:
        """A certificate, good from now on for so many days."""
        asked, signed = self._folder / f"{name}.csr", self._folder / f"{name}.pem"
        self._request(name, "-out", asked)
        ours = ("-CA", self.certificate, "-CAkey", self._folder / "ca.key", "-CAcreateserial", "-days", days)
        openssl("x509", "-req", "-in", asked, *ours, "-out", signed)
        return Certificates(self.certificate, signed, self._folder / f"{name}.key")

    def _request(self, name: str, *words: object) -> None:
        key = self._folder / f"{name}.key"
        openssl("req", "-batch", *CURVE, "-nodes", "-subj", f"/CN={self._folder.name} {name}", "-keyout", key, *words)


def openssl(*words: object) -> None:
    """What openssl does, which must succeed."""
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)
