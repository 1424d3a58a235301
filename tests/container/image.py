"""What an image would hold, made from the very text of the Dockerfile, without Docker.

Only what this project's Dockerfile uses is understood; anything else is an error.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from dockerfile_parse import DockerfileParser

READ_ALL = "+dac_read_search"
"""Lets an account without a name read what root may read, as in an image, and write nothing."""


@dataclass
class Image:
    """Folders below ``root`` stand for those of the image; ``variables`` are its environment."""

    root: Path
    source: Path
    workdir: str = "/"
    variables: dict[str, str] = field(default_factory=dict)
    user: str = "0"
    command: list[str] = field(default_factory=list)
    healthcheck: list[str] = field(default_factory=list)

    def at(self, path: str) -> Path:
        """Where a path of the image is here, one relative to its WORKDIR too."""
        return self.root / os.path.join(self.workdir, path).lstrip("/")

    def translated(self, text: str) -> str:
        """A text with the image's paths, with those of here instead."""
        return re.sub(r"(?<![\w./])/(opt|srv|source)/", rf"{self.root}/\1/", text)

    def environment(self, **variables: str) -> dict[str, str]:
        """Variables of a process in the image; programs of this machine come after its own."""
        own = {name: self.translated(value) for name, value in self.variables.items()}
        given = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": "/dev/null"}
        own["PATH"] = own.get("PATH", "$PATH").replace("$PATH", given["PATH"])
        return given | own | variables

    def build(self, shell: str) -> None:
        """Run a RUN."""
        subprocess.run(
            ["/bin/sh", "-ec", self.translated(shell)],
            cwd=self.at("."),
            env=self.environment(),
            check=True,
        )

    def process(self, command: list[str], **variables: str) -> dict[str, object]:
        """The arguments of Popen for a command, as the image's user."""
        return {
            "args": [*_as_user(self.user), *command],
            "cwd": self.at("."),
            "env": self.environment(**variables),
        }


def build_image(source: Path, root: Path) -> Image:
    """Follow ``source``'s Dockerfile, up to the last stage."""
    image = Image(root, source)
    parser = DockerfileParser(str(source / "Dockerfile"))
    for step in parser.structure:
        if step["instruction"] != "COMMENT":
            _follow(image, step["instruction"], step["value"])
    return image


def _follow(image: Image, instruction: str, value: str) -> None:
    match instruction:
        case "FROM":
            _begin_stage(image)
        case "WORKDIR":
            image.workdir = value
            image.at(".").mkdir(parents=True, exist_ok=True)
        case "COPY":
            _copy(image, value.split())
        case "RUN":
            image.build(value)
        case "ENV":
            image.variables |= dict(re.findall(r"(\w+)=(\S+)", value))
        case "USER":
            image.user = value
        case "HEALTHCHECK":
            image.healthcheck = json.loads(value.partition(" CMD ")[2])
        case "CMD":
            image.command = json.loads(value)
        case "EXPOSE":
            assert f":{value}" in json.dumps(image.command) or not image.command
        case _:
            raise NotImplementedError(instruction)


def _begin_stage(image: Image) -> None:
    """The former stage steps aside: paths inside it stay true for what is copied out of it."""
    if image.root.exists():
        image.root.rename(_former(image))
    image.root.mkdir()
    image.workdir, image.variables = "/", {}


def _former(image: Image) -> Path:
    return image.root.with_name(f"{image.root.name}-former")


def _copy(image: Image, words: list[str]) -> None:
    *sources, target = (word for word in words if not word.startswith("--"))
    base = _former(image) if words[0].startswith("--from=") else image.source
    for name in sources:
        origin = base / name.lstrip("/")
        place = image.at(target) / name if target in {".", "./"} else image.at(target)
        if origin.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "instance")
            shutil.copytree(
                origin, place, symlinks=True, ignore=ignored if base == image.source else None
            )
        else:
            shutil.copy(origin, place)


_left_out = shutil.ignore_patterns("__pycache__", "instance")
"""What .dockerignore leaves out of what is copied."""


def _as_user(user: str) -> list[str]:
    """What goes before a command to run it as a user; nothing where that can't be done."""
    if os.getuid() != 0 or not shutil.which("setpriv"):
        return []
    uid, gid = user.split(":")
    capabilities = [f"--inh-caps={READ_ALL}", f"--ambient-caps={READ_ALL}"]
    return ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", *capabilities]
