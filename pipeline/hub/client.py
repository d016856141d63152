"""The HTTP client under `huggingface_hub`: no request waits for ever, and none is sent again behind our back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2
from huggingface_hub import set_client_factory
from huggingface_hub.utils import hf_raise_for_status

from pipeline.hub.failures import passing

if TYPE_CHECKING:
    from typing import Any

# Seconds of silence. The client's own default is to wait for ever, and a commit of many files may take the Hub minutes.
TIMEOUT = httpx2.Timeout(connect=20, read=300, write=120, pool=None)


class Unanswered(ConnectionError):
    """The connection failed, in the words of `httpx2`'s exception."""


class _OneAttempt(httpx2.Client):
    """Raises whatever `huggingface_hub` would ask again by itself, past it.

    It does so for some of its calls, up to six times, logging the addresses, secrets included; and it does not say how
    long it waits. `pipeline.hub.retry` decides about all calls alike.
    """

    def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:  # noqa: ANN401 - whatever it takes
        try:
            response = super().send(request, **options)
        except httpx2.TransportError as error:
            raise Unanswered(type(error).__name__) from error
        if passing(response.status_code):
            response.read()
            hf_raise_for_status(response)
        return response


def _client() -> httpx2.Client:
    return _OneAttempt(follow_redirects=True, timeout=TIMEOUT)


def install() -> None:
    """Make every call of `huggingface_hub` in this process use it."""
    set_client_factory(_client)
