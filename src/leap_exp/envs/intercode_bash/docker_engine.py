"""Sandboxes of Docker: a container an episode, on an image with the episode's file tree."""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import docker
from docker import DockerClient
from docker.errors import APIError, NotFound
from docker.models.containers import Container
from docker.types import LogConfig

from leap_exp.core.errors import EnvError
from leap_exp.envs.intercode_bash.bubblewrap import CAPABILITIES, ENVIRONMENT
from leap_exp.envs.intercode_bash.docker_commands import FAILURES, WAITING, Commands
from leap_exp.envs.intercode_bash.docker_images import archive, base_image, find_image
from leap_exp.envs.intercode_bash.sandbox import Limits, Sandbox
from leap_exp.envs.intercode_bash.trees import FileTree
from leap_exp.envs.intercode_bash.version_control import GIT_IGNORE, PREPARE
from leap_exp.store.files import cache_folder, locked

OWNER = "leap-exp.owner"
"""A label of containers and images that go with a process: the name of the machine, process id, and its start."""

_VERSION = 1
_NAME = "leap-exp-intercode"
_TREES = f"{_NAME}-tree"
_CONNECT_SECONDS, _ANSWER_SECONDS = 5, 120
_CONNECTIONS = 64
_SPARE_PROCESSES = 32
"""Threads of what starts a command in a container, which count for a moment; who starts more is found by counting."""
_PREPARING = Limits(seconds=120.0, disk_mib=1024)

_log = logging.getLogger(__name__)


class DockerEngine:
    """Sandboxes of the engine that ``DOCKER_HOST`` names, or the usual one, each command within ``limits``.

    A container ends with its episode. One that a killed process left is removed when the next engine is made.

    Args:
        base: What lies beneath the file trees: "rootfs", or "host" for an image (``docker_images.IMAGE``).
        limits: What a command may use.

    Raises:
        EnvError: No engine answers, or it cannot get the image.
        DataError: The root file system is not installed.
    """

    name = "docker"

    def __init__(self, *, base: str, limits: Limits) -> None:
        self._client = _connect()
        self._limits = limits
        self._started = time.time()
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{_start_of(os.getpid())}"
        self._images: dict[str, str] = {}
        self._making = threading.Lock()
        try:
            _remove_orphans(self._client)
            with _making_images():
                self._base = base_image(self._client, base)
        except FAILURES as error:
            raise EnvError(f"The Docker engine refused ({error}).") from error

    @contextmanager
    def open(self, tree: FileTree) -> Iterator[Sandbox]:
        """A fresh sandbox with ``tree``; the first time that a tree is asked for an image is made of it."""
        with self._making:
            image = self._images.get(tree.digest) or self._image(tree)
            self._images[tree.digest] = image
        with self._container(image, self._limits, tree.variables) as container:
            yield Commands(container, self._limits)

    def leftovers(self) -> Mapping[str, Sequence[str]]:
        """What there is of sandboxes here, a line each, by kind: all containers, and images that this cannot use."""
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
        """A running container that is removed in the end."""
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
                raise EnvError(f"Docker cannot make a sandbox ({error}).") from error
            yield container
        finally:
            self._remove(name)

    def _remove(self, name: str) -> None:
        """Remove the container ``name``, which need not exist."""
        try:
            self._client.api.remove_container(name, force=True, v=True)
        except NotFound:
            pass
        except FAILURES as error:
            _log.warning("The container %s could not be removed (%s).", name, error)

    def _image(self, tree: FileTree) -> str:
        """The id of the image with ``tree`` as it is when an episode begins."""
        contents = repr((_VERSION, self._base, PREPARE, GIT_IGNORE, tree.digest))
        tag = hashlib.sha256(contents.encode()).hexdigest()[:16]
        if tree.made is not None:
            # A tree whose files have an age is made anew for every process.
            tag = f"fresh-{os.getpid()}-{self._started}-{tag}"
        with _making_images():
            return find_image(self._client, f"{_TREES}:{tag}") or self._commit(tree, tag)

    def _commit(self, tree: FileTree, tag: str) -> str:
        owner = self._owner if tree.made is not None else ""
        with self._container(self._base, _PREPARING, ()) as container:
            container.put_archive("/", archive(tree, now=self._started))
            outcome = Commands(container, _PREPARING).run(["/bin/bash", "-c", PREPARE], workdir="/")
            if outcome.exit_code != 0:
                text = outcome.output.decode(errors="replace").strip()
                raise EnvError(f"The file tree {tree.name!r} could not be put under version control: {text}")
            return str(container.commit(repository=_TREES, tag=tag, changes=[f'LABEL {OWNER}="{owner}"']).id)


def _connect() -> DockerClient:
    try:
        client = docker.from_env(timeout=_CONNECT_SECONDS, max_pool_size=_CONNECTIONS)
    except FAILURES as error:
        raise EnvError(
            f"No Docker engine answers ({error}): start one, name another in DOCKER_HOST, or take "
            "env.sandbox=bubblewrap."
        ) from error
    client.api.timeout = _ANSWER_SECONDS
    return client


def _remove_orphans(client: DockerClient) -> None:
    """Remove containers and images of processes of this machine that have ended."""
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
    """An image of a file tree; the owner is empty for one that all share."""

    id: str
    owner: str
    has_name: bool


def _owned_images(client: DockerClient) -> list[_OwnedImage]:
    """The images of file trees.

    By one request: ``client.images.list`` asks again for each, and fails on one that another process just removed.
    """
    found = client.api.images(filters={"label": OWNER})
    return [
        _OwnedImage(image["Id"], image["Labels"][OWNER], any(":<none>" not in tag for tag in image["RepoTags"] or ()))
        for image in found
    ]


@contextmanager
def _making_images() -> Iterator[None]:
    """Keep other processes from making the same image, of which one would lose its name and stay."""
    folder = cache_folder() / "docker"
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, wait=True):
        yield


def _is_gone(owner: str) -> bool:
    machine, _, process = owner.partition(":")
    pid, _, start = process.partition(":")
    return machine == socket.gethostname() and _start_of(int(pid)) != start


def _start_of(pid: int) -> str:
    """When the process ``pid`` was started, in the kernel's clock ticks; empty if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""
