"""Where the bytes of one file come from: the Hub itself, or its storage by a signed address, which sees no token."""

from __future__ import annotations

import contextlib
import re
import socket
from functools import partial
from typing import TYPE_CHECKING

import httpx2
from huggingface_hub import hf_hub_url
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

from pipeline.errors import HubError, HubRefused
from pipeline.hub.deadline import within
from pipeline.hub.failures import translated
from pipeline.manifest import check_relative

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.hub.protocol import Repository

# A connection on which nothing comes for this long is given up; what it brought is kept.
_TIMEOUT = httpx2.Timeout(connect=20, read=60, write=20, pool=None)
_ANSWER = 120.0  # seconds until the head of an answer is there, however steadily its bytes come
_MOST_REDIRECTS = 5
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
# Of what a signed address is answered with, these say nothing against the address.
_PASSING = {408, 425, 429}
_EXPIRED = {400, 401, 403}


class RangesIgnored(Exception):
    """A part was asked for and the whole file is being sent."""


class RemoteFile:
    """One file at one commit; `stream` may be called from several threads.

    The plain address of a file works for everything that the Hub stores, in Xet too, for which the Hub's storage puts
    files together and serves ranges of them. That is how a base comes here: the client's own way through Xet cannot go
    on in another process where one was killed, since nobody knows which bytes of its file it had written.
    """

    def __init__(
        self, endpoint: str, token: str | bool | None, repository: Repository, revision: str, path: str
    ) -> None:
        self.name = f"{path} of {repository}"
        self._url = httpx2.URL(
            hf_hub_url(
                repository.id, check_relative(path), repo_type=repository.kind, revision=revision, endpoint=endpoint
            )
        )
        self._token = token
        # The Hub counts requests for addresses, and not those of its storage: one address serves until it expires.
        self._signed: httpx2.URL | None = None
        self._streaming: set[httpx2.Response] = set()

    @contextlib.contextmanager
    def stream(self, start: int, stop: int, size: int | None) -> Iterator[httpx2.Response]:
        """The answer with the bytes from `start` to `stop` of a file that has `size` of them, if that is known.

        Raises: `RangesIgnored` unless the whole file was asked for, which is done by a request without a range.
        """
        whole = (start, stop) == (0, size)
        with translated(f"read {self.name}"):
            response = self._answer({} if whole else {"Range": f"bytes={start}-{stop - 1}"})
            self._streaming.add(response)
            try:
                hf_raise_for_status(response)
                self._check(response, start, size, whole=whole)
                yield response
            finally:
                self._streaming.discard(response)
                response.close()

    def hang_up(self) -> None:
        """End every stream that is being read in another thread, however little comes on it."""
        for response in tuple(self._streaming):
            connection = response.extensions["network_stream"].get_extra_info("socket")
            with contextlib.suppress(OSError):
                # Below TLS: `SSLSocket.shutdown` would let the other thread read ciphertext as if it were the file.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def _answer(self, byte_range: dict[str, str]) -> httpx2.Response:
        if signed := self._signed:
            response = self._follow(signed, byte_range)
            if not response.is_client_error or response.status_code in _PASSING:
                return response
            # Signed addresses expire, after an hour or less. The Hub has a new one.
            response.close()
        self._signed = None
        response = self._follow(self._url, byte_range)
        if response.status_code in _EXPIRED and not self._is_hub(response.url):
            response.close()
            raise HubError(
                f"cannot read {self.name}: the Hub's storage answered {response.status_code}, the address has expired",
                hint="Run the same command again: it goes on where it stopped.",
            )
        if response.status_code in {401, 403}:
            response.close()
            said = response.headers.get("X-Error-Message")
            raise HubRefused(
                f"cannot read {self.name}: the Hub answered {response.status_code}{f' ({said[:300]})' if said else ''}",
                hint="Look at its page on the Hub: the model may ask for agreement to its conditions. Then sign in with"
                " a token that may read it: `hf auth login`.",
            )
        return response

    def _follow(self, url: httpx2.URL, byte_range: dict[str, str]) -> httpx2.Response:
        """The first answer that is no redirect. Each step is taken here, since the client takes any that is asked."""
        for _ in range(_MOST_REDIRECTS):
            # Compression would make a range of the compressed stream out of a range of the file.
            headers = {**self._headers(url), "Accept-Encoding": "identity", **byte_range}
            session = get_session()
            request = session.build_request("GET", url, headers=headers, timeout=_TIMEOUT)
            response = within(
                _ANSWER, f"read {self.name}", partial(session.send, request, stream=True, follow_redirects=False)
            )
            if not response.has_redirect_location:
                if response.is_success and not self._is_hub(url):
                    self._signed = url
                return response
            response.close()
            url = self._next(url, response.headers["Location"])
        raise HubRefused(f"cannot read {self.name}: the Hub redirects it more than {_MOST_REDIRECTS} times")

    def _headers(self, url: httpx2.URL) -> dict[str, str]:
        return build_hf_headers(token=self._token if self._is_hub(url) else False)

    def _is_hub(self, url: httpx2.URL) -> bool:
        return _origin(url) == _origin(self._url)

    def _next(self, here: httpx2.URL, location: str) -> httpx2.URL:
        """Where a redirect leads, if it may lead there: what a base is made of never travels in the open."""
        try:
            url = here.join(location)
        except httpx2.InvalidURL as error:
            raise HubError(f"cannot read {self.name}: the Hub redirects it to no address") from error
        is_local = {url.host, self._url.host} <= _LOOPBACK and url.scheme == "http"
        if url.scheme == "https" or self._is_hub(url) or is_local:
            return url
        raise HubRefused(
            f"cannot read {self.name}: the Hub redirects it to {url.scheme}://{url.host}, which is not encrypted",
            hint="Nothing was asked of that address. Look at HF_ENDPOINT, and at what lies between here and the Hub.",
        )

    def _check(self, response: httpx2.Response, start: int, size: int | None, *, whole: bool) -> None:
        """Whether this is the part that was asked for, of a file of the size that was listed."""
        if response.status_code != httpx2.codes.PARTIAL_CONTENT:
            if not whole:
                raise RangesIgnored
            length = response.headers.get("Content-Length")
            sent_from, total = 0, int(length) if length and "Content-Encoding" not in response.headers else None
        else:
            found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
            sent_from, total = (int(found[1]), int(found[2]) if found[2] != "*" else None) if found else (-1, None)
        if sent_from != start:
            raise HubError(f"cannot read {self.name}: the Hub sent another part of it than byte {start} and following")
        if None not in {total, size} and total != size:
            raise HubError(f"cannot read {self.name}: it has {total} bytes, and {size} in the Hub's list of files")


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"https": 443, "http": 80}.get(url.scheme)
