"""Whom the bytes of a file are asked of, and what is told to whom."""

from __future__ import annotations

import os

import line
import pytest

from pipeline.errors import HubError, HubRefused
from pipeline.hub.huggingface import HuggingFace
from pipeline.hub.local.server import LocalHub
from pipeline.hub.protocol import Repository, Upload
from pipeline.hub.remote import RangesIgnored, RemoteFile
from pipeline.manifest import describe

MODEL = Repository("demo/model")
SIZE = 50_000
CONTENT = os.urandom(SIZE)
TOKEN = "hf_topsecret"


@pytest.fixture(scope="module")
def behind(tmp_path_factory):
    """A local Hub behind a line."""
    folder, wire = tmp_path_factory.mktemp("behind"), line.Line()
    with pytest.MonkeyPatch.context() as patch:
        wire.lay(patch)
        with LocalHub(folder / "hub") as server:
            hub = HuggingFace(server.endpoint, TOKEN)
            hub.create(MODEL)
            (folder / "content").write_bytes(CONTENT)
            uploads = [Upload(folder / "content", describe(folder / "content", n)) for n in ("a.safetensors", "a.txt")]
            hub.commit(MODEL, uploads, [], parent=hub.head(MODEL), message="first")
            yield server, wire


@pytest.fixture
def server(behind):
    return behind[0]


@pytest.fixture
def wire(behind):
    behind[1].clear()
    return behind[1]


@pytest.fixture
def remote(server, wire):
    return RemoteFile(server.endpoint, TOKEN, MODEL, "main", "a.safetensors")


def read(remote, start=0, stop=SIZE, size=SIZE):
    with remote.stream(start, stop, size) as response:
        return response.read()


def test_parts_and_the_whole(remote, server, wire):
    regular = RemoteFile(server.endpoint, TOKEN, MODEL, "main", "a.txt")
    for file in (remote, regular):
        assert read(file) == CONTENT
        assert read(file, 100, 200) == CONTENT[100:200]
    assert wire.ranges == [None, (100, 199)], "the whole is asked for without a range"


def test_the_token_is_for_the_hub_alone(remote, wire):
    read(remote)
    read(remote, 10, 20)
    assert [asked.headers.get("authorization") for asked in wire.at(line.HUB)] == [f"Bearer {TOKEN}"]
    assert len(wire.at(line.STORAGE)) == 2
    for asked in wire.at(line.STORAGE):
        assert "authorization" not in asked.headers
        assert "cookie" not in asked.headers
        assert TOKEN not in str(asked)


def test_a_repository_that_moved_is_followed_with_the_token(remote, wire):
    wire.faults[line.HUB] = [line.answered(307, {"Location": "/demo/model/resolve/main/a.safetensors?moved"})]
    assert read(remote) == CONTENT
    assert [asked.headers["authorization"] for asked in wire.at(line.HUB)] == [f"Bearer {TOKEN}"] * 2


def test_one_address_serves_until_it_expires(remote, wire):
    for start in (0, 100, 200):
        read(remote, start, start + 10)
    assert len(wire.at(line.HUB)) == 1
    wire.faults[line.STORAGE] = [line.answered(403)]
    assert read(remote, 300, 310) == CONTENT[300:310]
    assert len(wire.at(line.HUB)) == 2
    assert read(remote, 400, 410) == CONTENT[400:410]
    assert len(wire.at(line.HUB)) == 2


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_new_address_that_is_refused_too_may_be_asked_for_later(remote, wire, status):
    wire.faults[line.STORAGE] = [None, *[line.answered(status)] * 3]
    read(remote)
    with pytest.raises(HubError, match=f"the Hub's storage answered {status}") as caught:
        read(remote)
    assert not isinstance(caught.value, HubRefused)
    assert len(wire.faults[line.STORAGE]) == 1, "a new address is tried once"


@pytest.mark.parametrize("status", [429, 503])
def test_storage_that_is_busy_is_not_asked_by_another_address(remote, wire, status):
    read(remote)
    wire.faults[line.STORAGE] = [line.answered(status, {"Retry-After": "7"})]
    with pytest.raises(HubError, match=str(status)) as caught:
        read(remote)
    assert not isinstance(caught.value, HubRefused)
    assert caught.value.retry_after == 7
    assert len(wire.at(line.HUB)) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_gated_model_says_what_to_do(remote, wire, status):
    wire.faults[line.HUB] = [line.answered(status, {"X-Error-Message": "Access to demo/model is restricted"})]
    with pytest.raises(HubRefused, match=f"answered {status}.*is restricted") as caught:
        read(remote)
    assert "conditions" in caught.value.hint
    assert TOKEN not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize(
    "location",
    [
        "http://192.0.2.1/stolen",
        "ftp://127.0.0.1/a",
        "file:///etc/passwd",
        "http://127.0.0.1.example.com/a",
        "//192.0.2.1/",
    ],
)
def test_a_redirect_into_the_open_is_refused(remote, wire, location):
    wire.faults[line.HUB] = [line.answered(302, {"Location": location})]
    with pytest.raises(HubRefused, match="not encrypted") as caught:
        read(remote)
    assert "stolen" not in str(caught.value)


def test_a_redirect_to_this_machine_is_refused_unless_the_hub_is_on_it():
    remote = RemoteFile("https://hub.example.com", TOKEN, MODEL, "main", "a")
    with pytest.raises(HubRefused, match="not encrypted"):
        remote._next(remote._url, "http://127.0.0.1:8080/a")
    assert remote._next(remote._url, "https://storage.example.com/a").host == "storage.example.com"
    assert remote._headers(remote._url)["authorization"] == f"Bearer {TOKEN}"
    for elsewhere in ("https://storage.example.com/a", "http://hub.example.com/a", "https://hub.example.com:8443/a"):
        assert "authorization" not in remote._headers(remote._url.join(elsewhere)), elsewhere


def test_redirects_that_lead_nowhere_end(remote, wire):
    again = line.answered(302, {"Location": "/demo/model/resolve/main/a.safetensors"})
    wire.faults[line.HUB] = [again] * 20
    with pytest.raises(HubRefused, match="more than 5 times"):
        read(remote)
    wire.faults[line.HUB] = [line.answered(302, {"Location": "http://[::1"})]
    with pytest.raises(HubError):
        read(remote)


def test_a_part_of_a_server_without_ranges_is_noticed(remote, wire):
    wire.faults[line.STORAGE] = [line.without_ranges] * 2
    with pytest.raises(RangesIgnored):
        read(remote, 100, 200)
    assert read(remote) == CONTENT


def test_another_size_than_the_list_of_files_says(remote):
    for start, stop, size in ((0, 49_000, 49_000), (100, 200, 51_000)):
        with pytest.raises(HubError, match=f"it has 50000 bytes, and {size} in the Hub's list"):
            read(remote, start, stop, size)


@pytest.mark.parametrize("said", ["bytes 0-9/50000", "bytes 100-109", "nonsense"])
def test_another_part_than_was_asked_for(remote, wire, said):
    wire.faults[line.STORAGE] = [line.answered(206, {"Content-Range": said}, b"0123456789")]
    with pytest.raises(HubError, match="sent another part"):
        read(remote, 100, 110)


def test_a_part_of_a_file_of_unsaid_size_is_taken(remote, wire):
    wire.faults[line.STORAGE] = [line.answered(206, {"Content-Range": "bytes 100-109/*"}, b"0123456789")]
    assert read(remote, 100, 110) == b"0123456789"
