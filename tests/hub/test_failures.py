"""The real client against a real server that misbehaves: two kinds of failure come out, and no secret."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from pipeline.errors import BlobsGone, HubError, HubRefused
from pipeline.hub.huggingface import HuggingFace
from pipeline.hub.protocol import Repository, Storage

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


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "17"}, 17),
        ({"RateLimit": '"api";r=0;t=55', "RateLimit-Policy": '"fixed window";"api";q=500;w=300'}, 56),
        ({"RateLimit": '"api";r=4;t=55'}, None),  # it comes with every answer: there is something left
        ({"Retry-After": "soon"}, None),
        ({}, None),
    ],
)
def test_the_wait_that_the_hub_asks_for_is_kept(scripted, headers, seconds):
    scripted.answers = [(429, headers, b"{}")]
    with pytest.raises(HubError) as caught:
        HuggingFace(scripted.endpoint).tags(MODEL)
    assert caught.value.retry_after == seconds
    assert (f"asks to wait {seconds} s" in caught.value.hint) == bool(seconds)


def test_a_wait_until_a_moment_is_kept_too(scripted):
    scripted.answers = [(503, {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(hours=1))}, b"{}")]
    with pytest.raises(HubError) as caught:
        HuggingFace(scripted.endpoint).tags(MODEL)
    assert 3500 < caught.value.retry_after <= 3600


@pytest.mark.parametrize(
    "said",
    [
        b"Private repository storage limit reached, please upgrade your plan to increase your private storage limit.",
        b"Your storage patterns tripped our internal systems!",
    ],
)
def test_a_full_account_is_not_a_wrong_token(scripted, said):
    scripted.answers = [(403, {}, b'{"error": "%s"}' % said)]
    with pytest.raises(HubRefused, match="403") as caught:
        HuggingFace(scripted.endpoint, "hf_secret").create(MODEL)
    assert "look at its storage" in caught.value.hint
    assert "auth login" not in caught.value.hint


@pytest.mark.parametrize("in_header", [False, True])
def test_bytes_that_the_hub_has_dropped_are_named(scripted, tmp_path, in_header):
    said = (
        "Your push was rejected because an LFS pointer pointed to a file that does not exist. For instance, this can "
        "happen if you used git push --no-verify to push your changes.\\nOffending file: "
        "\\n- a - b.safetensors\\n- c.bin"
    )
    header = said.replace("\\n", " ").replace("a - b", "a-b")
    answer = (400, {"X-Error-Message": header}, b"{}") if in_header else (400, {}, f'{{"error": "{said}"}}'.encode())
    scripted.answers = [answer]
    with pytest.raises(BlobsGone, match="the Hub has dropped files") as caught:
        HuggingFace(scripted.endpoint, "hf_secret").commit(MODEL, [], ["x"], parent="0" * 40, message="x")
    assert caught.value.paths == (("a-b.safetensors", "c.bin") if in_header else ("a - b.safetensors", "c.bin"))


@pytest.mark.parametrize(
    "body", [b'{"sha": "12', b"<html>Please sign in to the hotel's network</html>", b"{}", b"\xff"]
)
def test_an_answer_that_makes_no_sense_may_be_asked_for_again(scripted, body):
    scripted.answers = [(200, {}, body)]
    with pytest.raises(HubError, match="the answer makes no sense") as caught:
        HuggingFace(scripted.endpoint, "hf_secret").whoami()
    assert not isinstance(caught.value, HubRefused)


def test_a_token_that_the_hub_repeats_is_not_repeated(scripted):
    scripted.answers = [(400, {}, b'{"error": "no such token: hf_secretsecret"}')]
    with pytest.raises(HubRefused, match="no such token: ") as caught:
        HuggingFace(scripted.endpoint, "hf_secretsecret").whoami()
    assert "hf_secretsecret" not in str(caught.value)


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


def test_of_a_job_that_the_hub_trusts_it_is_not_known_who_pays(keyless):
    keyless.answers = [
        (200, {}, b'{"value": "who the job is"}'),
        (200, {}, b'{"access_token": "hf_jwt_short_lived", "expires_in": 3600}'),
        (200, {}, b'{"id": "someone/model", "usedStorage": 12, "private": true}'),
    ]
    assert HuggingFace(keyless.endpoint).storage(MODEL) == Storage(12, private=True, free=None)
    assert not any("whoami" in path for path in keyless.asked)


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
