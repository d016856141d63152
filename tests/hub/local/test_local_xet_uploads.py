from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys

import pytest
import xet_objects

from pipeline.hub.local.xet_hashes import chunk_hash, from_text, keyed, to_text

NAME = "a.safetensors"


@pytest.fixture
def contents(content):
    return [content[:1000], content[1000:]]


def send(xet, contents):
    digest, packed = xet_objects.xorb(contents)
    return xet.post(f"/v1/xorbs/default/{to_text(digest)}", content=packed)


def test_a_xorb_is_inserted_once(xet, contents):
    digest, packed = xet_objects.xorb(contents)
    path = f"/v1/xorbs/default/{to_text(digest)}"
    assert xet.head(path).status_code == 404
    assert send(xet, contents).json() == {"was_inserted": True}
    assert send(xet, contents).json() == {"was_inserted": False}
    assert xet.head(path).headers["content-length"] == str(len(packed))


def test_what_is_not_the_named_xorb_is_a_400(xet, contents):
    digest, packed = xet_objects.xorb(contents)
    damaged = bytearray(packed)
    damaged[500] ^= 1
    name = to_text(digest)
    for path, body in (
        (f"default/{name}", packed[:-1]),
        (f"default/{name}", bytes(damaged)),
        (f"default/{name}", b""),
        (f"default/{name[::-1]}", packed),
        ("default/nonsense", packed),
        (f"other/{name}", packed),
    ):
        answer = xet.post(f"/v1/xorbs/{path}", content=body)
        assert (answer.status_code, bool(answer.json()["error"])) == (400, True), path
    assert xet.head(f"/v1/xorbs/default/{name}").status_code == 404


def test_a_xorb_that_is_too_large_is_not_read_to_its_end(xet, monkeypatch, contents):
    monkeypatch.setattr("pipeline.hub.local.xet_uploads.LARGEST", 1000)
    answer = send(xet, contents)
    assert (answer.status_code, "more than 1000 bytes" in answer.text) == (400, True)


@pytest.mark.parametrize("version", [1, 2])
def test_a_file_can_be_committed_once_its_shard_is_registered(xet, api, repo, contents, version):
    whole = b"".join(contents)
    lines = [
        {"key": "header", "value": {"summary": "x"}},
        {"key": "lfsFile", "value": {"path": NAME, "oid": hashlib.sha256(whole).hexdigest(), "size": len(whole)}},
    ]

    def commit():
        return xet.post(
            f"{api.endpoint}/api/models/{repo}/commit/main", content="\n".join(json.dumps(line) for line in lines)
        )

    send(xet, contents)
    assert commit().status_code == 400
    answer = xet.post(f"/v{version}/shards", content=xet_objects.shard(contents))
    assert answer.status_code == 200
    if version == 1:
        assert answer.json() == {"result": 1}
    else:
        assert answer.headers["content-type"].startswith("application/x-ndjson")
        events = [json.loads(line) for line in answer.text.splitlines()]
        assert [event["type"] for event in events] == ["validating", "validating", "result"]
    assert commit().status_code == 200
    [_, file] = api.list_repo_tree(repo)
    assert file.lfs.sha256 == hashlib.sha256(whole).hexdigest()
    assert from_text(file.xet_hash) == xet_objects.file_hash(xet_objects.pairs(contents))


def test_a_shard_that_lies_is_refused(xet, hub, contents):
    send(xet, contents)
    lie = xet_objects.shard(contents, sha256="0" * 64)
    assert xet.post("/v1/shards", content=lie).status_code == 400
    event = json.loads(xet.post("/v2/shards", content=lie).text.splitlines()[-1])
    assert (event["type"], event["retryable"]) == ("error", False)
    assert "SHA-256" in event["message"]
    for body in (b"", b"nonsense", xet_objects.shard(contents)[:-1]):
        assert [xet.post(f"/v{version}/shards", content=body).status_code for version in (1, 2)] == [400, 400]
    assert hub.store.xet.with_sha256("0" * 64) is None


def test_a_shard_of_a_xorb_that_never_came_is_a_400(xet, contents):
    assert xet.post("/v1/shards", content=xet_objects.shard(contents)).status_code == 400


def test_whoever_has_a_chunk_learns_where_it_is_stored(xet, contents):
    chunk = to_text(chunk_hash(contents[0]))
    send(xet, contents)
    assert xet.get(f"/v1/chunks/default-merkledb/{chunk}").status_code == 404  # not before there is a file
    xet.post("/v1/shards", content=xet_objects.shard(contents))
    answer = xet.get(f"/v1/chunks/default-merkledb/{chunk}")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert xet_objects.xorb(contents)[0] in answer.content
    key = answer.content[-200 + 72 : -200 + 104]
    assert all(keyed(key, chunk_hash(content)) in answer.content for content in contents)
    assert xet.get(f"/v1/chunks/default/{chunk}").status_code == 200
    assert xet.get(f"/v1/chunks/other/{chunk}").status_code == 400
    assert xet.get("/v1/chunks/default/nonsense").status_code == 400


def test_a_client_that_remembers_nothing_sends_known_chunks_no_second_time(hub, repo, tmp_path):
    program = (
        "import sys, huggingface_hub as h;"
        "h.HfApi(sys.argv[1], 'x').upload_file(path_or_fileobj=sys.argv[3], path_in_repo='a.bin', repo_id=sys.argv[2])"
    )
    first = random.Random(repo).randbytes(2_000_000)
    second = first + random.Random(f"{repo} more").randbytes(200_000)

    def sent(machine, content):
        path = tmp_path / machine
        path.write_bytes(content)
        hub.requests.clear()
        environment = {**os.environ, "HF_XET_CACHE": str(tmp_path / f"{machine}-memory")}
        subprocess.run([sys.executable, "-c", program, hub.endpoint, repo, str(path)], env=environment, check=True)
        return sum(line.received for line in hub.requests if "/v1/xorbs/" in line.path)

    assert sent("one", first) >= 2_000_000
    assert sent("another", second) < 500_000
