"""What `huggingface_hub` would ask again by itself reaches us after one attempt, and no request waits for ever."""

from __future__ import annotations

import pytest
import sending
from huggingface_hub.utils import get_session

from pipeline.errors import HubError, HubRefused
from pipeline.hub.huggingface import HuggingFace
from pipeline.hub.local.faults import Fault
from pipeline.hub.local.server import LocalHub
from pipeline.hub.protocol import Repository, Upload
from pipeline.manifest import describe

MODEL = Repository("demo/model")


@pytest.fixture
def server(tmp_path):
    with LocalHub(tmp_path / "hub") as server:
        HuggingFace(server.endpoint, "token").create(MODEL)
        server.requests.clear()
        yield server


@pytest.fixture
def upload(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"weights" * 1000)
    return Upload(path, describe(path, path.name))


def send(server, upload):
    HuggingFace(server.endpoint, "token").preupload(MODEL, upload, lambda _: None)


def test_every_request_has_an_end():
    timeout = get_session().timeout
    assert None not in {timeout.connect, timeout.read, timeout.write}


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    "fault", [Fault("status", status=503), Fault("status", status=429), Fault("drop", when="after"), Fault("drop")]
)
@pytest.mark.parametrize(
    ("way", "path"),
    # Without an answer about chunks it goes on as if none were stored.
    [(way, path) for way, asked in sending.ASKED.items() for path in asked if path != "*/chunks/*"],
    indirect=["way"],
)
def test_a_request_is_sent_once_and_no_address_is_logged(server, upload, caplog, path, fault):
    """Except by the library of Xet, which asks again in its own way."""
    server.faults.add(Fault(fault.kind, path, status=fault.status, when=fault.when))
    with pytest.raises(HubError) as caught:
        send(server, upload)
    assert not isinstance(caught.value, HubRefused)
    librarys = path in sending.ASKED["xet"] and path != "*/batch"
    assert len(server.faults.fired) == (sending.LIBRARYS_OWN if librarys else 1)
    assert not [record for record in caplog.records if record.name.startswith("huggingface_hub")]


@pytest.mark.usefixtures("without_xet")  # which has no signed addresses on the way up; test_xet.py: its token expires
def test_an_address_that_has_expired_is_asked_for_anew(server, upload):
    server.faults.add(Fault("expired", "/signed/*", nth=(1,)))
    with pytest.raises(HubError, match="the address has expired") as caught:
        send(server, upload)
    assert not isinstance(caught.value, HubRefused)
    send(server, upload)
    assert server.store.blobs.size(upload.file.sha256) == upload.file.size


@pytest.mark.usefixtures("way")
def test_an_expired_address_of_a_download_is_no_refusal_either(server, upload):
    hub = HuggingFace(server.endpoint, "token")
    hub.commit(MODEL, [upload], [], parent=hub.head(MODEL), message="x")
    server.faults.add(Fault("expired", "/signed/*", nth=(1,)))
    with pytest.raises(HubError, match="the address has expired") as caught:
        hub.read(MODEL, "main", upload.file.path, 0, 10)
    assert not isinstance(caught.value, HubRefused)
    assert hub.read(MODEL, "main", upload.file.path, 0, 7) == b"weights"
