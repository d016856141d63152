"""What was uploaded through Xet, on disk: xorbs as they came, files as lists of terms, all of it proven first.

xet/xorbs/ab/HASH            packed chunks, one after the other
xet/xorbs/ab/HASH.chunks     hash, size and end of every chunk; written before the xorb, which exists when it does
xet/files/ab/HASH.json       SHA-256, size and terms of a file
xet/sha256/ab/SHA256         the hash of the file with this SHA-256
xet/chunks/ab/HASH           the xorb that holds a chunk which is offered for deduplication
xet/address.json             see xet_address.py
"""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.hub.local.blobs import make_folder
from pipeline.hub.local.refusals import ReadOnly, Refusal
from pipeline.hub.local.xet_address import renew_name
from pipeline.hub.local.xet_hashes import file_hash, from_text, is_shared, range_hash, to_text, xorb_hash
from pipeline.hub.local.xet_shards import Term
from pipeline.hub.local.xet_xorbs import plain_chunks, read_table, read_xorb, write_table
from pipeline.manifest import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pipeline.hub.local.xet_shards import FileClaim, XorbClaim
    from pipeline.hub.local.xet_xorbs import Chunk

_BLOCK = 1 << 20


@dataclass(frozen=True)
class XetFile:
    digest: bytes
    sha256: str
    size: int
    terms: tuple[Term, ...]

    @property
    def id(self) -> str:
        return to_text(self.digest)


class XetStore:
    """Xorbs and files under `root`/xet; each is there whole or not at all, whenever the process is killed."""

    def __init__(self, root: Path, *, readonly: bool = False) -> None:
        self.root = root / "xet"
        self._readonly = readonly
        self._lock = threading.Lock()
        self._sweeping = threading.Lock()

    def xorb_path(self, digest: bytes) -> Path:
        """Where the xorb is, or would be."""
        return self._path("xorbs", to_text(digest))

    def chunks(self, digest: bytes) -> list[Chunk] | None:
        """The chunks of a stored xorb; None when it is not stored."""
        path = self.xorb_path(digest)
        return read_table(path.with_suffix(".chunks").read_bytes()) if path.exists() else None

    def add_xorb(self, digest: bytes, content: bytes) -> bool:
        """Store a xorb unless it is stored; `Refusal` when its chunks do not make up this hash."""
        self._check_writable()
        chunks = read_xorb(content)
        if (found := xorb_hash([(chunk.digest, chunk.size) for chunk in chunks])) != digest:
            raise Refusal(f"the xorb has the hash {to_text(found)}, not {to_text(digest)}")
        path = self.xorb_path(digest)
        if path.exists():
            return False
        self._write(path.with_suffix(".chunks"), write_table(chunks))
        self._write(path, content)
        return True

    def register(self, files: Sequence[FileClaim], xorbs: Sequence[XorbClaim]) -> Iterator[tuple[int, int]]:
        """Make files known, once everything said of them is proven; yields how many terms of all have been read."""
        self._check_writable()
        for xorb in xorbs:
            self._check_xorb(xorb)
        proven = [self._proven(claim) for claim in files]
        new = [file for file in proven if self.file(file.digest) is None]
        done, total = 0, sum(len(file.terms) for file in new)
        for file in new:
            digest = hashlib.sha256()
            for term in file.terms:
                yield done, total
                for plain in self._plain(term, 0, term.size):
                    digest.update(plain)
                done += 1
            if digest.hexdigest() != file.sha256:
                raise Refusal(f"the file {file.id} has the SHA-256 {digest.hexdigest()}, not {file.sha256}")
        yield total, total
        self._keep(new, xorbs)

    def file(self, digest: bytes) -> XetFile | None:
        try:
            record = json.loads(self._path("files", to_text(digest)).with_suffix(".json").read_bytes())
        except FileNotFoundError:
            return None
        terms = tuple(Term(from_text(xorb), start, end, size) for xorb, start, end, size in record["terms"])
        return XetFile(digest, record["sha256"], record["size"], terms)

    def with_sha256(self, sha256: str) -> XetFile | None:
        try:
            return self.file(from_text(self._path("sha256", sha256).read_text()))
        except FileNotFoundError:
            return None

    def stored(self) -> list[str]:
        """The SHA-256 of every file, in order."""
        return sorted(path.name for path in self.root.glob("sha256/*/*") if self.with_sha256(path.name))

    def drop(self, sha256: str) -> set[bytes]:
        """Forget a file that no commit refers to, and the xorbs that it is made of; other files may be too: `sweep`."""
        self._check_writable()
        dropped = [file for file in self._files() if file.sha256 == sha256]
        for file in dropped:
            self._path("files", file.id).with_suffix(".json").unlink(missing_ok=True)
        return {term.xorb for file in dropped for term in file.terms}

    def sweep(self, among: set[bytes] | None = None) -> None:
        """Drop the xorbs of which no file is made, all of them or those `among` some, and what points at them.

        Clients remember chunks of theirs as stored for good: from now on the address that they remember it by is gone.
        """
        self._check_writable()
        with self._sweeping:
            stored = {from_text(path.name) for path in self.root.glob("xorbs/*/*") if not path.suffix}
            needed = {term.xorb for file in self._files() for term in file.terms}
            unneeded = {to_text(xorb) for xorb in (stored if among is None else stored & among) - needed}
            for name in unneeded:
                self._path("xorbs", name).unlink()
                self._path("xorbs", name).with_suffix(".chunks").unlink()
            for offer in self.root.glob("chunks/*/*"):
                if offer.read_text() in unneeded:
                    offer.unlink()
            if unneeded:
                renew_name(self.root)

    def _files(self) -> Iterator[XetFile]:
        known = (self.file(from_text(path.stem)) for path in self.root.glob("files/*/*.json"))
        return (file for file in known if file)

    def xorb_of(self, chunk: bytes) -> bytes | None:
        """A xorb that holds this chunk, if the chunk is one that is offered for deduplication."""
        try:
            return from_text(self._path("chunks", to_text(chunk)).read_text())
        except FileNotFoundError:
            return None

    def read(self, file: XetFile, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The plain bytes of a file from `start` to before `end`, in blocks of about 1 MB."""
        end = file.size if end is None else end
        block = bytearray()
        at = 0
        for term in file.terms:
            if at < end and at + term.size > start:
                for plain in self._plain(term, max(0, start - at), end - at):
                    block += plain
                    if len(block) >= _BLOCK:
                        yield bytes(block)
                        block.clear()
            at += term.size
        if block:
            yield bytes(block)

    def _plain(self, term: Term, start: int, end: int) -> Iterator[bytes]:
        """The part of a term between two of its plain bytes, chunk by chunk."""
        table = self.chunks(term.xorb) or []
        packed_at = table[term.start - 1].end if term.start else 0
        at = 0
        with self.xorb_path(term.xorb).open("rb") as packed:
            for chunk in table[term.start : term.end]:
                if at < end and at + chunk.size > start:
                    packed.seek(packed_at)
                    for plain in plain_chunks(packed.read(chunk.end - packed_at)):
                        yield plain[max(0, start - at) : end - at]
                packed_at = chunk.end
                at += chunk.size

    def _term_chunks(self, term: Term) -> list[Chunk]:
        chunks = self.chunks(term.xorb)
        if chunks is None:
            raise Refusal(f"the xorb {to_text(term.xorb)} was never uploaded")
        if not term.start < term.end <= len(chunks):
            raise Refusal(
                f"a file uses chunks {term.start} to {term.end} of the {len(chunks)} of xorb {to_text(term.xorb)}"
            )
        return chunks[term.start : term.end]

    def _check_xorb(self, claim: XorbClaim) -> None:
        chunks = self.chunks(claim.digest)
        if chunks is None:
            raise Refusal(f"the xorb {to_text(claim.digest)} was never uploaded")
        if tuple((chunk.digest, chunk.size) for chunk in chunks) != claim.chunks:
            raise Refusal(f"the xorb {to_text(claim.digest)} has other chunks than the Xet shard says")

    def _proven(self, claim: FileClaim) -> XetFile:
        """The file of a claim whose every term, length and hash is true; its SHA-256 is left to prove."""
        pairs: list[tuple[bytes, int]] = []
        for term, proof in zip(claim.terms, claim.range_hashes, strict=True):
            chunks = self._term_chunks(term)
            if sum(chunk.size for chunk in chunks) != term.size:
                raise Refusal(
                    f"a term of the file {to_text(claim.digest)} does not have the {term.size} bytes that it claims"
                )
            if range_hash(chunk.digest for chunk in chunks) != proof:
                raise Refusal(f"the hash of a term of the file {to_text(claim.digest)} is wrong")
            pairs += [(chunk.digest, chunk.size) for chunk in chunks]
        if (found := file_hash(pairs)) != claim.digest:
            raise Refusal(f"the file has the hash {to_text(found)}, not {to_text(claim.digest)}")
        if (known := self.file(claim.digest)) and known.sha256 != claim.sha256:
            raise Refusal(f"the file {known.id} has the SHA-256 {known.sha256}, not {claim.sha256}")
        return XetFile(claim.digest, claim.sha256, sum(size for _, size in pairs), claim.terms)

    def _keep(self, files: Sequence[XetFile], xorbs: Sequence[XorbClaim]) -> None:
        with self._sweeping:
            used = {term.xorb for file in files for term in file.terms} | {xorb.digest for xorb in xorbs}
            if gone := [xorb for xorb in used if not self.xorb_path(xorb).exists()]:
                raise Refusal(f"the xorb {to_text(gone[0])} was dropped meanwhile")
            for file in files:
                self._remember(file)
            for xorb in xorbs:
                for chunk, _ in xorb.chunks:
                    if is_shared(chunk):
                        self._offer(chunk, xorb.digest)

    def _remember(self, file: XetFile) -> None:
        """From here on the file can be committed, read and deduplicated against; it exists once its own record does."""
        record = {
            "sha256": file.sha256,
            "size": file.size,
            "terms": [[to_text(term.xorb), term.start, term.end, term.size] for term in file.terms],
        }
        if self.with_sha256(file.sha256) is None:  # the same bytes in other chunks are another file here
            self._write(self._path("sha256", file.sha256), file.id.encode())
        self._write(self._path("files", file.id).with_suffix(".json"), json.dumps(record).encode())
        for first in file.terms[:1]:
            self._offer(self._term_chunks(first)[0].digest, first.xorb)

    def _offer(self, chunk: bytes, xorb: bytes) -> None:
        self._write(self._path("chunks", to_text(chunk)), to_text(xorb).encode())

    def _write(self, path: Path, content: bytes) -> None:
        with self._lock:  # two requests may write one path at once
            make_folder(path.parent)
            write_atomically(path, content)

    def _path(self, kind: str, name: str) -> Path:
        return self.root / kind / name[:2] / name

    def _check_writable(self) -> None:
        if self._readonly:
            raise ReadOnly("this Hub is read-only")
