"""Host names and paths that pretend: every known spelling of an address, path tricks, git push in disguise."""

from __future__ import annotations

import pytest

from sidecar_bundle.egress.target import canonical, is_git_push, is_ip, path_allowed, path_trick, split_port

IP_SPELLINGS = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "0",
    "2130706433",
    "017700000001",
    "0x7f000001",
    "0X7F000001",
    "0x7f.0.0.1",
    "0x7f.1",
    "0177.0.0.1",
    "0177.0.0.0x1",
    "127.0.0.1.",
    "169.254.169.254",
    "169.254.43518",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "[::1]",
    "::1",
    "[::ffff:127.0.0.1]",
    "::ffff:7f00:1",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[fe80::1%eth0]",
    "fd00:ec2::254",
    "[64:ff9b::a9fe:a9fe]",
    "203.0.113.10",
    "256.256.256.256",
    "1.2.3.4.5",
    "foo.0x7f",
    "foo.127",
]


@pytest.mark.parametrize("host", IP_SPELLINGS)
def test_every_spelling_of_an_address_is_one(host: str) -> None:
    assert is_ip(canonical(host) or host)


@pytest.mark.parametrize(
    "host", ["api.example.org", "1password.com", "0x0.st", "127.0.0.1.example", "a1.b2", "_egress.local"]
)
def test_names_are_names(host: str) -> None:
    assert canonical(host) == host
    assert not is_ip(host)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("API.Example.ORG", "api.example.org"),
        ("münchen.example", "xn--mnchen-3ya.example"),
        ("api.example.org.", ""),
        ("a..b", ""),
        ("", ""),
        (".", ""),
        ("a b", ""),
        ("a/b", ""),
        ("user@host", ""),
        ("a%2eb", ""),
        ("a\x00b", ""),
        ("-a.b", ""),
        ("x" * 300, ""),
    ],
)
def test_canonical(host: str, name: str) -> None:
    assert canonical(host) == name


def test_full_width_digits_become_an_address() -> None:
    assert is_ip(canonical("１２７.０.０.１"))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a.example", ("a.example", None)),
        ("a.example:443", ("a.example", 443)),
        ("[::1]:80", ("[::1]", 80)),
        ("a.example:", None),
        ("a:b:1", None),
        ("user@a.example", None),
        ("a.example/x", None),
        ("a.example\\@b", None),
        ("a.example:443x", None),
        ("a.example, b.example", None),
    ],
)
def test_split_port(text: str, parts: tuple[str, int | None] | None) -> None:
    assert split_port(text) == parts


@pytest.mark.parametrize(
    "path",
    [
        "/v1/../admin",
        "/v1/..",
        "/v1/./x",
        "/./v1",
        "/v1//x",
        "//v1",
        "/v1/%2e%2e/admin",
        "/v1/%2E%2e/admin",
        "/v1/.%2e/admin",
        "/v1%2f..%2fadmin",
        "/v1/%2Fx",
        "/v1/%5c..%5cx",
        "/v1\\..\\admin",
        "/v1/..;/admin",
        "/v1/..;a=b/admin",
        "/v1/%252e%252e/admin",
        "/v1/%25252e%25252e/x",
        "/v1/%2525252525252e/x",
        "/v1/%c0%ae%c0%ae/x",
        "/v1/x%00.png",
        "/v1/x%0d%0aHost:evil",
        "/v1/%zz",
        "/v1/%",
        "/v1/%2",
        "/v1/x%7f",
    ],
)
def test_path_tricks_are_seen(path: str) -> None:
    assert path_trick(path)


@pytest.mark.parametrize(
    "path", ["/v1", "/v1/", "/v1/x.json", "/v1/a%20b", "/v1/...", "/v1/a;b=c", "/v1/%C3%A9", "/v1/x..y"]
)
def test_plain_paths_pass(path: str) -> None:
    assert path_trick(path) == ""


@pytest.mark.parametrize(
    ("prefix", "path", "covered"),
    [
        ("/v1", "/v1", True),
        ("/v1", "/v1/", True),
        ("/v1", "/v1/x", True),
        ("/v1", "/v1x", False),
        ("/v1", "/v", False),
        ("/v1", "/V1", False),
        ("/v1", "/x/v1", False),
        ("/v1/", "/v1/x", True),
        ("/v1/", "/v1/", True),
        ("/v1/", "/v1", False),
        ("/v1/", "/v1x", False),
        ("/", "/anything", True),
    ],
)
def test_prefix_at_a_segment_boundary(prefix: str, path: str, covered: bool) -> None:
    assert path_allowed(path, (prefix,)) is covered


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/o/r.git/git-receive-pack", ""),
        ("/o/r.git/git-receive-pack/", ""),
        ("/o/r.git/git%2Dreceive%2dpack", ""),
        ("/o/r.git/git%252dreceive-pack", ""),
        ("/o/r.git%2fgit-receive-pack", ""),
        ("/o/r.git\\git-receive-pack", ""),
        ("/o/r.git/GIT-Receive-Pack", ""),
        ("/o/r.git/git-receive-pack;x=1", ""),
        ("/o/r.git/info/refs", "service=git-receive-pack"),
        ("/o/r.git/info/refs", "a=b&service=git-receive-pack&c=d"),
        ("/o/r.git/info/refs", "service=git%2Dreceive%2Dpack"),
        ("/o/r.git/info/refs", "service=git%252Dreceive-pack"),
        ("/o/r.git/info/refs", "%73ervice=git-receive-pack"),
        ("/o/r.git/info/refs", "service=%67it-receive-pack"),
        ("/o/r.git/info/refs", "SERVICE=GIT-RECEIVE-PACK"),
        ("/o/r.git/info/refs", "a;service=git-receive-pack"),
        ("/o/r.git/info/refs", "service=+git-receive-pack"),
        ("/o/r.git/info%2frefs", "service=git-receive-pack"),
        ("/o/r.git/info/refs", "x=1%26service=git-receive-pack"),
    ],
)
def test_a_push_is_seen(path: str, query: str) -> None:
    assert is_git_push(path, query, "")


def test_a_push_is_seen_by_its_content_type() -> None:
    assert is_git_push("/x", "", "application/x-git-receive-pack-request")


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/o/r.git/git-upload-pack", ""),
        ("/o/r.git/info/refs", "service=git-upload-pack"),
        ("/docs/git-receive-pack.html", ""),
        ("/search", "q=git-receive-pack"),
    ],
)
def test_a_fetch_or_a_page_is_no_push(path: str, query: str) -> None:
    assert not is_git_push(path, query, "application/x-git-upload-pack-request")
