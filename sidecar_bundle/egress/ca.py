"""The bottle's certificate authorities, egress's and pipelock's: made at the first start, kept in the private state."""

# mypy: disable-error-code="import-not-found"
from __future__ import annotations

import datetime
import os
import secrets
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sidecar_bundle.shared.layout import CA_FILE, PIPELOCK_CA_FILE, PIPELOCK_KEY_FILE

_LIFE = datetime.timedelta(days=365)
_MARK = b"-----BEGIN CERTIFICATE-----"


def ensure_ca(folder: str, slug: str) -> str:
    """The CA's certificate as PEM; key and certificate lie in `folder` (0700), where the proxy looks for them."""
    Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    path = Path(folder, CA_FILE)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        key, certificate = _make(f"bot-bottle {slug or secrets.token_hex(4)}", serialization.PrivateFormat.PKCS8)
        data = key + certificate
        _write(path, data)
    return (_MARK + data.partition(_MARK)[2]).decode("ascii")


def ensure_pipelock_ca(folder: str) -> str:
    """The certificate, as PEM, of the CA that pipelock uses towards egress; pipelock reads only a SEC1 key."""
    certificate, key = Path(folder, PIPELOCK_CA_FILE), Path(folder, PIPELOCK_KEY_FILE)
    if not certificate.exists() or not key.exists():
        private, public = _make(f"pipelock {secrets.token_hex(4)}", serialization.PrivateFormat.TraditionalOpenSSL)
        certificate.unlink(missing_ok=True)
        _write(key, private)
        _write(certificate, public)
    return certificate.read_text("ascii")


def _write(path: Path, data: bytes) -> None:
    # Complete or absent: a start that dies in between must not leave half a key.
    new = path.with_suffix(".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
    new.replace(path)


def _make(title: str, form: serialization.PrivateFormat) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, title[:64])])
    now = datetime.datetime.now(datetime.UTC)
    usage = dict.fromkeys(
        ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False
    )
    certificate = (
        x509.CertificateBuilder()
        .serial_number(x509.random_serial_number())
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + _LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(**usage, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return bytes(private), bytes(certificate.public_bytes(serialization.Encoding.PEM))
