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
