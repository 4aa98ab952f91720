"""The bundle environment's key and trust file, and what is said when it is not there."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from backends.api import BackendError
from backends.bundle_env import BundleEnv, upstream_ca


def pem(body: bytes, width: int = 64) -> str:
    text = base64.b64encode(body).decode()
    lines = "\n".join(text[i : i + width] for i in range(0, len(text), width))
    return f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n"


def test_key_follows_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.write_text("a==1\n")
    env = BundleEnv(tmp_path / "cache", lock=lock)
    first = env.key()
    assert (len(first), env.path()) == (16, tmp_path / "cache" / "bundle" / first)
    lock.write_text("a==2\n")
    assert env.key() != first


def test_without_its_lock_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="lock: No such file"):
        BundleEnv(tmp_path, lock=tmp_path / "lock").key()


def test_an_environment_without_its_stamp_is_not_used(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.write_text("")
    env = BundleEnv(tmp_path, lock=lock)
    python = env.path() / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    with pytest.raises(BackendError) as caught:
        env.python()
    assert (caught.value.message, caught.value.hint) == ("the bundle's environment is not built", "bottle-dash setup")
    (env.path() / "complete").touch()
    assert env.python() == python
    python.unlink()
    with pytest.raises(BackendError):
        env.python()


def test_trust_is_the_system_and_the_extra_file_each_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, c = b"first" * 20, b"second" * 20, b"third" * 20
    system = tmp_path / "system.pem"
    system.write_text(pem(a) + "# a comment\n" + pem(b))
    extra = tmp_path / "extra.pem"
    extra.write_text("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n" + pem(b, width=76) + pem(c))
    monkeypatch.setenv("SSL_CERT_FILE", str(system))
    assert upstream_ca(None) == pem(a) + pem(b)
    assert upstream_ca(extra) == pem(a) + pem(b) + pem(c)


def test_trust_defaults_to_the_systems_own_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    assert upstream_ca().count("BEGIN CERTIFICATE") > 10


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "No such file or directory"),
        ("nothing here", "holds no certificate in PEM form"),
        ("-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n", "holds a damaged certificate"),
    ],
)
def test_a_bad_extra_file_is_one_line_that_names_the_variable(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "extra.pem"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BackendError) as caught:
        upstream_ca(path)
    assert caught.value.message.startswith(f"BOT_BOTTLE_EXTRA_CA: {path}")
    assert message in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("output", "message", "hint"),
    [
        (
            "The virtual environment was not created successfully because ensurepip is not available.  On Debian\n",
            "this Python has no venv module",
            "apt-get install python3-venv",
        ),
        (
            "WARNING: Retrying ... SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] ...\n"
            "ERROR: Could not find a version\n",
            "the package index's certificate is not trusted",
            "name the certificate of your network's proxy in BOT_BOTTLE_EXTRA_CA",
        ),
        ("Collecting x\nERROR: No matching distribution for x==9\n", "ERROR: No matching distribution for x==9", ""),
        ("", "no reason given", ""),
    ],
)
def test_a_step_that_failed_is_told_in_one_line(tmp_path: Path, output: str, message: str, hint: str) -> None:
    (tmp_path / "bundle").mkdir()
    error = BundleEnv(tmp_path)._explain(output)
    assert error.message == f"the bundle's environment was not built: {message}"
    assert error.hint == (hint or "bottle-dash setup")
