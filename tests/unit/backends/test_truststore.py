"""The Java trust store: its structure by hand, and Java's own tool where there is one."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from backends.truststore import PASSWORD, java_truststore
from tests.conftest import need

SYSTEM = Path("/etc/ssl/certs/ca-certificates.crt")


def test_structure_and_digest() -> None:
    pem = f"-----BEGIN CERTIFICATE-----\n{base64.b64encode(b'not really one').decode()}\n-----END CERTIFICATE-----\n"
    store = java_truststore(pem)
    assert store[:12] == bytes.fromhex("feedfeed0000000200000001") and b"not really one" in store
    salted = "changeit".encode("utf-16-be") + b"Mighty Aphrodite" + store[:-20]
    assert store[-20:] == hashlib.sha1(salted).digest()


def test_java_reads_it(tmp_path: Path) -> None:
    if shutil.which("keytool") is None or not SYSTEM.is_file():
        need("java", "keytool is not installed")
    path = tmp_path / "store.jks"
    pem = SYSTEM.read_text()
    path.write_bytes(java_truststore(pem))
    argv = ["keytool", "-list", "-keystore", str(path), "-storepass", PASSWORD]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert f"contains {pem.count('BEGIN CERTIFICATE')} entries" in done.stdout, done.stderr


def test_nothing_but_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    assert java_truststore("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")[8:12] == bytes(4)
