"""One file through Xet, by the client's own library: with progress, and an end when it is asked for."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from huggingface_hub.utils import build_hf_headers
from huggingface_hub.utils._runtime import is_xet_available
from huggingface_hub.utils._xet import (
    XetTokenType,
    get_xet_session,
    xet_connection_info_refresh_url,
    xet_headers_without_auth,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.hub.protocol import Repository, Upload

SETTINGS = {
    # What was sent is noted down after every xorb (at most 64 MB). By default that is done every 64 xorbs or every
    # 20 to 40 seconds, and what is not noted down when the process is killed is sent again.
    "HF_XET_DATA_SESSION_XORB_METADATA_FLUSH_MAX_COUNT": "1",
    # Xorbs on their way at once, and so lost by a kill: 256 MB at most instead of 4 GB.
    "HF_XET_CLIENT_AC_MAX_UPLOAD_CONCURRENCY": "4",
}
"""Read by the library at its first use, from the environment, where the user's own settings win."""

_LOOK_AGAIN = 0.2  # seconds


def is_available() -> bool:
    """Whether the library is installed and was not switched off by HF_HUB_DISABLE_XET."""
    return bool(is_xet_available())


def upload(
    endpoint: str, token: str | None, repository: Repository, upload: Upload, advance: Callable[[int], None]
) -> None:
    """Send what the Hub does not hold of a file; `advance` hears of every byte that is done with, sent or not.

    An exception that `advance` raises ends the upload. Failures are for `pipeline.hub.failures` to translate.
    """
    headers = build_hf_headers(token=token)
    refresh = xet_connection_info_refresh_url(
        token_type=XetTokenType.WRITE,
        repo_id=repository.id,
        repo_type=repository.kind,
        revision="main",
        endpoint=endpoint,
    )
    done = 0

    def tell(so_far: int) -> None:
        nonlocal done
        news = max(0, min(so_far, upload.file.size) - done)
        done += news
        advance(news)

    with ThreadPoolExecutor(1) as executor:
        commit = get_xet_session().new_upload_commit(  # type: ignore[no-untyped-call]
            token_refresh_url=refresh,
            token_refresh_headers=headers,
            custom_headers=xet_headers_without_auth(headers),
        )
        try:
            commit.start_upload_file(str(upload.source), sha256=upload.file.sha256)
            finished = executor.submit(commit.wait_to_finish)
            while not wait([finished], _LOOK_AGAIN).done:
                tell(commit.progress().total_bytes_completed)
            finished.result()
            tell(upload.file.size)
        except BaseException:
            commit.abort()
            raise
