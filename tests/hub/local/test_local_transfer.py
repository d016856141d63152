from __future__ import annotations

import filecmp
import hashlib
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import CommitOperationAdd, HfFileSystem, get_hf_file_metadata, hf_hub_download, snapshot_download
from huggingface_hub.errors import EntryNotFoundError


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def uploads(hub):
    """Requests that carried bytes of large files."""
    return [line for line in hub.requests if line.method == "PUT" or "/v1/xorbs/" in line.path]


def batch(hub, repo, content, *, transfers=("basic", "multipart")):
    answer = httpx2.post(
        f"{hub.endpoint}/{repo}.git/info/lfs/objects/batch",
        json={
            "operation": "upload",
            "transfers": list(transfers),
            "objects": [{"oid": sha256(content), "size": len(content)}],
        },
        headers={"authorization": "Bearer x"},
    )
    assert answer.status_code == 200, answer.text
    return answer.json()["objects"][0]


@pytest.mark.usefixtures("without_xet")
def test_large_files_go_up_in_parts_and_come_down_whole(hub, repo, push, tmp_path, content):
    push(repo, {"a.safetensors": content})
    assert [line.received for line in uploads(hub)] == [1000, 1000, 500]
    got = hf_hub_download(repo, "a.safetensors", endpoint=hub.endpoint, local_dir=tmp_path / "down")
    assert Path(got).read_bytes() == content


@pytest.mark.usefixtures("without_xet")
def test_files_of_one_part_go_up_in_one_request(hub, repo, push, content):
    push(repo, {"a.safetensors": content[:1000]})
    assert [line.received for line in uploads(hub)] == [1000]


@pytest.mark.usefixtures("way")
def test_preuploaded_bytes_are_never_sent_again(api, hub, repo, content):
    def addition():
        return CommitOperationAdd("a.safetensors", content)

    api.preupload_lfs_files(repo, [addition()])
    assert len(content) <= sum(line.received for line in uploads(hub)) <= len(content) + 8  # bytes before each chunk
    assert api.list_repo_files(repo) == [".gitattributes"]  # nobody sees them before the commit
    hub.requests.clear()
    api.preupload_lfs_files(repo, [addition()])
    api.create_commit(repo, [addition()], commit_message="weights")
    api.create_commit(repo, [addition()], commit_message="weights")
    assert uploads(hub) == []
    assert len(api.list_repo_commits(repo)) == 2


@pytest.mark.usefixtures("way")
def test_metadata_of_large_and_regular_files(api, hub, repo, push, content):
    head = push(repo, {"a.safetensors": content, "b.txt": b"two"})
    large = get_hf_file_metadata(f"{hub.endpoint}/{repo}/resolve/main/a.safetensors")
    assert (large.commit_hash, large.etag, large.size) == (head, sha256(content), len(content))
    assert not large.location.startswith(hub.endpoint)
    regular = get_hf_file_metadata(f"{hub.endpoint}/{repo}/resolve/{head}/b.txt")
    assert (regular.commit_hash, regular.etag, regular.size) == (head, "64c5e5885a4b06010b3a0c20edb7900dd0311025", 3)
    raw = httpx2.head(f"{hub.endpoint}/{repo}/resolve/main/a.safetensors")
    assert raw.headers["etag"] == raw.headers["x-linked-etag"] == f'"{sha256(content)}"'
    with pytest.raises(EntryNotFoundError) as error:
        get_hf_file_metadata(f"{hub.endpoint}/{repo}/resolve/main/nothing.txt")
    assert error.value.response.headers["X-Repo-Commit"] == head


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("path", ["a.safetensors", "b.txt"])
def test_ranges(hub, repo, push, path, content):
    push(repo, {path: content})

    def get(byte_range):
        url = f"{hub.endpoint}/{repo}/resolve/main/{path}"
        return httpx2.get(url, headers={"range": byte_range}, follow_redirects=True)

    part = get("bytes=100-199")
    assert (part.status_code, part.content) == (206, content[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(content)}"
    assert get("bytes=2400-").content == content[2400:]
    assert get("bytes=-10").content == content[-10:]
    assert get(f"bytes={len(content)}-").status_code == 416


@pytest.mark.usefixtures("way")
def test_a_snapshot_equals_the_folder_that_was_uploaded(api, hub, tmp_path, content):
    api.create_repo("demo/texts", repo_type="dataset", exist_ok=True)
    folder = tmp_path / "folder"
    files = {
        "data/train.parquet": content,
        "deep/er/ä ö+%.txt": b"odd",
        "README.md": b"---\nlicense: mit\n---\n",
        "empty": b"",
    }
    for path, written in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(written)
    head = api.upload_folder(folder_path=folder, repo_id="demo/texts", repo_type="dataset").oid
    got = Path(snapshot_download("demo/texts", repo_type="dataset", revision=head, endpoint=hub.endpoint))
    assert got.name == head
    checked = api.verify_repo_checksums("demo/texts", repo_type="dataset", revision=head)
    assert (checked.checked_count, checked.mismatches, checked.missing_paths) == (5, [], [])
    same, different, missing = filecmp.cmpfiles(folder, got, files, shallow=False)
    assert (sorted(same), different, missing) == (sorted(files), [], [])
    assert sorted(api.list_repo_files("demo/texts", repo_type="dataset")) == sorted([".gitattributes", *files])


@pytest.mark.usefixtures("way")
def test_the_clients_file_system_reads_it(hub, repo, push, content):
    push(repo, {"a.safetensors": content, "docs/b.txt": b"two"})
    files = HfFileSystem(endpoint=hub.endpoint, token="x", skip_instance_cache=True)
    assert files.cat_file(f"{repo}/a.safetensors", start=1000, end=1010) == content[1000:1010]
    assert files.ls(f"{repo}/docs", detail=False) == [f"{repo}/docs/b.txt"]


def test_other_bytes_than_announced_are_never_stored(hub, repo, content):
    whole = batch(hub, repo, content, transfers=["basic"])["actions"]["upload"]["href"]
    for wrong in (content[::-1], content[:-1], content + b"!", b""):
        answer = httpx2.put(whole, content=wrong)
        assert (answer.status_code, bool(answer.json()["error"])) == (400, True)
    upload = batch(hub, repo, content)["actions"]["upload"]
    assert upload["header"]["chunk_size"] == "1000"
    assert httpx2.post(upload["href"], json={}).status_code == 400  # no part has arrived
    for number in ("1", "3"):
        offset = (int(number) - 1) * 1000
        assert httpx2.put(upload["header"][number], content=content[offset : offset + 1000]).status_code == 200
    assert httpx2.post(upload["href"], json={}).status_code == 400  # the second part is missing
    assert hub.store.blobs.size(sha256(content)) is None
    assert list((hub.store.root / "incoming").iterdir()) == []


def test_the_end_of_a_multipart_upload_may_be_asked_for_twice(hub, repo, content):
    upload = batch(hub, repo, content)["actions"]["upload"]
    for number in ("3", "1", "2"):  # in any order
        offset = (int(number) - 1) * 1000
        httpx2.put(upload["header"][number], content=content[offset : offset + 1000])
    assert [httpx2.post(upload["href"], json={}).status_code for _ in range(2)] == [200, 200]
    assert "actions" not in batch(hub, repo, content)


def test_verify_knows_what_is_stored(hub, repo, push, content):
    push(repo, {"a.safetensors": content})

    def verify(size):
        url = f"{hub.endpoint}/{repo}.git/info/lfs/objects/verify"
        return httpx2.post(
            url, json={"oid": sha256(content), "size": size}, headers={"authorization": "Bearer x"}
        ).status_code

    assert (verify(len(content)), verify(1)) == (200, 404)


def test_addresses_of_the_second_origin_cannot_be_made_up(hub, repo, push, content):
    push(repo, {"a.safetensors": content})
    location = httpx2.head(f"{hub.endpoint}/{repo}/resolve/main/a.safetensors").headers["location"]
    assert httpx2.get(location).content == content
    assert httpx2.put(location, content=content).status_code == 403  # signed for reading
    other = hashlib.sha256(b"other").hexdigest()
    assert httpx2.put(location.replace(sha256(content), other), content=b"other").status_code == 403
    assert hub.store.blobs.size(other) is None


def test_a_raw_file_is_what_git_holds(hub, repo, push, content):
    commit = push(repo, {"a.safetensors": content, "docs/b.txt": b"two"})
    for revision in ("main", commit):
        address = f"{hub.endpoint}/{repo}/raw/{revision}"
        assert httpx2.get(f"{address}/docs/b.txt").content == b"two"
        pointer = httpx2.get(f"{address}/a.safetensors")
        assert pointer.text.splitlines() == [
            "version https://git-lfs.github.com/spec/v1",
            f"oid sha256:{sha256(content)}",
            f"size {len(content)}",
        ]
        assert pointer.headers["x-repo-commit"] == commit
        assert httpx2.head(f"{address}/absent").status_code == 404
