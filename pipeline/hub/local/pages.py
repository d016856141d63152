"""Pages for a browser: what the Hub holds, and a repository with its card, files and tags."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.responses import HTMLResponse
from starlette.routing import Route

from pipeline.hub.local.access import account, part, served, visible

if TYPE_CHECKING:
    from starlette.requests import Request

    from pipeline.hub.local.contents import Entry
    from pipeline.hub.protocol import Repository

_STYLE = """\
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
pre { background: #f5f5f4; padding: 1rem; overflow-x: auto; font-size: 13px }
table { border-collapse: collapse } td { padding: .15rem 1.5rem .15rem 0 } td.size { text-align: right }
code, td.digest { font: 13px ui-monospace, monospace } a { color: #0b57d0 } .note { color: #666 }
"""


def index(request: Request) -> HTMLResponse:
    store = served(request).store
    shown = [r for r in store.repositories() if account(request) or not store.refs(r).private]
    rows = "".join(f"<li>{_link(f'/{repository}', str(repository))}</li>" for repository in shown)
    return _page("Local Hub", f"<p class=note>A rehearsal server on this machine.</p><ul>{rows}</ul>")


def repository_page(request: Request) -> HTMLResponse:
    """A repository at a revision, main by default."""
    repository = visible(request)
    store = served(request).store
    revision = part(request, "revision") if "revision" in request.path_params else "main"
    commit = store.resolve(repository, revision)
    tree = store.tree(repository, commit)
    tags = ", ".join(_link(f"/{repository}/tree/{quote(tag, safe='')}", tag) for tag in store.refs(repository).tags)
    card = tree.get("README.md")
    text = store.blobs.path(card.sha256).read_text("utf-8", "replace") if card else "There is no README.md."
    return _page(
        str(repository),
        f"<p class=note>{escape(revision)} is commit <code>{commit}</code>; tags: {tags or 'none'}</p>"
        f"<table>{''.join(_row(repository, commit, entry) for entry in tree.values())}</table>"
        f"<pre>{escape(text)}</pre>",
    )


def _row(repository: Repository, commit: str, entry: Entry) -> str:
    address = f"/{repository}/resolve/{commit}/{quote(entry.path)}"
    return (
        f"<tr><td>{_link(address, entry.path)}</td><td class=size>{entry.size:,}</td>"
        f"<td class=digest>{entry.etag[:16]}</td></tr>"
    )


def _link(address: str, text: str) -> str:
    return f'<a href="{escape(address)}">{escape(text)}</a>'


def _page(title: str, body: str) -> HTMLResponse:
    head = f"<!doctype html><meta charset=utf-8><title>{escape(title)}</title><style>{_STYLE}</style>"
    return HTMLResponse(f"{head}<h1>{escape(title)}</h1>{body}")


routes = [
    Route("/", index),
    Route("/{namespace}/{name}", repository_page),
    Route("/{namespace}/{name}/tree/{revision}", repository_page),
    Route("/{kind}/{namespace}/{name}", repository_page),
    Route("/{kind}/{namespace}/{name}/tree/{revision}", repository_page),
]
