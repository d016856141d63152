"""Turns the client's many exceptions into two: ask again later, or do something about it."""

from __future__ import annotations

import contextlib
import json
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import httpx2
from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError, OIDCError
from huggingface_hub.utils import parse_ratelimit_headers

from pipeline.errors import BlobsGone, HubError, HubRefused, Overtaken, PipelineError
from pipeline.hub.said import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_AGAIN = "Run the same command again: it goes on where it stopped."
_NO_ROOM = (
    "The Hub takes no more data for this account or file: look at its storage, https://huggingface.co/settings/storage."
)
_HINTS = {
    401: "Sign in with `hf auth login`, or set HF_TOKEN to a token that may write.",
    403: "Use a token that may write to this repository: `hf auth login`.",
    404: "Check the repository's name, and that your token may see it.",
    413: _NO_ROOM,
}
_KEYLESS = (
    "HF_OIDC_RESOURCE asks for a token of a Trusted Publisher: the job needs `permissions: id-token: write`, and the "
    "settings of that repository must name this workflow. docs/github.md tells how."
)
_EXCHANGE = "/oauth/token"
# Timeouts, rate limits and the server's own troubles pass; every other status says the same again.
_PASSING = {408, 425, 429}
# Uploads through Xet fail as ConnectionError whatever the answer was. Other statuses may mean that the client remembers
# what the Hub has forgotten, which another way of sending the file gets around.
_XET_STATUS = re.compile(r"HTTP status client error \((401|403|404|413)\b")
_XET_TOKEN = "/xet-write-token/"  # noqa: S105 - where the client asks the Hub for a token that only Xet takes
_EXPIRED = {400, 401, 403}
# What the Hub says of an account that is full comes as 403, like a token that may not write.
_FULL = re.compile(r"storage (limit|quota|patterns)|quota|upgrade your plan", re.IGNORECASE)
_GONE = "LFS pointer pointed to a file that does not exist"
_LISTED = re.compile(r"(?:^|\s)- (\S.*?)(?=\s- |$)")


@contextlib.contextmanager
def translated(action: str) -> Iterator[None]:
    """Raise what goes wrong inside as `HubError` or `HubRefused`, saying that it was while trying to `action`.

    Tokens, and what makes a signed address valid, are left out of the message.
    """
    try:
        yield
    except PipelineError:
        raise
    except (LocalTokenNotFoundError, OIDCError) as error:
        raise _no_token(action, error) from error
    except (OSError, ValueError, RuntimeError, KeyError, httpx2.HTTPError) as error:
        raise _failure(action, error) from error


def passing(status: int) -> bool:
    """Whether the same request may be answered otherwise later."""
    return status in _PASSING or status >= 500


def _failure(action: str, error: BaseException) -> PipelineError:
    inner = _cause(error)
    if isinstance(inner, PipelineError):
        return inner
    if isinstance(inner, HfHubHTTPError | httpx2.HTTPStatusError):
        return _by_status(action, inner)
    if isinstance(inner, httpx2.TransportError | ConnectionError | TimeoutError):
        return _by_connection(action, inner)
    # The client looks into answers without checking them.
    if isinstance(inner, json.JSONDecodeError | UnicodeDecodeError | KeyError):
        return HubError(f"cannot {action}: the answer makes no sense", hint=_AGAIN)
    if isinstance(inner, ValueError):
        said = one_line(inner)
        return HubRefused(f"cannot {action}: {said}", hint=_NO_ROOM if _FULL.search(said) else "")
    if isinstance(inner, OSError) and inner.errno is not None:
        raise inner
    return HubError(f"cannot {action}: {one_line(inner)}", hint=_AGAIN)


def _by_connection(action: str, error: BaseException) -> HubError:
    if found := _XET_STATUS.search(str(error)):
        status = int(found[1])
        if status == httpx2.codes.UNAUTHORIZED and _XET_TOKEN not in str(error):
            return HubError(f"cannot {action}: the token for Xet has expired", hint=_AGAIN)
        # Why it is refused stays with the library: a full account is 403 as well.
        more = f" {_NO_ROOM}" if status == httpx2.codes.FORBIDDEN else ""
        return HubRefused(f"cannot {action}: the Hub answered {status}", hint=_HINTS[status] + more)
    said = type(error).__name__ if isinstance(error, httpx2.TransportError) else one_line(error)
    return HubError(f"cannot {action}: the connection failed ({said})", hint=_AGAIN)


def _no_token(action: str, error: LocalTokenNotFoundError | OIDCError) -> HubRefused:
    if isinstance(error, OIDCError):
        return HubRefused(f"cannot {action}: {one_line(error)}", hint=_KEYLESS)
    return HubRefused(f"cannot {action}: there is no token", hint=_HINTS[401])


def _by_status(action: str, error: HfHubHTTPError | httpx2.HTTPStatusError) -> HubError:
    status = error.response.status_code
    whole = str(getattr(error, "server_message", None) or "")
    said = one_line(whole) if whole else ""
    message = f"cannot {action}: the Hub answered {status}" + (f" ({said})" if said else "")
    if passing(status):
        asked = _asked_wait(error.response.headers)
        hint = f"The Hub asks to wait {asked:.0f} s. {_AGAIN}" if asked else _AGAIN
        return HubError(message, hint=hint, retry_after=asked)
    if error.response.url.path == _EXCHANGE:
        return HubRefused(message, hint=_KEYLESS)
    if status in _EXPIRED and _was_signed(error.response):
        return HubError(f"cannot {action}: the Hub's storage answered {status}, the address has expired", hint=_AGAIN)
    if status == httpx2.codes.PRECONDITION_FAILED:
        hint = "Somebody else committed to the repository meanwhile. Look at it, then run the same command again."
        return Overtaken(message, hint=hint)
    if _GONE in whole:
        return BlobsGone(
            f"cannot {action}: the Hub has dropped files that were sent to it", hint=_AGAIN, paths=_listed(whole)
        )
    return HubRefused(message, hint=_NO_ROOM if _FULL.search(said) else _HINTS.get(status, ""))


def _was_signed(response: httpx2.Response) -> bool:
    """Whether the address itself was the permission: it came with a redirect or a batch, and no token was sent."""
    request = response.request
    by_redirect, writing = bool(response.history), request.method not in {"GET", "HEAD"}
    return "authorization" not in request.headers and (by_redirect or writing)


def _listed(said: str) -> tuple[str, ...]:
    """The files in the Hub's list of those whose bytes are gone: one a line in its body, all on one in its header."""
    lines = [line for line in said.splitlines() if line.startswith("- ")]
    found = [line[2:].strip() for line in lines] or _LISTED.findall(said.partition("Offending file")[2])
    return tuple(dict.fromkeys(found))


def _cause(error: BaseException) -> BaseException:
    """The client wraps a failed upload as RuntimeError; what went wrong is its cause."""
    while isinstance(error, RuntimeError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _asked_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds until the Hub wants to be asked again, by `RateLimit` or by `Retry-After` in either of its forms."""
    limit = parse_ratelimit_headers(headers)
    if limit is not None and limit.remaining == 0:
        return limit.reset_in_seconds + 1.0  # it counts whole seconds
    value = headers.get("Retry-After", "").strip()
    if value.isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (moment.astimezone(UTC) - datetime.now(UTC)).total_seconds())
