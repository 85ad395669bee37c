"""The settings that kopf is run with: it takes a misspelt name in silence, so each is checked to be one of its own."""

import asyncio
import dataclasses
import itertools
from collections.abc import Iterable

import kopf

from tasksession.api import admission
from tasksession.cluster.client import Client
from tasksession.cluster.watching import Watch, kopf_settings


def test_every_setting_is_one_that_kopf_declares() -> None:
    """No group of settings has an attribute beyond kopf's own: a misspelt one would be silently without effect."""
    settings = kopf_settings()
    for group in dataclasses.fields(settings):
        value = getattr(settings, group.name)
        if dataclasses.is_dataclass(value):
            declared = {field.name for field in dataclasses.fields(value)}
            extra = {name for name in vars(value) if not name.startswith("_")} - declared
            assert not extra, f"{group.name}: {extra}"


def test_kopf_keeps_no_state_and_posts_nothing() -> None:
    """No peering, no Events, no scanning, no diff annotations: kopf only lists and watches."""
    settings = kopf_settings()
    assert settings.peering.standalone
    assert settings.scanning.disabled
    assert not settings.posting.enabled
    storage = settings.persistence.diffbase_storage
    body = kopf.Body({"metadata": {"annotations": {}}, "spec": {"field": "value"}})
    assert storage.build(body=body) == {}
    assert storage.fetch(body=body) is None
    assert storage.store(body=body, patch=kopf.Patch(), essence={}) is None


def test_streams_are_bounded_in_time() -> None:
    """A silent stall ends a stream: the client's time-outs are finite, short, and later than the server's."""
    watching = kopf_settings().watching
    assert watching.server_timeout is not None
    assert watching.client_timeout is not None
    assert watching.server_timeout < watching.client_timeout <= 25
    assert watching.server_timeout < watching.inactivity_timeout <= 25
    assert watching.connect_timeout == 10
    assert watching.chunk_size == 100
    assert kopf_settings().networking.request_timeout == 15


def test_attempts_to_reach_the_api_server_never_end() -> None:
    """However long the API server is away, the next attempt is a few seconds off; each request begins anew."""
    backoffs = kopf_settings().networking.error_backoffs
    assert isinstance(backoffs, Iterable)
    for _ in range(2):
        first = list(itertools.islice(backoffs, 1000))
        assert first[0] <= 1
        assert all(0 < seconds <= 5 for seconds in first)


async def test_silence_counts_from_the_start_until_something_is_answered() -> None:
    """A watch of which nothing was ever heard is as silent as it is old."""
    watch = Watch(
        loop=asyncio.get_running_loop(),
        client=Client(None, request_timeout=1.0),
        callback=lambda *_: None,
        listed=lambda *_: None,
        kubeconfig=None,
        namespaces=(),
    )
    plural, first = watch.silence()
    assert plural in ("tasksessions", "sessionpolicies")
    await asyncio.sleep(0)
    assert watch.silence()[1] >= first >= 0


def test_guards_are_selected_by_the_server() -> None:
    """Other people's admission policies are never sent to the operator, and what tenants write never to kopf."""
    selectors = kopf_settings().watching.label_selectors
    assert ("batch", "jobs") not in selectors
    for plural in admission.RESOURCES:
        assert selectors["admissionregistration.k8s.io", plural] == "tasksession.dev/guard"
