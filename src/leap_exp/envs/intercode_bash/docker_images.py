"""Images for sandboxes of Docker: what lies beneath the file trees."""

from __future__ import annotations

import hashlib
import io
import logging
import subprocess
import tarfile
import tempfile
from importlib.resources import files
from pathlib import Path

from docker import DockerClient
from docker.errors import BuildError, DockerException, ImageNotFound

from leap_exp.core.errors import DataError, EnvError
from leap_exp.envs.intercode_bash.bases import HOST, ROOTFS, Base, open_base
from leap_exp.envs.intercode_bash.rootfs import PACKAGES
from leap_exp.envs.intercode_bash.trees import FileTree
from leap_exp.envs.intercode_bash.version_control import GIT_IGNORE

IMAGE = "leap-exp-intercode:1"
"""Built from the Dockerfile; an image at hand that is given this name is taken as it is."""
_ROOTFS_IMAGE = "leap-exp-intercode-rootfs"

_log = logging.getLogger(__name__)


def base_image(client: DockerClient, base: str) -> str:
    """The id of the image for ``base``.

    "rootfs" is the installed root file system, as for bubblewrap. What bubblewrap takes for "host" cannot be had here:
    it is ``IMAGE`` if that exists, else the root file system if that is installed, else ``IMAGE``, built.

    Raises:
        ConfigError: There is no such base.
        DataError: "rootfs" is not installed.
        EnvError: The image cannot be built.
    """
    if base != HOST:
        return _imported(client, open_base(base, Path()))
    if there := find_image(client, IMAGE):
        return there
    try:
        return _imported(client, open_base(ROOTFS, Path()))
    except DataError:
        return _built(client)


def find_image(client: DockerClient, name: str) -> str | None:
    """The id of the image called ``name``, if there is one."""
    try:
        return str(client.images.get(name).id)
    except ImageNotFound:
        return None


def archive(tree: FileTree, *, now: float) -> bytes:
    """A .tar of ``tree`` and of what git is to ignore; all of it belongs to root."""
    contents = io.BytesIO()
    with tempfile.TemporaryDirectory() as name, tarfile.open(fileobj=contents, mode="w") as tar:
        folder = Path(name)
        tree.write(folder, now=now)
        (folder / ".gitignore").write_text(GIT_IGNORE)
        for path in sorted(folder.iterdir()):
            tar.add(path, arcname=path.name, filter=_of_root)
    return contents.getvalue()


def _of_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member


def _imported(client: DockerClient, base: Base) -> str:
    tag = hashlib.sha256(base.identity.encode()).hexdigest()[:16]
    name = f"{_ROOTFS_IMAGE}:{tag}"
    if there := find_image(client, name):
        return there
    _log.info("Making the image %s of the root file system at %s.", name, base.folder)
    command = ["tar", "--create", "--numeric-owner", "--directory", str(base.folder), "."]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        answer = client.api.import_image_from_stream(process.stdout, repository=_ROOTFS_IMAGE, tag=tag)
    there = find_image(client, name)
    if there is None or process.returncode != 0:
        raise EnvError(f"The root file system at {base.folder} could not become an image ({answer.strip()}).")
    return there


def _built(client: DockerClient) -> str:
    _log.info("Building the image %s, which takes some minutes.", IMAGE)
    dockerfile = files("leap_exp.envs.intercode_bash").joinpath("Dockerfile").read_bytes()
    try:
        image, _ = client.images.build(
            fileobj=io.BytesIO(dockerfile), tag=IMAGE, buildargs={"PACKAGES": " ".join(PACKAGES)}, rm=True, forcerm=True
        )
    except (BuildError, DockerException) as error:
        raise EnvError(
            f"The image {IMAGE} cannot be built ({error}). Without a registry, run python -m leap_exp.data install "
            f"intercode_rootfs, or give an image that you have this name (docker tag NAME {IMAGE}); or take "
            "env.sandbox=bubblewrap."
        ) from error
    return str(image.id)
