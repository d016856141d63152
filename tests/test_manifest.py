from __future__ import annotations

import hashlib
import subprocess
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import PipelineError
from pipeline.manifest import File, Manifest, check_relative, describe, git_sha1, sha256, write_atomically

A, B = "a" * 64, "b" * 64


def test_what_is_left_to_upload_is_local_minus_remote():
    local = Manifest((File("same", 1, A, "1"), File("changed", 2, A, "2"), File("new", 3, A, "3")))
    remote = Manifest((File("same", 1, A), File("changed", 2, B), File("stale", 4, B)))
    assert [file.path for file in local - remote] == ["changed", "new"]


def test_a_small_file_is_compared_by_its_git_id():
    local = Manifest((File("config.json", 5, A, "1" * 40),))
    assert not (local - Manifest((File("config.json", 5, git_sha1="1" * 40),))).files
    assert (local - Manifest((File("config.json", 5, git_sha1="2" * 40),))).files


def test_an_unknown_digest_is_no_match():
    assert not File("a", 1).same_content(File("a", 1))


def test_bytes_are_a_files_unless_something_known_speaks_against_it(tmp_path):
    (tmp_path / "x").write_bytes(b"hello")
    whole = describe(tmp_path / "x", "x")
    for known in (whole, replace(whole, sha256=""), replace(whole, git_sha1="")):
        assert known.can_be(b"hello")
        assert not known.can_be(b"hellO")
    assert File("x", 5).can_be(b"hellO")
    assert not File("x", 5).can_be(b"hell")


def test_the_digest_depends_on_paths_sizes_and_content_only_and_not_on_order():
    one, two = File("a", 1, A), File("b", 2, B)
    assert Manifest((one, two)).digest == Manifest((two, one)).digest
    assert Manifest((one,)).digest != Manifest((File("a", 1, B),)).digest
    assert Manifest((one,)).digest != Manifest((File("c", 1, A),)).digest


def test_a_manifest_survives_json():
    manifest = Manifest((File("a", 1, A, "1"), File("b/c", 0, git_sha1="2")))
    assert Manifest.from_json(manifest.to_json()) == manifest
    assert manifest.size == 1
    assert "b/c" in manifest
    assert manifest["a"].sha256 == A


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../b", "a//b", "", ".", "a\\b", "C:/x", "a\0b", "a/"])
def test_a_path_that_could_escape_is_refused(path):
    with pytest.raises(PipelineError, match="not a plain relative path"):
        Manifest((File(path, 1),))


@given(st.lists(st.text(st.characters(exclude_characters="/\\\0:", exclude_categories=["Cs"]), min_size=1), min_size=1))
def test_every_other_path_is_taken_as_it_is(parts):
    path = "/".join(parts)
    if not any(part in {".", ".."} for part in parts):
        assert check_relative(path) == path


def test_digests_are_those_of_sha256sum_and_git(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"hello\n" * 1000)
    asked = subprocess.run(["git", "hash-object", str(path)], capture_output=True, text=True, check=True)
    assert git_sha1(path) == asked.stdout.strip()
    assert sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert describe(path, "x/y") == File("x/y", 6000, sha256(path), git_sha1(path))


def test_sums_are_those_that_sha256sum_checks(tmp_path):
    for name in ("b c", "a/d"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    made = Manifest(tuple(describe(tmp_path / name, name) for name in ("b c", "a/d"))).sums()
    (tmp_path / "sums").write_text(made)
    asked = subprocess.run(["sha256sum", "--check", "sums"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert asked.stdout == "a/d: OK\nb c: OK\n"
    for file in (File("a", 1), File("a\nb", 1, "0" * 64)):
        with pytest.raises(ValueError, match="no line can be written"):
            Manifest((file,)).sums()


def test_an_atomic_write_leaves_no_half_file_behind(tmp_path):
    path = tmp_path / "new" / "file"
    write_atomically(path, "one")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "\ud800")
    assert path.read_text() == "one"
    assert [p.name for p in path.parent.iterdir()] == ["file"]
