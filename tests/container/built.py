"""The image, built by buildah without an engine, and run on its own files.

The base image is Debian with Debian's Python, under the official image's name: mmdebstrap makes it,
and nothing is asked of a registry of images.
"""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.container.services import ROOT

PROGRAMS = ("buildah", "mmdebstrap", "unshare", "mount", "chroot")
_DEBIAN, _PYTHON = "trixie", "3.13"
_PACKAGES = "python3,python3-pip,python-is-python3"
_UNREAD = ("doc", "man", "locale")
_NAME = "localhost/telemetry"

# The files are read-only, as compose mounts them; the user has no capability and gets none.
_ENTER = """
mount --bind "$1" "$1"
mount -t tmpfs tmpfs "$1/tmp"
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
mount -t tmpfs tmpfs "$1/dev/shm"
mount -o remount,bind,ro "$1"
root="$1" user="$2"
shift 2
exec chroot "$root" setpriv --reuid="$user" --regid="$user" --clear-groups --bounding-set=-all \
    --no-new-privs "$@"
"""


def lacking() -> list[str]:
    """What is not here of all that an image is built and run by."""
    lacks = [name for name in PROGRAMS if not shutil.which(name)]
    return lacks or ([] if _may_mount() else ["the right to mount, which root has"])


def _may_mount() -> bool:
    command = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/tmp"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


@dataclass
class BuiltImage:
    """An image as built: its files below ``root``, and its configuration."""

    root: Path
    configuration: dict[str, Any] = field(repr=False)

    def process(self, command: list[str], user: int, **variables: str) -> list[str]:
        """The command that runs one in the image as a user, read-only, on this host's network.

        It becomes the command's process itself, so that its signals and its exit code are it.
        """
        given = [f"{name}={value}" for name, value in variables.items()]
        own = [*self.configuration["Env"], *given]
        place = f"--chdir={self.configuration['WorkingDir']}"
        entered = ["sh", "-euc", _ENTER, "enter", str(self.root), str(user)]
        return ["unshare", "--mount", *entered, "env", "-i", place, *own, *command]


def build(folder: Path) -> BuiltImage:
    """Build the Dockerfile's image; all files are in ``folder``."""
    _make_base(folder)
    _fetch_wheels(folder)
    mounts = {"pip.conf": "/etc/pip.conf", "wheels": "/wheels"}
    volumes = [f"--volume={folder / name}:{target}:ro" for name, target in mounts.items()]
    options = ["--isolation=chroot", "--format=docker", "--pull-never", f"--tag={_NAME}"]
    _buildah(folder, "bud", *options, *volumes, str(ROOT))
    configuration = json.loads(_buildah(folder, "inspect", "--type=image", _NAME))
    container = _buildah(folder, "from", "--pull-never", _NAME).strip()
    root = Path(_buildah(folder, "mount", container).strip())
    return BuiltImage(root, configuration["Docker"]["config"])


def _make_base(folder: Path) -> None:
    (name,) = set(re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    assert name.startswith(f"python:{_PYTHON}-")
    leave_out = [f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in _UNREAD]
    options = ["--quiet", "--variant=essential", f"--include={_PACKAGES}", *leave_out]
    base = folder / "base.tar"
    subprocess.run(["mmdebstrap", *options, _DEBIAN, base], check=True)
    container = _buildah(folder, "from", "scratch").strip()
    _buildah(folder, "add", "--quiet", container, str(base), "/")
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    _buildah(folder, "config", f"--env={path}", container)
    _buildah(folder, "commit", "--quiet", "--rm", container, f"docker.io/library/{name}")
    base.unlink()


def _fetch_wheels(folder: Path) -> None:
    """Fetch what is locked, from where this machine's pip gets packages; the image's has no net."""
    options = ["--quiet", "--require-hashes", "--no-deps", "--only-binary=:all:"]
    target = [f"--python-version={_PYTHON}", f"--dest={folder / 'wheels'}"]
    lock = f"--requirement={ROOT / 'requirements-image.txt'}"
    subprocess.run([sys.executable, "-m", "pip", "download", *options, *target, lock], check=True)
    (folder / "pip.conf").write_text("[global]\nno-index = true\nfind-links = /wheels\n")


def _buildah(folder: Path, *arguments: str) -> str:
    storage = [f"--root={folder / 'storage'}", f"--runroot={folder / 'run'}"]
    command = ["buildah", *storage, "--storage-driver=vfs", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
