from __future__ import annotations

import os

import pytest

from pipeline.errors import HubError
from pipeline.hub import LOCAL_PORT, xet
from pipeline.hub.connect import HUGGINGFACE, connect
from pipeline.hub.local.faults import Fault
from pipeline.hub.local.server import LocalHub
from pipeline.hub.protocol import Repository

MODEL = Repository("demo/model")


def test_a_rehearsal_brings_its_own_hub_and_tells_where_it_will_be_found_later(tmp_path):
    with connect("local", tmp_path / "hub", writable=True) as hub:
        hub.create(MODEL)
        assert hub.whoami() == "demo"
        assert hub.address(MODEL, "v1") == f"http://127.0.0.1:{LOCAL_PORT}/demo/model/tree/v1"
    with connect("local", tmp_path / "hub", writable=True) as hub:
        assert hub.head(MODEL), "what was made there is still there"


def test_a_hub_that_runs_already_is_used(tmp_path):
    with LocalHub(tmp_path) as running, connect("local", tmp_path, writable=True) as hub:
        hub.create(MODEL)
        assert hub.address(MODEL) == f"{running.endpoint}/demo/model"
        assert any(request.path == "/api/repos/create" for request in running.requests)


def test_looking_at_a_rehearsal_that_never_was_makes_no_folder(tmp_path):
    with connect("local", tmp_path / "hub", writable=False) as hub:
        assert hub.head(MODEL) is None
        with pytest.raises(AssertionError, match="dry run"):
            hub.create(MODEL)
    assert not (tmp_path / "hub").exists()


@pytest.mark.parametrize(
    ("writable", "attempts", "hint"),
    [
        (True, 8, "Run the same command again: it goes on where it stopped."),
        (False, 4, "Nothing was changed. Run the same command again when the Hub can be reached."),
    ],
)
def test_a_command_that_only_looks_gives_up_earlier_and_has_nothing_to_go_on_with(writable, attempts, hint, tmp_path):
    with LocalHub(tmp_path) as running, connect("local", tmp_path, writable=writable) as hub:
        running.faults.add(Fault("drop", "*/whoami-v2"))
        with pytest.raises(HubError, match="the connection failed") as caught:
            hub.whoami()
        assert sum("whoami" in request.path for request in running.requests) == attempts
    assert caught.value.hint == hint


def test_a_command_that_only_looks_waits_no_minute_for_the_hub(tmp_path):
    with LocalHub(tmp_path) as running, connect("local", tmp_path, writable=False) as hub:
        running.faults.add(Fault("status", "*/whoami-v2", status=429, headers={"Retry-After": "60"}))
        with pytest.raises(HubError, match="429") as caught:
            hub.whoami()
        assert sum("whoami" in request.path for request in running.requests) == 1
    assert caught.value.hint.startswith("The Hub asks to wait 60 s. Nothing was changed.")


def test_without_a_word_it_is_the_real_hub(tmp_path, monkeypatch):
    with connect("huggingface", tmp_path, writable=False) as hub:
        assert hub.endpoint == HUGGINGFACE
        assert hub.address(MODEL) == "https://huggingface.co/demo/model"
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.example.com/")
    with connect("huggingface", tmp_path, writable=False) as hub:
        assert hub.endpoint == "https://hub.example.com"


def test_what_the_client_remembers_of_a_hub_is_kept_with_it_and_goes_on_being_true(tmp_path, monkeypatch):
    for name in ("HF_XET_CACHE", *xet.SETTINGS):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    memory = tmp_path / "hub" / "client"
    memory.mkdir(parents=True)
    (memory / "notes").touch()
    with connect("local", tmp_path / "hub", writable=True):
        assert (memory / "notes").exists()
        assert os.environ["HF_XET_CACHE"] == str(memory)
        assert {name: os.environ[name] for name in xet.SETTINGS} == xet.SETTINGS


def test_what_the_user_has_set_stays(tmp_path, monkeypatch):
    name = next(iter(xet.SETTINGS))
    monkeypatch.setenv(name, "7")
    monkeypatch.setenv("HF_XET_CACHE", "elsewhere")
    with connect("local", tmp_path / "hub", writable=True):
        assert (os.environ[name], os.environ["HF_XET_CACHE"]) == ("7", "elsewhere")
