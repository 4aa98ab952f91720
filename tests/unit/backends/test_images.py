"""Images as values, contexts that an operator names, and what is told of a build."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker
import pytest

from agent_image.providers import PROVIDERS
from backends.api import BackendError
from backends.docker import build, context, images

ROOT = Path(__file__).resolve().parents[3]
SHELL = PROVIDERS["shell"]


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the operator's own settings."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [*images.REGISTRIES, "npm_config_registry", "NPM_CONFIG_USERCONFIG", images.BASE_ENV]:
        monkeypatch.delenv(name, raising=False)


def test_an_image_is_named_by_what_it_is_made_of() -> None:
    one = images.bundle("roots", {})
    assert one.tag == images.bundle("other roots", {}).tag, "certificates do not stay in it"
    assert one.on is not None and one.on.tag in one.text
    more = replace(one, context={**one.context, "sidecar_bundle/new.py": (b"x", 0o644)})
    assert more.tag != one.tag and more.on == one.on
    with pytest.raises(BackendError, match="no image for nobody agents"):
        images.agent(replace(SHELL, name="nobody"), "")


def test_versions_stand_in_one_place() -> None:
    """Each pin is used, each argument that wants one has one, and no other file repeats one."""
    pins = images.pins()
    texts = {path: path.read_text() for path in (ROOT / "agent_image").glob("Dockerfile.*")}
    wanted = {name for text in texts.values() for name in re.findall(r"^ARG (\w+_(?:VERSION|DIGEST\w*))$", text, re.M)}
    assert wanted == {name for name in pins if not name.startswith(("GITLEAKS", "PIPELOCK"))}
    versions = {value.lstrip("v") for name, value in pins.items() if name.startswith(("CLAUDE_V", "CODEX_V", "GITL"))}
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in tracked.split("\0"):
        path = ROOT / name
        if name != "agent_image/pins.env" and not name.endswith(".lock") and path.is_file():
            text = path.read_text(errors="replace")
            assert not [version for version in versions if version in text], path
    from sidecar_bundle.pipelock import config

    assert pins["PIPELOCK_VERSION"] in str(config.__doc__)


@pytest.mark.parametrize("name", sorted(PROVIDERS))
def test_a_provider_s_image_says_what_it_is_built_with(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = images.agent(PROVIDERS[name], "roots")
    assert {key for key in plain.args if not key.startswith(name.upper())} == set()
    monkeypatch.setenv("npm_config_registry", "https://npm.example/")
    assert images.agent(PROVIDERS[name], "roots").tag == plain.tag, "where a package comes from is no part of it"
    monkeypatch.setenv(images.BASE_ENV, "debian@sha256:" + "0" * 64)
    based = images.agent(PROVIDERS[name], "roots")
    assert based.tag != plain.tag and based.args["BASE"].startswith("debian@sha256:")
    below = images.bundle("", {}).on
    assert below is not None and below.args["BASE"] == based.args["BASE"]


def test_the_operator_s_npm_is_followed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    claude = PROVIDERS["claude"]
    (tmp_path / ".npmrc").write_text("audit=false\nregistry = https://npm.example/all/\n//x/:_authToken=secret\n")
    assert images.agent(claude, "").args["NPM_CONFIG_REGISTRY"] == "https://npm.example/all/"
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "https://me:secret@npm.example/")
    with pytest.raises(BackendError, match="NPM_CONFIG_REGISTRY has credentials in its address") as told:
        images.agent(claude, "")
    assert "secret" not in told.value.message
    assert images.agent(SHELL, "").args == {}, "an image that fetches no package is not concerned"


def files(image: images.Image) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(image.archive())) as tar:
        return {info.name: info for info in tar}


def test_a_folder_is_a_context_without_what_it_ignores(tmp_path: Path) -> None:
    folder = tmp_path / "image"
    (folder / "deep" / "er").mkdir(parents=True)
    for name in ("Dockerfile", "kept", "secret.key", "deep/er/also.key", "deep/kept"):
        (folder / name).write_text("FROM x\n" if name == "Dockerfile" else name)
    (folder / "kept").chmod(0o755)
    (folder / "link").symlink_to("/etc")
    (folder / ".dockerignore").write_text("# keys\n**/*.key\nDockerfile\n")
    os.mkfifo(folder / "fifo")
    made = images.own(SHELL, "roots", context.read(folder / "Dockerfile", tmp_path / "bb"))
    packed = files(made)
    assert sorted(packed) == [
        ".dockerignore",
        "Dockerfile",
        "deep",
        "deep/er",
        "deep/kept",
        "kept",
        "link",
        "roots.pem",
    ]
    assert packed["link"].issym() and packed["link"].linkname == "/etc" and packed["kept"].mode == 0o755
    (folder / "deep" / "kept").write_text("changed")
    assert images.own(SHELL, "roots", context.read(folder / "Dockerfile", tmp_path / "bb")).tag != made.tag
    (folder / "secret.key").write_text("changed")
    assert images.own(SHELL, "x", context.read(folder / "Dockerfile", tmp_path / "bb")).tag != made.tag
    (folder / "deep" / "kept").write_text("deep/kept")
    assert images.own(SHELL, "x", context.read(folder / "Dockerfile", tmp_path / "bb")).tag == made.tag


def test_what_is_no_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / ".bot-bottle"
    home.mkdir()
    for place in (home, tmp_path):
        (place / "Dockerfile").write_text("FROM x\n")
        with pytest.raises(BackendError, match="is no build context") as told:
            context.read(place / "Dockerfile", home)
        assert told.value.hint == "put Dockerfile into a folder of its own"
    with pytest.raises(BackendError, match="/none is not there"):
        context.read(tmp_path / "none", home)
    folder = tmp_path / "image"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM x\n")
    monkeypatch.setattr(context, "LIMIT", 4)
    with pytest.raises(BackendError, match="is no build context: more than"):
        context.read(folder / "Dockerfile", home)
    (folder / ".dockerignore").write_bytes(b"\xff\xfe")
    with pytest.raises(BackendError, match="dockerignore cannot be read"):
        context.read(folder / "Dockerfile", home)


def test_a_dockerfile_that_stands_on_the_provider_s_image() -> None:
    def own(text: str) -> images.Image:
        return images.own(SHELL, "roots", {"Dockerfile": (text.encode(), 0o644)})

    on = own("ARG PROVIDER_IMAGE\nFROM ${PROVIDER_IMAGE}\n")
    assert on.on == images.agent(SHELL, "roots") and on.args["PROVIDER_IMAGE"] == on.on.tag
    assert [image.repository for image in build.whole([on, on])] == ["bot-bottle-shell", "bot-bottle-shell"]
    alone = own("FROM debian # PROVIDER_IMAGE\n")
    assert alone.on is None and alone.args == {} and alone.tag != on.tag


class Engine:
    """An engine that has `there` and says `said` while it builds."""

    def __init__(self, said: list[dict[str, Any]], there: tuple[str, ...] = ()) -> None:
        self.said, self.there, self.asked = said, set(there), list[dict[str, Any]]()

    def inspect_image(self, tag: str) -> object:
        if tag not in self.there:
            raise docker.errors.ImageNotFound("no")
        return SimpleNamespace()

    def build(self, **asked: Any) -> list[dict[str, Any]]:
        self.asked.append(asked)
        self.there.add(asked["tag"])
        return self.said


def built(tmp_path: Path, said: list[dict[str, Any]]) -> list[str]:
    lines: list[str] = []
    build.Builder(tmp_path).ensure(Engine(said), [images.agent(SHELL, "roots")], lines.append)
    return lines


STREAM = [
    {"stream": "Step 1/2 : FROM debian"},
    {"stream": "\n"},
    {"status": "Pulling fs layer", "id": "abc"},
    {"stream": " ---> 0123456789ab\n"},
    {"stream": "Step 2/2 : RUN apt-get install x\n"},
    {"stream": "\x1b[91mE: Unable to \x1b[0m"},
    {"stream": "\x1b[91mlocate \x1b]0;title\x07package x\n\x1b[0m"},
]


def test_each_step_and_its_last_line_are_told(tmp_path: Path) -> None:
    assert built(tmp_path, STREAM) == [
        "building shell",
        "building shell 1/2: FROM debian",
        "building shell 1/2: Pulling fs layer abc",
        "building shell 2/2: RUN apt-get install x",
        "building shell 2/2: E: Unable to locate <U+001B>]0;title<U+0007>package x",
    ]


@pytest.mark.parametrize(
    ("error", "says", "hint"),
    [
        (
            "The command 'x' returned a non-zero code: 100",
            "at step 2/2: E: Unable to locate",
            "build-bot-bottle-shell.log",
        ),
        ("write /x: no space left on device", "no space left", "docker system df"),
        ("manifest for debian:x not found", "manifest for debian:x not found", "BOT_BOTTLE_BASE_IMAGE"),
    ],
)
def test_a_step_that_fails_is_one_line(tmp_path: Path, error: str, says: str, hint: str) -> None:
    with pytest.raises(BackendError) as told:
        built(tmp_path, [*STREAM, {"errorDetail": {"message": error}, "error": error}])
    assert (
        told.value.message.startswith("building bot-bottle-shell failed at step 2/2: ") and says in told.value.message
    )
    assert hint in told.value.hint and "\n" not in told.value.message + told.value.hint
    log = tmp_path / "logs" / "build-bot-bottle-shell.log"
    assert "Pulling fs layer" in log.read_text() and error in log.read_text()


def test_what_is_there_is_not_built_unless_it_shall_be(tmp_path: Path) -> None:
    bundle = images.bundle("roots", {})
    assert bundle.on is not None
    both = (bundle.tag, bundle.on.tag)
    builder = build.Builder(tmp_path)
    engine = Engine([], both)
    assert builder.ensure(engine, [bundle], print) == [] and not engine.asked
    assert builder.ensure(Engine([], both[1:]), [bundle, bundle], print) == [bundle]
    assert builder.ensure(engine, [bundle], print, pull=True) == [bundle.on, bundle]
    # Nobody else has what an image of ours stands on.
    assert [(asked["pull"], asked["nocache"]) for asked in engine.asked] == [(True, False), (False, False)]
    engine.asked.clear()
    assert builder.ensure(engine, [bundle], print, fresh=True) == [bundle.on, bundle]
    assert [asked["nocache"] for asked in engine.asked] == [True, True]


@pytest.mark.parametrize("pinned", [True, False])
def test_a_package_that_is_not_the_pinned_one_is_not_unpacked(tmp_path: Path, pinned: bool) -> None:
    """The script that runs while an image is built, with an npm that brings what it likes."""
    programs, work = tmp_path / "bin", tmp_path / "work"
    programs.mkdir()
    work.mkdir()
    with tarfile.open(tmp_path / "package.tgz", "w:gz") as tar:
        info = tarfile.TarInfo("package/program")
        info.size = 4
        tar.addfile(info, io.BytesIO(b"said"))
    content = (tmp_path / "package.tgz").read_bytes()
    for name, script in (
        ("dpkg", "echo amd64"),
        ("npm", f'[ "$3" = @x/program-x64@1 ] && cp {tmp_path}/package.tgz . && echo package.tgz'),
    ):
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    script = tmp_path / "fetch-package"
    script.write_bytes((ROOT / "agent_image" / "fetch-package").read_bytes())
    digest = base64.b64encode(hashlib.sha512(content if pinned else b"another").digest()).decode()
    argv = ["sh", str(script), "@x/program-ARCH@1", f"sha512-{digest}", "sha512-of-another"]
    env = {"PATH": f"{programs}:{os.environ['PATH']}"}
    done = subprocess.run(argv, cwd=work, env=env, capture_output=True, text=True, timeout=30)
    assert (done.returncode, (work / "package" / "program").exists()) == ((0, True) if pinned else (1, False)), done
    assert pinned or "@x/program-x64@1 is not the package that was pinned: sha512-" in done.stderr
