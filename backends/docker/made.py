"""What the image of a bottle's agent was made of, kept in the bottle's folder for the next one."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from agent_image.providers import HOME, PROVIDERS
from backends.api import BackendError, GeneratedFile
from backends.docker import context, images

RECORD = "image.json"
# Where the agent finds it, to propose another.
INSIDE = f"{HOME}/.bot-bottle-Dockerfile"


@dataclass(frozen=True, slots=True)
class Made:
    """A provider's image, by the Dockerfile `text`; `own` is the path of the operator's, "" for the provider's."""

    provider: str
    own: str
    text: str

    def image(self, text: str, roots: str, home: Path) -> images.Image:
        """The same with another Dockerfile."""
        provider = PROVIDERS[self.provider]
        if self.own:
            path = Path(self.own).expanduser()
            beside, name = context.read(path, home), path.name
        else:
            beside, name = dict(images.agent(provider, roots).context), images.DOCKERFILE
        return images.own(provider, roots, {**beside, name: (text.encode(), 0o644)}, name)

    @property
    def shown(self) -> GeneratedFile:
        """The Dockerfile as the agent sees it."""
        return GeneratedFile(INSIDE, self.text)


def save(run: Path, made: Made) -> None:
    """Whole or not at all."""
    fresh = run / (RECORD + ".new")
    fresh.write_text(json.dumps(asdict(made)) + "\n")
    fresh.rename(run / RECORD)


def load(run: Path) -> Made:
    """`BackendError` when nobody knows."""
    try:
        return Made(**json.loads((run / RECORD).read_text()))
    except (OSError, ValueError, TypeError):
        raise BackendError(
            f"nothing is known of the image of {run.name}", "stop the bottle and start it anew"
        ) from None
