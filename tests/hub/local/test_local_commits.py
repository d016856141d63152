from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import httpx2
import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete
from huggingface_hub.errors import BadRequestError, EntryNotFoundError, HfHubHTTPError, RevisionNotFoundError

TOKEN = {"authorization": "Bearer x"}


def post_lines(hub, repo, *lines):
    content = "\n".join(json.dumps({"key": key, "value": value}) for key, value in lines)
    return httpx2.post(f"{hub.endpoint}/api/models/{repo}/commit/main", content=content, headers=TOKEN)


def test_a_commit_adds_and_deletes_at_once(api, repo, push):
    push(repo, {"old.safetensors": b"old", "docs/a.txt": b"a", "docs/b/c.txt": b"c", "keep.txt": b"k"})
    done = api.create_commit(
        repo,
        [
            CommitOperationAdd("new.safetensors", b"new"),
            CommitOperationAdd("README.md", b"---\nlicense: mit\n---\nHello"),
            CommitOperationDelete("old.safetensors"),
            CommitOperationDelete("docs/"),
        ],
        commit_message="Replace",
        commit_description="everything\nbut one",
    )
    assert api.list_repo_files(repo) == [".gitattributes", "README.md", "keep.txt", "new.safetensors"]
    newest = api.list_repo_commits(repo)[0]
    assert (newest.commit_id, newest.title, newest.message) == (done.oid, "Replace", "everything\nbut one")
    assert newest.authors == ["demo"]
    assert done.commit_url == f"{api.endpoint}/{repo}/commit/{done.oid}"


def test_a_large_file_is_renamed_without_sending_it(api, hub, repo, push):
    push(repo, {"a.safetensors": b"weights"})
    sent_before = sum(line.received for line in hub.requests if line.method == "PUT")
    api.create_commit(
        repo,
        [CommitOperationCopy("a.safetensors", "b.safetensors"), CommitOperationDelete("a.safetensors")],
        commit_message="rename",
    )
    moved = api.get_paths_info(repo, "b.safetensors")[0]
    assert (moved.size, moved.lfs.sha256) == (7, hashlib.sha256(b"weights").hexdigest())
    assert sum(line.received for line in hub.requests if line.method == "PUT") == sent_before


def test_a_commit_on_another_head_is_refused(api, repo, push):
    first = api.repo_info(repo).sha
    second = push(repo, {"a.txt": b"a"}, parent_commit=first)
    with pytest.raises(HfHubHTTPError, match="A commit has happened since") as error:
        push(repo, {"b.txt": b"b"}, parent_commit=first)
    assert error.value.response.status_code == 412
    assert api.repo_info(repo).sha == second


def test_of_concurrent_commits_on_one_head_exactly_one_is_made(api, repo):
    head = api.repo_info(repo).sha
    together = Barrier(4)

    def commit(number):
        together.wait()
        operation = CommitOperationAdd(f"{number}.txt", b"x")
        try:
            return api.create_commit(repo, [operation], commit_message="race", parent_commit=head).oid
        except HfHubHTTPError as error:
            return error.response.status_code

    with ThreadPoolExecutor(4) as threads:
        outcomes = list(threads.map(commit, range(4)))
    assert outcomes.count(412) == 3
    assert [c.commit_id for c in api.list_repo_commits(repo)] == [next(o for o in outcomes if o != 412), head]


def test_concurrent_commits_without_a_parent_are_all_made(api, repo, push):
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda number: push(repo, {f"{number}.txt": b"x"}), range(8)))
    assert len(api.list_repo_commits(repo)) == 9
    assert len(api.list_repo_files(repo)) == 9


def test_large_files_that_were_never_sent_are_named(hub, repo, api):
    head = api.repo_info(repo).sha
    gone = {"algo": "sha256", "oid": "0" * 64, "size": 3}
    answer = post_lines(
        hub,
        repo,
        ("header", {"summary": "x"}),
        ("lfsFile", {"path": "a.gguf", **gone}),
        ("lfsFile", {"path": "b", **gone}),
    )
    assert answer.status_code == 400
    assert "an LFS pointer pointed to a file that does not exist" in answer.json()["error"]
    assert answer.json()["error"].endswith("\n- a.gguf\n- b")
    assert api.repo_info(repo).sha == head


def test_a_large_file_of_another_size_is_as_good_as_missing(hub, repo, push):
    push(repo, {"a.safetensors": b"weights"})
    lying = {"path": "b", "algo": "sha256", "oid": hashlib.sha256(b"weights").hexdigest(), "size": 8}
    assert post_lines(hub, repo, ("header", {"summary": "x"}), ("lfsFile", lying)).status_code == 400


@pytest.mark.parametrize(
    "lines",
    [
        [("file", {"path": "a", "content": ""})],
        [("header", {"summary": "x"}), ("file", {"path": "../a", "content": ""})],
        [("header", {"summary": "x"}), ("file", {"path": "a", "content": "%", "encoding": "base64"})],
        [("header", {"summary": "x"}), ("file", {"path": ".gitattributes/a", "content": ""})],
        [("header", {"summary": "x"}), ("lfsFile", {"path": "a", "oid": "../../lock", "size": 0})],
        [("header", {"summary": "x"}), ("rename", {"path": "a"})],
    ],
    ids=["no header", "outside", "not base64", "file and folder", "not a digest", "unknown operation"],
)
def test_a_broken_commit_is_refused_whole(hub, api, repo, lines):
    head = api.repo_info(repo).sha
    answer = post_lines(hub, repo, *lines)
    assert (answer.status_code, bool(answer.json()["error"])) == (400, True)
    assert api.repo_info(repo).sha == head


def test_deleting_what_is_not_there_is_an_error(api, repo):
    with pytest.raises(EntryNotFoundError, match="A file with this name doesn't exist"):
        api.delete_file("nothing.txt", repo)
    with pytest.raises(EntryNotFoundError):
        api.delete_folder(".gitattributes", repo)  # a file


def test_only_a_branch_can_be_committed_to(api, repo, push):
    api.create_tag(repo, tag="v1")
    with pytest.raises(RevisionNotFoundError):
        push(repo, {"a.txt": b"a"}, revision="v1")
    with pytest.raises(BadRequestError, match="no pull requests"):
        push(repo, {"a.txt": b"a"}, create_pr=True)


def test_preupload_tells_where_files_go_and_what_is_there(hub, repo, push):
    push(repo, {"a.safetensors": b"weights", "b.txt": b"two"})
    sizes = {
        "a.safetensors": 9,
        "b.txt": 9,
        "c.bin": 9,
        "d.json": 10_000_001,
        "e.json": 9,
        "x/saved_model/v": 1,
        "f.npz": 0,
    }
    answer = httpx2.post(
        f"{hub.endpoint}/api/models/{repo}/preupload/main",
        json={"files": [{"path": path, "size": size, "sample": ""} for path, size in sizes.items()]},
        headers=TOKEN,
    ).json()
    files = {file["path"]: (file["uploadMode"], file["oid"], file["shouldIgnore"]) for file in answer["files"]}
    assert files == {
        "a.safetensors": ("lfs", hashlib.sha256(b"weights").hexdigest(), False),
        "b.txt": ("regular", "64c5e5885a4b06010b3a0c20edb7900dd0311025", False),
        "c.bin": ("lfs", None, False),
        "d.json": ("lfs", None, False),
        "e.json": ("regular", None, False),
        "x/saved_model/v": ("lfs", None, False),
        "f.npz": ("regular", None, False),
    }


def test_the_same_files_again_make_no_commit(api, hub, repo, tmp_path):
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "empty.bin").write_bytes(b"")
    (folder / "sub/config.json").write_text("{}")
    first = api.upload_folder(folder_path=folder, repo_id=repo).oid
    hub.requests.clear()
    assert api.upload_folder(folder_path=folder, repo_id=repo).oid == first
    assert not [line for line in hub.requests if line.method == "PUT" or "/commit/" in line.path]
    assert api.list_repo_files(repo) == [".gitattributes", "empty.bin", "model.safetensors", "sub/config.json"]


def test_a_card_is_checked_before_it_is_committed(api, repo):
    upload = {"path_in_repo": "README.md", "repo_id": repo}
    api.upload_file(path_or_fileobj=b"---\nlicense: mit\ntags: [mlx]\n---\n# A model", **upload)
    for broken, reason in ((b"---\nlicense: [mit\n---\n", "Invalid YAML"), (b"---\n- mit\n---\n", "mapping")):
        with pytest.raises(ValueError, match=reason):
            api.upload_file(path_or_fileobj=broken, **upload)
    for bare in (b"# No front matter", b"---\n---\n# Empty"):
        with pytest.warns(UserWarning, match="empty or missing yaml metadata"):
            api.upload_file(path_or_fileobj=bare, **upload)


def test_two_repositories_share_bytes(api, hub, repo, push, content):
    push(repo, {"a.safetensors": content})
    api.create_repo("demo/copy", repo_type="dataset")
    stored = list((hub.store.root / "blobs").glob("*/*"))
    hub.requests.clear()
    push("demo/copy", {"b.safetensors": content}, repo_type="dataset")
    assert not [line for line in hub.requests if line.method == "PUT"]
    assert list((hub.store.root / "blobs").glob("*/*")) == stored
    api.delete_repo(repo)
    got = api.hf_hub_download("demo/copy", "b.safetensors", repo_type="dataset")
    assert Path(got).read_bytes() == content
