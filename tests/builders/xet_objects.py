"""Xorbs and Xet shards as a client would upload them, or a hostile one."""

from __future__ import annotations

import hashlib
import struct

import lz4.frame

from pipeline.hub.local.xet_hashes import chunk_hash, file_hash, from_text, range_hash, xorb_hash

TAG = b"HFRepoMetaData\0" + bytes([85, 105, 103, 69, 106, 123, 129, 87, 131, 165, 189, 217, 92, 205, 209, 74, 169])
END = b"\xff" * 32 + bytes(16)


def chunk(content, scheme=0):
    if scheme == 2:
        packed = lz4.frame.compress(b"".join(content[position::4] for position in range(4)))
    else:
        packed = lz4.frame.compress(content) if scheme == 1 else content
    return header(len(packed), scheme, len(content)) + packed


def header(packed_size, scheme, size, version=0):
    return bytes([version]) + packed_size.to_bytes(3, "little") + bytes([scheme]) + size.to_bytes(3, "little")


def pairs(contents):
    return [(chunk_hash(content), len(content)) for content in contents]


def xorb(contents, scheme=0):
    """Hash and bytes."""
    return xorb_hash(pairs(contents)), b"".join(chunk(content, scheme) for content in contents)


def shard(contents, **lies):
    """A Xet shard of one file that is all chunks of one xorb, with the named fields replaced."""
    digest, _ = xorb(contents)
    chunks = pairs(contents)
    claims = {
        "xorb": digest,
        "file": file_hash(chunks),
        "start": 0,
        "end": len(chunks),
        "size": sum(size for _, size in chunks),
        "proof": range_hash(chunk for chunk, _ in chunks),
        "sha256": hashlib.sha256(b"".join(contents)).hexdigest(),
        "flags": 0xC0000000,
        "version": 2,
        "footer": 0,
        "listed": chunks,
        **lies,
    }
    file = [
        claims["file"] + struct.pack("<II8x", claims["flags"], 1),
        claims["xorb"] + struct.pack("<IIII", 0, claims["size"], claims["start"], claims["end"]),
        claims["proof"] + bytes(16),
        from_text(claims["sha256"]) + bytes(16),
    ]
    listed = [digest + struct.pack("<IIII", 0, len(claims["listed"]), claims["size"], 0)]
    listed += [chunk + struct.pack("<II8x", 0, size) for chunk, size in claims["listed"]]
    start = TAG + struct.pack("<QQ", claims["version"], claims["footer"])
    return b"".join([start, *file, END, *listed, END])


def shard_of_chunks(contents, terms):
    """A Xet shard of a file whose chunks are the given terms (xorb, start, end) of one chunk each, and of no xorb."""
    chunks = pairs(contents)
    file = [file_hash(chunks) + struct.pack("<II8x", 0xC0000000, len(terms))]
    file += [
        xorb + struct.pack("<IIII", 0, size, start, end)
        for (xorb, start, end), (_, size) in zip(terms, chunks, strict=True)
    ]
    file += [range_hash([chunk]) + bytes(16) for chunk, _ in chunks]
    file.append(from_text(hashlib.sha256(b"".join(contents)).hexdigest()) + bytes(16))
    return b"".join([TAG + struct.pack("<QQ", 2, 0), *file, END, END])
