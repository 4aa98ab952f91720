"""Shapes of tokens where they are hard to tell: keys in quotes and diffs, names that look like passwords, decoys."""

from __future__ import annotations

import base64
import hashlib
import time
from dataclasses import replace
from unittest.mock import patch

import pytest

from sidecar_bundle.dlp import shapes
from sidecar_bundle.dlp.engine import Engine

ENGINE = Engine({})
LINES = base64.encodebytes(b"".join(hashlib.sha512(bytes([i])).digest() for i in range(8))).decode().splitlines()
HEAD, TAIL = "-----BEGIN {}PRIVATE " + "KEY-----", "-----END {}PRIVATE " + "KEY-----"
GITHUB = "ghp" + "_"
NOISE = "".join(LINES).replace("/", "").replace("+", "")


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
        "password: 'bm90IG15IHJlYWwgcGFzc3dvcmQ=',",
        "private_token = CI_JOB_TOKEN_FROM_ENVIRONMENT_V4",
        'password = "correctHorseBatteryStaple42"',
        "password: AgBy3i4OJSWK+PiTySYZZA9rO43cGDEq" + NOISE * 4,
        '"password": "$2b$12$EixZaYVK1fsbw1ZfbX3OXePaWxn96p36WQoeG6Lruj3vjPGga31lW"',
        f'"token": "phc_{NOISE[:40]}"',
        f"page_token: {NOISE[:40]}",
        f"/badge.svg?token={NOISE[:24]}",
        f"password: {hashlib.md5(b'').hexdigest()}",
        f"sharedSecret = {hashlib.sha256(b'').hexdigest()}",
        "https://alice:s3cr3tp4ss@files.internal/",
        f"https://alice:{NOISE[:20]}@files.example.com/",
        "CGO_CFLAGS=-fsanitize-undefined-strip-path-components=-1",
        "def test_infer_sig_from_docstring_square_brackets(self) -> None:",
        "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        "sk_" + "test_4eC39HqLyjWDarjtT1zdp7dc",
        "stored in PuTTY-User-Key-File-3: ssh-ed25519",
    ],
)
def test_names_are_no_passwords(line: str) -> None:
    assert rules(line) == set()


def test_many_made_up_ones_hide_no_real_one() -> None:
    decoys = [f"{GITHUB}{'fake' * 8}{i:04}" for i in range(shapes.MOST + 1)]
    assert rules(" ".join(decoys)) == {"github-token"}
    assert rules(" ".join(decoys[:100])) == set()
    assert rules(" ".join(decoys[:1] * (shapes.MOST + 1))) == set()
    real = GITHUB + NOISE[:36]
    for flood in (decoys[: shapes.MOST - 1], decoys[:1] * shapes.MOST * 3, [real, *decoys], [*decoys, real]):
        assert rules(" ".join([*flood, real])) == {"github-token"}


def test_a_flood_of_one_decoy_costs_no_check_each() -> None:
    checked = []
    index = next(i for i, shape in enumerate(shapes.SHAPES) if shape.rule == "github-token")
    shape = replace(shapes.SHAPES[index], check=lambda token: bool(checked.append(token)))
    text = " ".join([f"{GITHUB}{'fake' * 9}"] * 1000).encode()
    with patch.object(shapes, "SHAPES", [*shapes.SHAPES[:index], shape]):
        assert list(shapes.confirmed(index, text)) == []
    assert len(checked) == 1


@pytest.mark.parametrize("before", ["", "token_", "a", "\\n", "x" * 40])
def test_a_session_token_is_seen_behind_what_it_is_glued_to(before: str) -> None:
    parts = [base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (b'{"alg":"HS256"}', b'{"sub":"u-93"}')]
    assert rules(f"see {before}{'.'.join(parts)}.{NOISE[:43]} ") == {"jwt"}


def test_a_long_word_full_of_beginnings_is_read_once() -> None:
    like = (
        base64.urlsafe_b64encode(b'{"alg":"HS256"}').decode()
        + "."
        + base64.urlsafe_b64encode(b'{"some":"bar"}').decode()
    )
    began = time.process_time()
    assert rules(f"{like.replace('=', '')}.{NOISE[:43]} " + "eyJ" * 40_000) == set()
    assert time.process_time() - began < 2
