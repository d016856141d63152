"""Turns the client's many exceptions into two: ask again later, or do something about it."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

import httpx2
from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError, OIDCError

from pipeline.errors import HubError, HubRefused, PipelineError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_AGAIN = "Run the same command again: it goes on where it stopped."
_HINTS = {
    401: "Sign in with `hf auth login`, or set HF_TOKEN to a token that may write.",
    403: "Use a token that may write to this repository: `hf auth login`.",
    404: "Check the repository's name, and that your token may see it.",
    412: "Somebody else committed to the repository meanwhile. Look at it, then run the same command again.",
    413: "The Hub takes no more data for this account or file: look at its storage quota.",
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


@contextlib.contextmanager
def translated(action: str) -> Iterator[None]:
    """Raise what goes wrong inside as `HubError` or `HubRefused`, saying that it was while trying to `action`.

    Addresses are left out of the message: signed ones carry secrets.
    """
    try:
        yield
    except PipelineError:
        raise
    except (OSError, ValueError, RuntimeError, httpx2.HTTPError, OIDCError) as error:
        raise _failure(action, error) from error


def _failure(action: str, error: BaseException) -> PipelineError:
    inner = _cause(error)
    if isinstance(inner, PipelineError):
        return inner
    if isinstance(inner, LocalTokenNotFoundError | OIDCError):
        return _no_token(action, inner)
    if isinstance(inner, HfHubHTTPError | httpx2.HTTPStatusError):
        return _by_status(action, inner)
    if isinstance(inner, httpx2.TransportError | ConnectionError | TimeoutError):
        return _by_connection(action, inner)
    if isinstance(inner, ValueError):
        return HubRefused(f"cannot {action}: {_first_line(inner)}")
    if isinstance(inner, OSError) and inner.errno is not None:
        raise inner
    return HubError(f"cannot {action}: {_first_line(inner)}", hint=_AGAIN)


def _by_connection(action: str, error: BaseException) -> HubError:
    if found := _XET_STATUS.search(str(error)):
        status = int(found[1])
        return HubRefused(f"cannot {action}: the Hub answered {status}", hint=_HINTS[status])
    return HubError(f"cannot {action}: the connection failed ({type(error).__name__})", hint=_AGAIN)


def _no_token(action: str, error: LocalTokenNotFoundError | OIDCError) -> HubRefused:
    if isinstance(error, OIDCError):
        return HubRefused(f"cannot {action}: {_first_line(error)}", hint=_KEYLESS)
    return HubRefused(f"cannot {action}: there is no token", hint=_HINTS[401])


def _by_status(action: str, error: HfHubHTTPError | httpx2.HTTPStatusError) -> HubError:
    status = error.response.status_code
    said = getattr(error, "server_message", None)
    message = f"cannot {action}: the Hub answered {status}" + (f" ({_first_line(said)})" if said else "")
    if status in _PASSING or status >= 500:
        return HubError(message, hint=_AGAIN, retry_after=_retry_after(error.response.headers))
    keyless = error.response.url.path == _EXCHANGE
    return HubRefused(message, hint=_KEYLESS if keyless else _HINTS.get(status, ""))


def _cause(error: BaseException) -> BaseException:
    """The client wraps a failed upload as RuntimeError; what went wrong is its cause."""
    while isinstance(error, RuntimeError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _retry_after(headers: Mapping[str, str]) -> float | None:
    value = headers.get("Retry-After", "")
    return float(value) if value.isdigit() else None


def _first_line(value: object) -> str:
    lines = [line.strip() for line in str(value).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(value).__name__
