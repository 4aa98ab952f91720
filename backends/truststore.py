"""Certificates as a Java trust store: Java reads neither the system's file nor any variable that names one."""

from __future__ import annotations

import base64
import hashlib
import re
import struct

PASSWORD = "changeit"  # Java's customary one; a trust store holds nothing secret

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)
_MAGIC, _VERSION, _TRUSTED = 0xFEEDFEED, 2, 2


def java_truststore(pem: str) -> bytes:
    """All certificates of `pem` in the JKS format (sun.security.provider.JavaKeyStore)."""
    certificates = [base64.b64decode(body) for body in _PEM.findall(pem)]
    out = struct.pack(">III", _MAGIC, _VERSION, len(certificates))
    for number, der in enumerate(certificates):
        out += struct.pack(">I", _TRUSTED) + _text(f"ca{number}") + bytes(8) + _text("X.509")
        out += struct.pack(">I", len(der)) + der
    return out + hashlib.sha1(PASSWORD.encode("utf-16-be") + b"Mighty Aphrodite" + out).digest()


def _text(text: str) -> bytes:
    return struct.pack(">H", len(text)) + text.encode()
