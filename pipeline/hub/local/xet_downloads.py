"""The Xet protocol, the way down: how a file is made of chunks, and signed addresses at which those are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from pipeline.hub.local.access import check_signature, part, served
from pipeline.hub.local.ranges import byte_range
from pipeline.hub.local.refusals import BadSignature, NotFound
from pipeline.hub.local.xet_hashes import from_text, to_text
from pipeline.hub.local.xet_shards import Term
from pipeline.hub.local.xet_tokens import check_token

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from starlette.requests import Request

    from pipeline.hub.local.access import Served
    from pipeline.hub.local.xet_store import XetFile, XetStore
    from pipeline.manifest import Json

_RANGES_PER_ADDRESS = 200  # more would not fit into the first line of a request


@dataclass(frozen=True)
class _Piece:
    """Chunks `start` to before `end` of a xorb, and their packed bytes, `first` to `last` (inclusive)."""

    start: int
    end: int
    first: int
    last: int


def reconstruction(request: Request) -> JSONResponse:
    """Terms, and for every xorb one address for all pieces of it."""
    hub, terms, skipped, pieces = _asked(request)
    xorbs: dict[str, Json] = {
        xorb: [
            {
                "url": _address(hub, xorb, some),
                "ranges": [{"chunks": _span(p.start, p.end), "bytes": _span(p.first, p.last)} for p in some],
            }
            for some in _some_at_a_time(own)
        ]
        for xorb, own in pieces.items()
    }
    return JSONResponse({"offset_into_first_range": skipped, "terms": terms, "xorbs": xorbs})


def reconstruction_v1(request: Request) -> JSONResponse:
    """The same with an address for every piece."""
    hub, terms, skipped, pieces = _asked(request)
    fetch: dict[str, Json] = {
        xorb: [
            {"range": _span(p.start, p.end), "url": _address(hub, xorb, [p]), "url_range": _span(p.first, p.last)}
            for p in own
        ]
        for xorb, own in pieces.items()
    }
    return JSONResponse({"offset_into_first_range": skipped, "terms": terms, "fetch_info": fetch})


def look_at_file(request: Request) -> Response:
    check_token(request)
    return Response(headers={"Content-Length": str(_file(request).size)})


def get_pieces(request: Request) -> Response:
    """Packed bytes of a xorb; only those that the address was signed for, asked for by a `Range`."""
    check_signature(request)
    path = served(request).store.xet.xorb_path(from_text(part(request, "hash")))
    if not path.exists():
        raise NotFound("no such xorb is stored")
    signed = part(request, "ranges").split(",")
    asked = request.headers.get("range", "").removeprefix("bytes=").split(",")
    if not all(any(_within(one, whole) for whole in signed) for one in asked):
        raise BadSignature("this address was signed for other bytes")
    return FileResponse(path, media_type="application/octet-stream")


def _asked(request: Request) -> tuple[Served, list[Json], int, dict[str, list[_Piece]]]:
    """The terms of the part of a file that the request wants, plain bytes to skip before it, and the pieces."""
    check_token(request)
    file = _file(request)
    start, end = byte_range(request.headers.get("range"), file.size) or (0, file.size)
    store = served(request).store.xet
    terms, skipped = _part_of(store, file, start, end)
    rows: list[Json] = [
        {"hash": to_text(term.xorb), "unpacked_length": term.size, "range": _span(term.start, term.end)}
        for term in terms
    ]
    return served(request), rows, skipped, _pieces(store, terms)


def _file(request: Request) -> XetFile:
    file = served(request).store.xet.file(from_text(part(request, "hash")))
    if file is None:
        raise NotFound("no such file was uploaded through Xet")
    return file


def _part_of(store: XetStore, file: XetFile, start: int, end: int) -> tuple[list[Term], int]:
    """Terms with just the chunks that hold the bytes from `start` to before `end`, and how many precede `start`."""
    terms: list[Term] = []
    at = skipped = 0
    for term in file.terms:
        chunks = (store.chunks(term.xorb) or [])[term.start : term.end]
        wanted: list[tuple[int, int]] = []
        for index, chunk in enumerate(chunks, term.start):
            if at < end and at + chunk.size > start:
                if not terms and not wanted:
                    skipped = start - at
                wanted.append((index, chunk.size))
            at += chunk.size
        if wanted:
            terms.append(Term(term.xorb, wanted[0][0], wanted[-1][0] + 1, sum(size for _, size in wanted)))
    return terms, skipped


def _pieces(store: XetStore, terms: Sequence[Term]) -> dict[str, list[_Piece]]:
    """What has to be fetched of every xorb: pieces that do not overlap, in order."""
    pieces: dict[str, list[_Piece]] = {}
    for xorb in dict.fromkeys(term.xorb for term in terms):
        chunks = store.chunks(xorb) or []
        spans: list[list[int]] = []
        for start, end in sorted((term.start, term.end) for term in terms if term.xorb == xorb):
            if spans and start <= spans[-1][1]:
                spans[-1][1] = max(spans[-1][1], end)
            else:
                spans.append([start, end])
        pieces[to_text(xorb)] = [
            _Piece(start, end, chunks[start - 1].end if start else 0, chunks[end - 1].end - 1) for start, end in spans
        ]
    return pieces


def _address(hub: Served, xorb: str, pieces: Sequence[_Piece]) -> str:
    ranges = ",".join(f"{piece.first}-{piece.last}" for piece in pieces)
    return hub.files + hub.sign("GET", f"xorbs/{xorb}/{ranges}")


def _some_at_a_time(pieces: Sequence[_Piece]) -> Iterator[Sequence[_Piece]]:
    for start in range(0, len(pieces), _RANGES_PER_ADDRESS):
        yield pieces[start : start + _RANGES_PER_ADDRESS]


def _within(one: str, whole: str) -> bool:
    first, _, last = one.strip().partition("-")
    low, _, high = whole.partition("-")
    return first.isdigit() and last.isdigit() and int(low) <= int(first) <= int(last) <= int(high)


def _span(start: int, end: int) -> dict[str, Json]:
    return {"start": start, "end": end}


routes = [
    Route("/xet/{run}/v1/reconstructions/{hash}", reconstruction_v1),
    Route("/xet/{run}/v2/reconstructions/{hash}", reconstruction),
    Route("/xet/{run}/v1/files/{hash}", look_at_file, methods=["HEAD"]),
    Route("/signed/{signature}/xorbs/{hash}/{ranges}", get_pieces),
]
