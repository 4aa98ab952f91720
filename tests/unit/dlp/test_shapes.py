"""Shapes of tokens where they are hard to tell: keys in quotes and diffs, names that look like passwords, decoys."""

from __future__ import annotations

import base64
import hashlib

import pytest

from sidecar_bundle.dlp import shapes
from sidecar_bundle.dlp.engine import Engine

ENGINE = Engine({})
LINES = base64.encodebytes(b"".join(hashlib.sha512(bytes([i])).digest() for i in range(8))).decode().splitlines()
HEAD, TAIL = "-----BEGIN {}PRIVATE " + "KEY-----", "-----END {}PRIVATE " + "KEY-----"
GITHUB = "ghp" + "_"


def rules(text: str) -> set[str]:
    found = ENGINE.request(method="POST", host="a.example", path="/", headers=[], body=text.encode())
    return {one.rule for one in found}


@pytest.mark.parametrize("prefix", ["", "-", "+", "> ", "# ", "12:", "     5→"])
def test_a_private_key_whatever_its_lines_begin_with(prefix: str) -> None:
    key = [HEAD.format(""), *LINES, TAIL.format("")]
    assert rules("\n".join(prefix + line for line in key)) == {"private-key"}


def test_an_encrypted_key_and_what_only_speaks_of_keys() -> None:
    key = [HEAD.format("RSA "), "Proc-Type: 4,ENCRYPTED", "DEK-Info: AES-128-CBC,0A1B2C3D4E5F", "", *LINES]
    assert rules("\n".join(key)) == {"private-key"}
    assert rules(f"A file begins with {HEAD.format('')} and ends with {TAIL.format('')}; openssl makes one.") == set()


@pytest.mark.parametrize(
    "line",
    [
        "password=getPasswordFromKeychainByAccountName2",
        "password: PasswordFieldWithStrengthMeterV2,",
        "secretKey:Uint8ArrayFromBase64String32Bytes,",
        "secret_key=ApplicationSettingsV2SecretKeyProvider",
    ],
)
def test_names_are_no_passwords(line: str) -> None:
    assert rules(line) == set()


def test_many_made_up_ones_hide_no_real_one() -> None:
    decoys = " ".join([GITHUB + "fake" * 9] * (shapes.MOST + 1))
    assert rules(decoys) == {"github-token"}
    assert rules(" ".join([GITHUB + "fake" * 9] * 100)) == set()
