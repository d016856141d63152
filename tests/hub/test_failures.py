"""The real client against a real server that misbehaves: two kinds of failure come out, and no secret."""

from __future__ import annotations

import socket

import pytest

from pipeline.errors import HubError, HubRefused
from pipeline.hub.huggingface import HuggingFace
from pipeline.hub.protocol import Repository

MODEL = Repository("someone/model")


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_passing_trouble_may_be_asked_again(scripted, status):
    scripted.answers = [(status, {}, b"{}")]
    with pytest.raises(HubError, match=str(status)) as caught:
        HuggingFace(scripted.endpoint, "hf_secret").head(MODEL)
    assert not isinstance(caught.value, HubRefused)
    assert caught.value.exit_code == 4
    assert "same command" in caught.value.hint


@pytest.mark.parametrize(("status", "hint"), [(401, "hf auth login"), (403, "may write"), (404, "name")])
def test_a_refusal_says_what_to_do(scripted, status, hint):
    scripted.answers = [(status, {"X-Error-Message": "not for you"}, b"{}")]
    with pytest.raises(HubRefused, match=f"the Hub answered {status}") as caught:
        HuggingFace(scripted.endpoint, "hf_secret").whoami()
    assert hint in caught.value.hint
    assert "hf_secret" not in str(caught.value)


def test_the_wait_that_the_hub_asks_for_is_kept(scripted):
    scripted.answers = [(429, {"Retry-After": "17"}, b"{}")]
    with pytest.raises(HubError) as caught:
        HuggingFace(scripted.endpoint).tags(MODEL)
    assert caught.value.retry_after == 17


def test_a_connection_that_ends_without_an_answer_may_be_asked_again(scripted):
    scripted.answers = [None]
    with pytest.raises(HubError, match="the connection failed") as caught:
        HuggingFace(scripted.endpoint).tags(MODEL)
    assert not isinstance(caught.value, HubRefused)


def test_a_server_that_is_not_there_may_be_asked_again():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(HubError, match="the connection failed"):
        HuggingFace(endpoint).tags(MODEL)


def test_an_invalid_repository_name_is_refused_before_anything_is_sent(scripted):
    with pytest.raises(HubRefused, match="look at"):
        HuggingFace(scripted.endpoint).head(Repository("a/b/c"))
    assert scripted.asked == []


def test_signed_addresses_stay_out_of_messages(scripted):
    signed = f"{scripted.endpoint}/blob?X-Amz-Signature=topsecret"
    scripted.answers = [(302, {"Location": signed}, b""), (500, {}, b"")]
    with pytest.raises(HubError) as caught:
        HuggingFace(scripted.endpoint).read(MODEL, "main", "a.bin", 0, 10)
    assert len(scripted.asked) == 2
    assert "topsecret" not in str(caught.value) + caught.value.hint


@pytest.fixture
def keyless(scripted, monkeypatch):
    """A job of GitHub that may ask for an identity, with one server for GitHub's answers and the Hub's."""
    from huggingface_hub import constants
    from huggingface_hub.utils import _auth

    monkeypatch.setattr(constants, "ENDPOINT", scripted.endpoint)
    monkeypatch.setattr(_auth, "_OIDC_TOKEN_CACHE", None)
    monkeypatch.setenv("HF_OIDC_RESOURCE", "someone/model")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"{scripted.endpoint}/identity")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "of the job")
    return scripted


def test_a_job_that_the_hub_trusts_publishes_without_a_secret(keyless):
    keyless.answers = [
        (200, {}, b'{"value": "who the job is"}'),
        (200, {}, b'{"access_token": "hf_jwt_short_lived", "expires_in": 3600}'),
        (200, {}, b'{"tags": [], "branches": [], "converts": []}'),
    ]
    hub = HuggingFace(keyless.endpoint)
    assert hub.whoami() == "the Trusted Publisher of someone/model"
    assert hub.tags(MODEL) == {}
    identity, exchange, tags = keyless.asked
    assert identity.startswith("GET /identity?audience=http")
    assert exchange == "POST /oauth/token"
    assert tags.startswith("GET /api/models/someone/model/refs")
    assert keyless.authorized == ["Bearer of the job", None, "Bearer hf_jwt_short_lived"]


def test_a_job_that_may_not_say_who_it_is_learns_which_permission_is_missing(keyless, monkeypatch):
    monkeypatch.delenv("ACTIONS_ID_TOKEN_REQUEST_URL")
    with pytest.raises(HubRefused, match="cannot ask whose token this is") as caught:
        HuggingFace(keyless.endpoint).whoami()
    assert "id-token: write" in caught.value.hint


def test_a_job_that_the_hub_does_not_trust_is_told_where_that_is_set(keyless):
    keyless.answers = [(200, {}, b'{"value": "who the job is"}'), (400, {}, b'{"error": "invalid_grant"}')]
    with pytest.raises(HubRefused, match="the Hub answered 400") as caught:
        HuggingFace(keyless.endpoint).whoami()
    assert "settings of that repository must name this workflow" in caught.value.hint
    assert "who the job is" not in str(caught.value)


def test_a_rehearsal_asks_nobody_who_it_is(keyless):
    keyless.answers = [(200, {}, b'{"name": "demo"}')]
    assert HuggingFace(keyless.endpoint, "local-rehearsal").whoami() == "demo"
