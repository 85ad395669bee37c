"""How an image gets into a cluster of kind, by the tool that built it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.kind import KindError, commands, load

IMAGE = "tasksession-operator:0.1.0"


def test_docker_and_the_others() -> None:
    """kind reads docker's store; of podman and buildah it gets an archive, with the name that the chart asks for."""
    archive = Path("/tmp/image.tar")  # noqa: S108 - a name only
    by_docker = commands(IMAGE, tool="docker", context="kind-dev", archive=archive)
    assert by_docker == [["kind", "load", "docker-image", IMAGE, "--name", "dev"]]
    packed, loaded = commands(IMAGE, tool="buildah", context="kind-kind", archive=archive)
    assert packed[-2:] == [f"localhost/{IMAGE}", f"docker-archive:{archive}:{IMAGE}"]
    assert loaded == ["kind", "load", "image-archive", str(archive), "--name", "kind"]


def test_another_cluster_is_refused() -> None:
    """What is no cluster of kind has no images loaded: the sentence says what to do instead."""
    with pytest.raises(KindError, match="push the image to a registry that production pulls from"):
        load(IMAGE, tool="docker", context="production")
