"""The images of bottles: named by what they are made of, so that nothing is built twice, and built on first launch."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import agent_image
import sidecar_bundle
from backends.api import BackendError, Progress
from backends.docker.spec import PREFIX

BUILD_TIMEOUT = 1800  # seconds without a word from the engine
ROOTS = "roots.pem"
_CODE = """FROM {base}
COPY programs/ /usr/local/bin/
COPY sidecar_bundle/ /opt/app/sidecar_bundle/
RUN python3 -m compileall -q /opt/app
"""
_BUNDLE = Path(sidecar_bundle.__path__[0])
_AGENT = Path(agent_image.__path__[0])


@dataclass(frozen=True, slots=True)
class Image:
    """An image to be: its repository, its context by path, as (content, mode), and the image that it stands on."""

    repository: str
    context: Mapping[str, tuple[bytes, int]]
    on: Image | None = None

    @property
    def tag(self) -> str:
        """`repository:digest` of all that goes in; the certificates, which do not stay in it, are left out."""
        digest = hashlib.sha256()
        for path, (content, mode) in sorted(self.context.items()):
            if path == ROOTS:
                continue
            digest.update(f"{path}\0{mode:o}\0{len(content)}\0".encode() + content)
        return f"{self.repository}:{digest.hexdigest()[:16]}"

    def archive(self) -> bytes:
        """The context as the engine takes it."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for path, (content, mode) in sorted(self.context.items()):
                info = tarfile.TarInfo(path)
                info.size, info.mode = len(content), mode
                tar.addfile(info, io.BytesIO(content))
        return buffer.getvalue()


def bundle(roots: str, programs: Mapping[str, str]) -> Image:
    """The bundle's image, with the optional programs that this machine has; `roots` are trusted certificates (PEM)."""
    below = Image(
        "bot-bottle-sidecars-base",
        {
            "Dockerfile": ((_BUNDLE / "Dockerfile").read_bytes(), 0o644),
            ROOTS: (roots.encode(), 0o644),
            "requirements.lock": ((_BUNDLE / "requirements.lock").read_bytes(), 0o644),
            "supervise.lock": ((_BUNDLE / "supervise" / "requirements.lock").read_bytes(), 0o644),
        },
    )
    context: dict[str, tuple[bytes, int]] = {
        "Dockerfile": (_CODE.format(base=below.tag).encode(), 0o644),
        "programs/.keep": (b"", 0o644),
    }
    for name, path in programs.items():
        context[f"programs/{name}"] = (Path(path).read_bytes(), 0o755)
    for file in sorted(_BUNDLE.rglob("*.py")):
        context[f"sidecar_bundle/{file.relative_to(_BUNDLE)}"] = (file.read_bytes(), 0o644)
    return Image("bot-bottle-sidecars", context, below)


def agent(provider: str, image: str, roots: str) -> Image:
    """The image of a provider's agents; `BackendError` where there is no Dockerfile for it."""
    dockerfile = _AGENT / f"Dockerfile.{provider}"
    if not dockerfile.is_file():
        raise BackendError(f"there is no image for {provider} agents yet", "use the bubblewrap backend for it")
    context = {"Dockerfile": (dockerfile.read_bytes(), 0o644), ROOTS: (roots.encode(), 0o644)}
    return Image(image.partition(":")[0], context)


def lacking(api: Any, images: Sequence[Image]) -> list[Image]:
    """What has to be built so that the engine has all of `images`, in order."""
    import docker

    out: list[Image] = []
    for image in images:
        try:
            api.inspect_image(image.tag)
        except docker.errors.ImageNotFound:
            out += [*(lacking(api, [image.on]) if image.on else ()), image]
    return out


def build(api: Any, image: Image, progress: Progress) -> None:
    """Builds it, telling each step; `BackendError` has the last words of a step that failed."""
    name = image.repository
    progress(f"building {name} (once)")
    last = ""
    lines = api.build(
        fileobj=io.BytesIO(image.archive()),
        custom_context=True,
        tag=image.tag,
        labels={PREFIX + "image": "1"},
        rm=True,
        forcerm=True,
        decode=True,
        timeout=BUILD_TIMEOUT,
    )
    for line in lines:
        if error := line.get("error"):
            reason = " ".join(str(error).split())[:200]
            raise BackendError(f"building {name} failed: {reason}", f"it last said: {last[:200]}" if last else "")
        text = str(line.get("stream", "")).strip()
        if text.startswith("Step "):
            progress(f"building {name}: {text}")
        elif text:
            last = text.splitlines()[-1]
