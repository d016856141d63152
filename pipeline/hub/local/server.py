"""Runs the local Hub inside this process, on two ports of 127.0.0.1, and finds one that runs in another."""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import secrets
import signal
import socket
import threading
import time
from collections import deque
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import uvicorn

from pipeline.errors import UsageError, WorkspaceError
from pipeline.hub.local.access import Served
from pipeline.hub.local.app import RequestLine, files_app, hub_app
from pipeline.hub.local.blobs import make_folder
from pipeline.hub.local.faults import Faults
from pipeline.hub.local.faulty import Droppable
from pipeline.hub.local.store import Store
from pipeline.hub.local.xet_address import keep_port, read_address
from pipeline.manifest import write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from typing import Self

    from starlette.types import ASGIApp

HOST = "127.0.0.1"
PART_SIZE = 256 * 2**20
_REMEMBERED_REQUESTS = 10_000
_LOCK_PATIENCE = 0.5  # seconds; `find_running` holds the lock for a moment to see whether anyone else does


class LocalHub:
    """A Hub that lives as long as the `with` block: `endpoint` is its address, `store` what it serves.

    A rehearsal server: it listens on 127.0.0.1 only and, without `tokens` (token to account), takes any token for the
    account `demo`. `readonly` takes no lock, writes nothing, not even `root`, and answers writing requests with 403.
    Files larger than `part_size` bytes are uploaded in parts. `faults` go wrong on purpose. `WorkspaceError` when
    another process serves `root`.
    """

    def __init__(
        self,
        root: Path,
        port: int = 0,
        *,
        readonly: bool = False,
        tokens: Mapping[str, str] | None = None,
        part_size: int = PART_SIZE,
        faults: Faults | None = None,
    ) -> None:
        self.faults = faults or Faults()
        self.store = Store(root, readonly=readonly)
        self.endpoint = ""
        self.requests: deque[RequestLine] = deque(maxlen=_REMEMBERED_REQUESTS)
        self._root = root
        self._port = port
        self._tokens = tokens
        self._part_size = part_size
        self._running = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            if not self.store.readonly:
                stack.enter_context(_owned(self._root))
                self.store.blobs.discard_incoming()
            hub_socket = stack.enter_context(closing(_listen(self._port)))
            files_socket = stack.enter_context(closing(self._listen_again()))
            self.endpoint, files = _address(hub_socket), _address(files_socket)
            hub = Served(
                self.store, self.endpoint, files, self._tokens, self._part_size, secrets.token_bytes(), self.faults
            )
            applications: list[tuple[ASGIApp, socket.socket]] = [
                (hub_app(hub, self.requests.append), hub_socket),
                (files_app(hub, self.requests.append), files_socket),
            ]
            stack.enter_context(_serving(applications))
            if not self.store.readonly:
                announced = {"endpoint": self.endpoint, "pid": os.getpid()}
                write_atomically(self._root / "server.json", json.dumps(announced))
                stack.callback((self._root / "server.json").unlink, missing_ok=True)
            self._running = stack.pop_all()
        return self

    def _listen_again(self) -> socket.socket:
        """The second origin, on the port that it had before unless that is taken."""
        xet = self.store.xet.root
        if self.store.readonly:
            return _listen(0)
        try:
            listener = _listen(read_address(xet).port)
        except UsageError:
            listener = _listen(0)
        keep_port(xet, listener.getsockname()[1])
        return listener

    def __exit__(self, *exception: object) -> None:
        self._running.close()


def serve(
    root: Path,
    on_ready: Callable[[str], None],
    *,
    port: int = 0,
    tokens: Mapping[str, str] | None = None,
    faults: Faults | None = None,
) -> None:
    """Serve `root` until SIGINT or SIGTERM; `on_ready` is told the endpoint. For the main thread."""
    stop = threading.Event()
    with ExitStack() as stack:
        for number in (signal.SIGINT, signal.SIGTERM):
            stack.callback(signal.signal, number, signal.signal(number, lambda *_: stop.set()))
        hub = stack.enter_context(LocalHub(root, port, tokens=tokens, faults=faults))
        on_ready(hub.endpoint)
        stop.wait()


def find_running(root: Path) -> str | None:
    """The endpoint of the server that owns `root`; None when no process does, or when it does not answer."""
    if not _is_owned(root):
        return None
    try:
        announced = json.loads((root / "server.json").read_bytes())
        address = urlsplit(announced["endpoint"])
        with closing(http.client.HTTPConnection(HOST, address.port, timeout=2)) as connection:
            connection.request("GET", "/api/local-hub")
            answer = json.loads(connection.getresponse().read())
    except (OSError, ValueError, http.client.HTTPException):
        return None
    return str(announced["endpoint"]) if answer == {"pid": announced["pid"]} else None


def _is_owned(root: Path) -> bool:
    """Whether a process holds the lock; without that, server.json is left over from a killed server."""
    try:
        with (root / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@contextmanager
def _owned(root: Path) -> Iterator[None]:
    """Hold the lock that only one server may hold; the system lets go of it when the process dies."""
    make_folder(root)
    with (root / "lock").open("ab") as lock:
        deadline = time.monotonic() + _LOCK_PATIENCE
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise WorkspaceError(
                        f"another process serves the local Hub in {root}",
                        hint="Use that one, or stop it first: one folder has one server.",
                    ) from None
                time.sleep(0.02)
            else:
                break
        (root / "server.json").unlink(missing_ok=True)
        yield


def _listen(port: int) -> socket.socket:
    # With the protocol spelt out asyncio turns Nagle's algorithm off; without it every answer takes 40 ms more.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        raise UsageError(
            f"the local Hub cannot listen on port {port}: {error.strerror}", hint="Choose another port, or 0 for any."
        ) from None
    listener.listen(128)
    return listener


def _address(listener: socket.socket) -> str:
    return f"http://{HOST}:{listener.getsockname()[1]}"


@contextmanager
def _serving(applications: list[tuple[ASGIApp, socket.socket]]) -> Iterator[None]:
    """One thread with its own event loop for each application, so that large files do not hold up the Hub."""
    servers = []
    threads = []
    for application, listener in applications:
        # A silent library: uvicorn's own log says nothing that the answers do not, and bugs are logged by the app.
        settings = uvicorn.Config(
            application,
            loop="asyncio",
            http=Droppable,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=0,
        )
        server = uvicorn.Server(settings)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="local-hub", daemon=True)
        thread.start()
        servers.append(server)
        threads.append(thread)
    try:
        while any(thread.is_alive() and not server.started for server, thread in zip(servers, threads, strict=True)):
            time.sleep(0.002)
        yield
    finally:
        for server in servers:
            server.should_exit = True
        for thread in threads:
            thread.join()
