from __future__ import annotations

import hashlib

import httpx2
import pytest
import xet_objects
from huggingface_hub import CommitOperationAdd

from pipeline.hub.local.xet_hashes import to_text

SIZES = (1000, 2000, 500, 4000)


@pytest.fixture
def contents(content):
    """Chunks whose hashes nobody has seen."""
    return [(content[:9] + bytes([number]) * size)[:size] for number, size in enumerate(SIZES)]


@pytest.fixture
def file(xet, contents):
    """The hash of a file that was uploaded, all of its chunks packed."""
    digest, packed = xet_objects.xorb(contents, 2)
    xet.post(f"/v1/xorbs/default/{to_text(digest)}", content=packed)
    assert xet.post("/v1/shards", content=xet_objects.shard(contents)).status_code == 200
    return to_text(xet_objects.file_hash(xet_objects.pairs(contents)))


def ask(xet, file, byte_range=None, version=2):
    headers = {"range": f"bytes={byte_range}"} if byte_range else {}
    return xet.get(f"/v{version}/reconstructions/{file}", headers=headers)


def fetched(url, pieces):
    asked = ",".join(f"{piece['start']}-{piece['end']}" for piece in pieces)
    return httpx2.get(url, headers={"range": f"bytes={asked}"})


def test_a_file_is_the_chunks_of_a_xorb(xet, file, contents):
    digest, packed = xet_objects.xorb(contents, 2)
    answer = ask(xet, file).json()
    assert answer["offset_into_first_range"] == 0
    assert answer["terms"] == [
        {"hash": to_text(digest), "unpacked_length": sum(SIZES), "range": {"start": 0, "end": 4}}
    ]
    [xorb] = answer["xorbs"][to_text(digest)]
    assert xorb["ranges"] == [{"chunks": {"start": 0, "end": 4}, "bytes": {"start": 0, "end": len(packed) - 1}}]
    got = fetched(xorb["url"], [xorb["ranges"][0]["bytes"]])
    assert (got.status_code, got.content) == (206, packed)


def test_the_older_answer_has_an_address_for_every_piece(xet, file, contents):
    digest, packed = xet_objects.xorb(contents, 2)
    answer = ask(xet, file, version=1).json()
    [piece] = answer["fetch_info"][to_text(digest)]
    assert piece["range"] == {"start": 0, "end": 4}
    assert fetched(piece["url"], [piece["url_range"]]).content == packed


@pytest.mark.parametrize(
    ("byte_range", "chunks", "skipped"),
    [
        ("0-0", (0, 1), 0),
        ("999-1000", (0, 2), 999),
        ("1000-2999", (1, 2), 0),
        ("3100-3200", (2, 3), 100),
        ("3400-", (2, 4), 400),
        ("-1", (3, 4), 3999),
        ("0-1000000", (0, 4), 0),
    ],
)
def test_a_part_of_a_file_needs_just_the_chunks_that_hold_it(xet, file, byte_range, chunks, skipped):
    answer = ask(xet, file, byte_range).json()
    [term] = answer["terms"]
    assert (term["range"]["start"], term["range"]["end"]) == chunks
    assert term["unpacked_length"] == sum(SIZES[slice(*chunks)])
    assert answer["offset_into_first_range"] == skipped


def test_what_does_not_exist(xet, file):
    assert ask(xet, "0" * 64).status_code == 404
    assert ask(xet, "nonsense").status_code == 400
    assert ask(xet, file, f"{sum(SIZES)}-").status_code == 416
    assert xet.head(f"/v1/files/{file}").headers["content-length"] == str(sum(SIZES))
    assert xet.head(f"/v1/files/{'0' * 64}").status_code == 404


def test_an_address_is_good_for_its_own_bytes_only(xet, file, contents):
    digest, packed = xet_objects.xorb(contents, 2)
    [xorb] = ask(xet, file, "1000-1500").json()["xorbs"][to_text(digest)]
    piece = xorb["ranges"][0]["bytes"]
    assert 0 < piece["start"] < piece["end"] < len(packed) - 1
    assert fetched(xorb["url"], [piece]).status_code == 206
    inside = {"start": piece["start"] + 1, "end": piece["end"] - 1}
    assert fetched(xorb["url"], [inside]).content == packed[inside["start"] : inside["end"] + 1]
    for wrong in ({"start": 0, "end": piece["end"]}, {"start": piece["start"], "end": piece["end"] + 1}):
        assert fetched(xorb["url"], [wrong]).status_code == 403
        assert fetched(xorb["url"], [piece, wrong]).status_code == 403
    assert httpx2.get(xorb["url"]).status_code == 403
    forged = xorb["url"].rpartition("/")[0] + f"/0-{len(packed) - 1}"
    assert fetched(forged, [{"start": 0, "end": 1}]).status_code == 403


def test_pieces_of_one_xorb_come_in_one_answer(xet, contents):
    """A file that uses the first and the last chunk."""
    digest, packed = xet_objects.xorb(contents)
    xet.post(f"/v1/xorbs/default/{to_text(digest)}", content=packed)
    used = [contents[0], contents[3]]
    shard = xet_objects.shard_of_chunks(used, [(digest, 0, 1), (digest, 3, 4)])
    assert xet.post("/v1/shards", content=shard).status_code == 200
    file = to_text(xet_objects.file_hash(xet_objects.pairs(used)))
    answer = ask(xet, file).json()
    assert [term["range"]["start"] for term in answer["terms"]] == [0, 3]
    [xorb] = answer["xorbs"][to_text(digest)]
    got = fetched(xorb["url"], [piece["bytes"] for piece in xorb["ranges"]])
    assert got.headers["content-type"].startswith("multipart/byteranges")
    assert all(content in got.content for content in used)


def test_a_client_without_xet_gets_the_same_bytes(file, hub, api, repo, contents):
    whole = b"".join(contents)
    sha256 = hashlib.sha256(whole).hexdigest()
    api.create_commit(repo, [CommitOperationAdd("a.safetensors", whole)], commit_message="x")
    url = f"{hub.endpoint}/{repo}/resolve/main/a.safetensors"
    assert not hub.store.blobs.path(sha256).exists()
    head = httpx2.head(url)
    assert (head.headers["x-xet-hash"], head.headers["x-linked-etag"]) == (file, f'"{sha256}"')
    assert httpx2.get(head.links["xet-auth"]["url"]).json()["accessToken"]
    assert head.links["xet-reconstruction-info"]["url"].endswith(f"/v1/reconstructions/{file}")
    assert httpx2.get(url, follow_redirects=True).content == whole
    wanted = "application/vnd.xet-fileinfo+json"
    told = httpx2.get(url, headers={"accept": f"{wanted}, */*", "range": "bytes=0-0"})
    assert (told.status_code, told.headers["content-type"], told.headers["x-xet-hash"]) == (200, wanted, file)
    assert httpx2.head(head.headers["location"]).headers["content-length"] == str(len(whole))
