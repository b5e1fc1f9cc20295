"""Sandboxes made with Docker: one container per episode, from an image with the file tree of its query."""

import hashlib
import io
import logging
import os
import socket
import subprocess
import tarfile
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import docker
from docker import DockerClient
from docker.errors import APIError, BuildError, DockerException, ImageNotFound, NotFound
from docker.models.containers import Container
from docker.types import LogConfig

from leap_exp.core.errors import DataError, EnvError
from leap_exp.envs.intercode_bash.engine.bases import PACKAGES, Base, open_base
from leap_exp.envs.intercode_bash.engine.bubblewrap import CAPABILITIES, ENVIRONMENT
from leap_exp.envs.intercode_bash.engine.docker_commands import FAILURES, WAITING, DockerSandbox
from leap_exp.envs.intercode_bash.engine.sandbox import BaseKind, Limits, Sandbox, SandboxEngine
from leap_exp.envs.intercode_bash.engine.trees import GIT_IGNORE, PREPARE, FileTree
from leap_exp.runs.files import cache_folder, locked

OWNER = "leap-exp.owner"
"""Label of containers and images that belong to a process: machine name, process id and start time."""

IMAGE = "leap-exp-intercode:1"
"""Built from the Dockerfile. An existing image with this name is used as it is."""
_ROOTFS_IMAGE = "leap-exp-intercode-rootfs"

_VERSION = 1
_NAME = "leap-exp-intercode"
_TREES = f"{_NAME}-tree"
_CONNECT_SECONDS, _ANSWER_SECONDS = 5, 120
_CONNECTIONS = 64
_SPARE_PROCESSES = 32
"""Docker's own threads count as processes while a command starts; ``DockerSandbox`` enforces the exact limit."""
_PREPARING = Limits(seconds=120.0, disk_mib=1024)

_log = logging.getLogger(__name__)


class DockerEngine(SandboxEngine):
    """Makes sandboxes with the Docker engine at ``DOCKER_HOST``, or the default one.

    A container is removed at the end of its episode. Containers of killed processes are removed when the next engine
    is made.

    Args:
        base: What is below the file trees; the host's programs are replaced by an image, see ``_base_image``.
        limits: The limits of each command.

    Raises:
        DataError: The root file system is not installed.
        EnvError: No engine answers, or the image cannot be built.
    """

    name = "docker"

    def __init__(self, *, base: BaseKind, limits: Limits) -> None:
        self._client = _connect()
        self._limits = limits
        self._started = time.time()
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{_start_of(os.getpid())}"
        self._images: dict[str, str] = {}
        self._making = threading.Lock()
        try:
            _remove_orphans(self._client)
            with _making_images():
                self._base = _base_image(self._client, base)
        except FAILURES as error:
            raise EnvError(f"The Docker engine reported an error ({error}).") from error

    @contextmanager
    def open(self, tree: FileTree) -> Iterator[Sandbox]:
        """Start a new sandbox with ``tree``. The first use of a tree makes an image of it."""
        with self._making:
            image = self._images.get(tree.digest) or self._image(tree)
            self._images[tree.digest] = image
        with self._container(image, self._limits, tree.variables) as container:
            yield DockerSandbox(container, self._limits)

    def orphans(self) -> Mapping[str, Sequence[str]]:
        """List all containers of sandboxes, and the images that this engine cannot use."""
        containers = self._client.containers.list(all=True, filters={"label": OWNER}, ignore_removed=True)
        images = _owned_images(self._client)
        return {
            "containers": [f"{container.name} of {container.labels[OWNER]}" for container in containers],
            "images": [
                f"{image.id} of {image.owner or 'all'}"
                for image in images
                if not (image.owner == self._owner or (image.has_name and not image.owner))
            ],
        }

    @contextmanager
    def _container(self, image: str, limits: Limits, variables: Sequence[tuple[str, str]]) -> Iterator[Container]:
        """Start a container; it is removed when the context exits."""
        name = f"{_NAME}-{uuid.uuid4().hex[:16]}"
        memory = limits.memory_mib << 20
        try:
            try:
                container = self._client.containers.create(
                    image,
                    name=name,
                    entrypoint=list(WAITING),
                    stdin_open=True,
                    user="root",
                    working_dir="/",
                    hostname="sandbox",
                    environment={**ENVIRONMENT, **dict(variables)},
                    labels={OWNER: self._owner},
                    network_mode="none",
                    cap_drop=["ALL"],
                    cap_add=list(CAPABILITIES),
                    security_opt=["no-new-privileges"],
                    mem_limit=memory,
                    memswap_limit=memory,
                    pids_limit=limits.processes + _SPARE_PROCESSES,
                    log_config=LogConfig(type="none"),
                )
                container.start()
            except FAILURES as error:
                raise EnvError(f"Docker cannot start a sandbox ({error}).") from error
            yield container
        finally:
            self._remove(name)

    def _remove(self, name: str) -> None:
        """Remove the container ``name`` if it exists."""
        try:
            self._client.api.remove_container(name, force=True, v=True)
        except NotFound:
            pass
        except FAILURES as error:
            _log.warning("The container %s could not be removed (%s). Remove it with docker rm -f.", name, error)

    def _image(self, tree: FileTree) -> str:
        """Return the id of the image with ``tree`` as at the start of an episode."""
        contents = repr((_VERSION, self._base, PREPARE, GIT_IGNORE, tree.digest))
        tag = hashlib.sha256(contents.encode()).hexdigest()[:16]
        if tree.made is not None:
            # The files of a recorded tree must have the right age, so every process makes the image again.
            tag = f"fresh-{os.getpid()}-{self._started}-{tag}"
        with _making_images():
            return _find_image(self._client, f"{_TREES}:{tag}") or self._commit(tree, tag)

    def _commit(self, tree: FileTree, tag: str) -> str:
        owner = self._owner if tree.made is not None else ""
        with self._container(self._base, _PREPARING, ()) as container:
            container.put_archive("/", _archive(tree, now=self._started))
            result = DockerSandbox(container, _PREPARING).run(["/bin/bash", "-c", PREPARE], workdir="/")
            if result.exit_code != 0:
                text = result.output.decode(errors="replace").strip()
                raise EnvError(f"The file tree {tree.name!r} could not be made a git repository: {text}")
            return str(container.commit(repository=_TREES, tag=tag, changes=[f'LABEL {OWNER}="{owner}"']).id)


def _connect() -> DockerClient:
    try:
        client = docker.from_env(timeout=_CONNECT_SECONDS, max_pool_size=_CONNECTIONS)
    except FAILURES as error:
        raise EnvError(f"No Docker engine answers ({error}): start one, or set DOCKER_HOST to another.") from error
    client.api.timeout = _ANSWER_SECONDS
    return client


def _remove_orphans(client: DockerClient) -> None:
    """Remove containers and images of this machine's processes that have ended."""
    for container in client.containers.list(all=True, filters={"label": OWNER}, ignore_removed=True):
        if _is_gone(container.labels[OWNER]):
            with suppress(APIError):
                container.remove(force=True, v=True)
    for image in _owned_images(client):
        if _is_gone(image.owner):
            with suppress(APIError):
                client.images.remove(image.id, force=True)


@dataclass(frozen=True, slots=True)
class _OwnedImage:
    """An image of a file tree. A shared image has an empty owner."""

    id: str
    owner: str
    has_name: bool


def _owned_images(client: DockerClient) -> list[_OwnedImage]:
    """Return the images of file trees.

    One request lists them all. ``client.images.list`` makes one per image and fails if an image was just removed.
    """
    found = client.api.images(filters={"label": OWNER})
    return [
        _OwnedImage(image["Id"], image["Labels"][OWNER], any(":<none>" not in tag for tag in image["RepoTags"] or ()))
        for image in found
    ]


@contextmanager
def _making_images() -> Iterator[None]:
    """Lock out other processes: of two equal images one would lose its name and remain."""
    folder = cache_folder() / "docker"
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, wait=True):
        yield


def _is_gone(owner: str) -> bool:
    machine, _, process = owner.partition(":")
    pid, _, start = process.partition(":")
    return machine == socket.gethostname() and _start_of(int(pid)) != start


def _start_of(pid: int) -> str:
    """Return the start time of a process in the kernel's clock ticks; empty if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def _base_image(client: DockerClient, base: BaseKind) -> str:
    """Return the id of the image for ``base``.

    ROOTFS is the installed root file system, as for bubblewrap. Containers cannot use the host's programs, so HOST is
    the image ``IMAGE`` if it exists, else the root file system if it is installed, else ``IMAGE``, built now.

    Raises:
        DataError: The root file system is not installed.
        EnvError: The image cannot be built.
    """
    if base is BaseKind.HOST and (image := _find_image(client, IMAGE)):
        return image
    try:
        return _import_rootfs(client, open_base(BaseKind.ROOTFS, Path()))
    except DataError:
        if base is BaseKind.ROOTFS:
            raise
        return _build_image(client)


def _find_image(client: DockerClient, name: str) -> str | None:
    """Return the id of the image called ``name``, or None."""
    try:
        return str(client.images.get(name).id)
    except ImageNotFound:
        return None


def _archive(tree: FileTree, *, now: float) -> bytes:
    """Return a .tar of ``tree`` and the .gitignore file, all owned by root."""
    contents = io.BytesIO()
    with tempfile.TemporaryDirectory() as name, tarfile.open(fileobj=contents, mode="w") as tar:
        folder = Path(name)
        tree.write(folder, now=now)
        (folder / ".gitignore").write_text(GIT_IGNORE)
        for path in sorted(folder.iterdir()):
            tar.add(path, arcname=path.name, filter=_owned_by_root)
    return contents.getvalue()


def _owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member


def _import_rootfs(client: DockerClient, base: Base) -> str:
    tag = hashlib.sha256(base.identity.encode()).hexdigest()[:16]
    name = f"{_ROOTFS_IMAGE}:{tag}"
    if image := _find_image(client, name):
        return image
    _log.info("Importing the root file system at %s as the image %s.", base.folder, name)
    command = ["tar", "--create", "--numeric-owner", "--directory", str(base.folder), "."]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        answer = client.api.import_image_from_stream(process.stdout, repository=_ROOTFS_IMAGE, tag=tag)
    image = _find_image(client, name)
    if image is None or process.returncode != 0:
        raise EnvError(f"Docker could not import the root file system at {base.folder} ({answer.strip()}).")
    return image


def _build_image(client: DockerClient) -> str:
    _log.info("Building the image %s. This takes a few minutes.", IMAGE)
    dockerfile = files(__package__).joinpath("Dockerfile").read_bytes()
    try:
        image, _ = client.images.build(
            fileobj=io.BytesIO(dockerfile), tag=IMAGE, buildargs={"PACKAGES": " ".join(PACKAGES)}, rm=True, forcerm=True
        )
    except (BuildError, DockerException) as error:
        raise EnvError(
            f"The image {IMAGE} cannot be built ({error}). Without a registry, run leap data install intercode_rootfs, "
            f"or give an image of yours this name (docker tag NAME {IMAGE})."
        ) from error
    return str(image.id)
