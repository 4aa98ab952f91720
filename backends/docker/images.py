"""The images of bottles as values: named by what they are made of, so that nothing is built twice."""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

import agent_image
import sidecar_bundle
from agent_image.providers import Provider
from backends.api import BackendError

ROOTS = "roots.pem"
DOCKERFILE = "Dockerfile"
BASE_ENV = "BOT_BOTTLE_BASE_IMAGE"
# The provider's own image, for a Dockerfile that stands on it.
PROVIDER_IMAGE = "PROVIDER_IMAGE"
# Where packages come from changes nothing of what is in an image.
REGISTRIES = ("NPM_CONFIG_REGISTRY", "PIP_INDEX_URL")
_CODE = """FROM {base}
COPY programs/ /usr/local/bin/
COPY sidecar_bundle/ /opt/app/sidecar_bundle/
RUN python3 -m compileall -q /opt/app
"""
_BUNDLE = Path(sidecar_bundle.__path__[0])
_AGENT = Path(agent_image.__path__[0])


@dataclass(frozen=True, slots=True)
class Image:
    """An image to be: its repository, its context by path as (content or a link's target, mode), what it stands on.

    `roots` (PEM) is in the context too, for fetching; `args` are its build arguments.
    """

    repository: str
    context: Mapping[str, tuple[bytes, int]]
    on: Image | None = None
    roots: str = field(default="", repr=False)
    args: Mapping[str, str] = field(default_factory=dict)
    dockerfile: str = DOCKERFILE

    @property
    def text(self) -> str:
        """Its Dockerfile."""
        return self.context[self.dockerfile][0].decode(errors="replace")

    @property
    def tag(self) -> str:
        """`repository:digest` of all that makes it what it is."""
        digest = hashlib.sha256(self.dockerfile.encode())
        for path, (content, mode) in sorted(self.context.items()):
            digest.update(f"\0{path}\0{mode:o}\0{len(content)}\0".encode() + content)
        for name, value in sorted(self.args.items()):
            if name not in REGISTRIES:
                digest.update(f"\0{name}={value}".encode())
        return f"{self.repository}:{digest.hexdigest()[:16]}"

    def archive(self) -> bytes:
        """The context as the engine takes it."""
        buffer = io.BytesIO()
        entries = {ROOTS: (self.roots.encode(), 0o644), **self.context}
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for path, (content, mode) in sorted(entries.items()):
                info = tarfile.TarInfo(path)
                info.mode = stat.S_IMODE(mode)
                if stat.S_ISLNK(mode):
                    info.type, info.linkname = tarfile.SYMTYPE, content.decode()
                    tar.addfile(info)
                elif stat.S_ISDIR(mode):
                    info.type = tarfile.DIRTYPE
                    tar.addfile(info)
                else:
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
        return buffer.getvalue()


def pins() -> dict[str, str]:
    """Versions and digests of what is fetched."""
    lines = (_AGENT / "pins.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def bundle(roots: str, programs: Mapping[str, str]) -> Image:
    """The bundle's image, with the optional programs that this machine has; `roots` are trusted certificates (PEM)."""
    files = {
        DOCKERFILE: _BUNDLE / DOCKERFILE,
        "requirements.lock": _BUNDLE / "requirements.lock",
        "supervise.lock": _BUNDLE / "supervise" / "requirements.lock",
    }
    below = _with_args("bot-bottle-sidecars-base", {name: (path.read_bytes(), 0o644) for name, path in files.items()})
    below = replace(below, roots=roots)
    context: dict[str, tuple[bytes, int]] = {
        DOCKERFILE: (_CODE.format(base=below.tag).encode(), 0o644),
        "programs/.keep": (b"", 0o644),
    }
    for name, path in programs.items():
        context[f"programs/{name}"] = (Path(path).read_bytes(), 0o755)
    for file in sorted(_BUNDLE.rglob("*.py")):
        context[f"sidecar_bundle/{file.relative_to(_BUNDLE)}"] = (file.read_bytes(), 0o644)
    return Image("bot-bottle-sidecars", context, below)


def agent(provider: Provider, roots: str) -> Image:
    """The image of a provider's agents; `BackendError` where there is no Dockerfile for it."""
    dockerfile = _AGENT / f"Dockerfile.{provider.name}"
    if not dockerfile.is_file():
        raise BackendError(f"there is no image for {provider.name} agents", "name one in agent_provider.dockerfile")
    context = {
        DOCKERFILE: (dockerfile.read_bytes(), 0o644),
        "fetch-package": ((_AGENT / "fetch-package").read_bytes(), 0o755),
    }
    return replace(_with_args(provider.image.partition(":")[0], context), roots=roots)


def own(
    provider: Provider, roots: str, context: Mapping[str, tuple[bytes, int]], dockerfile: str = DOCKERFILE
) -> Image:
    """An image by a Dockerfile that is not the provider's; it stands on the provider's when it asks for that."""
    made = _with_args(provider.image.partition(":")[0], context, dockerfile)
    if _declares(made.text, PROVIDER_IMAGE):
        below = agent(provider, roots)
        made = replace(made, on=below, args={**made.args, PROVIDER_IMAGE: below.tag})
    return replace(made, roots=roots)


def _with_args(repository: str, context: Mapping[str, tuple[bytes, int]], dockerfile: str = DOCKERFILE) -> Image:
    """With those build arguments that its Dockerfile declares."""
    made = Image(repository, context, dockerfile=dockerfile)
    args = {name: value for name, value in (pins() | _operators()).items() if value and _declares(made.text, name)}
    for name in REGISTRIES:
        if urlsplit(args.get(name, "")).username is not None:
            text = f"{name} has credentials in its address, and they would stay in an image's history"
            raise BackendError(text, "use an address without")
    return replace(made, args=args)


def _declares(text: str, name: str) -> bool:
    return re.search(rf"^[ \t]*ARG[ \t](?:.*[ \t])?{name}(?:[ \t=]|$)", text, re.MULTILINE | re.IGNORECASE) is not None


def _operators() -> dict[str, str]:
    """What the operator says for builds, "" for nothing."""
    # npm takes it in either case.
    npm = next((value for name, value in os.environ.items() if name.upper() == "NPM_CONFIG_REGISTRY"), "") or _npmrc()
    pip = os.environ.get("PIP_INDEX_URL", "")
    return {"BASE": os.environ.get(BASE_ENV, ""), "NPM_CONFIG_REGISTRY": npm, "PIP_INDEX_URL": pip}


def _npmrc() -> str:
    """The registry that the operator's npm uses."""
    path = Path(os.environ.get("NPM_CONFIG_USERCONFIG") or Path.home() / ".npmrc")
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    found = [re.fullmatch(r"\s*registry\s*=\s*(\S+)\s*", line) for line in lines]
    return next((match[1] for match in reversed(found) if match), "")
