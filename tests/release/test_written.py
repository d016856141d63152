"""Values as a person writes them."""

from __future__ import annotations

import pytest
from huggingface_hub.utils import HFValidationError, validate_repo_id
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.release import written

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("5 GB", 5 * 10**9),
        ("32MB", 32 * 10**6),
        ("1.5 kB", 1500),
        ("1 MiB", 2**20),
        ("0.5 gib", 2**29),
        ("7 B", 7),
        (" 2 TB ", 2 * 10**12),
    ],
)
def test_sizes(text, size):
    assert written.parse_size(text) == size


@given(st.integers(1, 10**15))
def test_a_size_is_printed_such_that_it_reads_back(size):
    assert written.parse_size(written.format_size(size)) == size


@pytest.mark.parametrize(
    "value", ["5", 5, "5 Gb/s", "-1 GB", "0 GB", "0.5 B", "1e3 MB", "5 XB", "", None, True, "٣ MB"]
)
def test_what_is_not_a_size(value):
    with pytest.raises(ValueError, match=r"size|unit|bytes"):
        written.parse_size(value)


@pytest.mark.parametrize(("text", "share"), [("10 %", 0.1), ("0.5%", 0.005), ("0 %", 0.0), ("150 %", 1.5)])
def test_shares(text, share):
    assert written.parse_share(text) == share


@pytest.mark.parametrize("value", ["10", 10, 0.1, "-5 %", "% 5", "nan %", None, "10 % or so"])
def test_what_is_not_a_share(value):
    with pytest.raises(ValueError, match="percent sign"):
        written.parse_share(value)


@given(st.from_regex(r"[A-Za-z0-9._\-]{1,98}/[A-Za-z0-9._\-/é]{1,98}", fullmatch=True))
@example("a/b.git")
@example("a--b/c")
@example("a/_b_")
@example("datasets/a/b")
@example(f"{'a' * 96}/{'b' * 96}")
@example(f"{'a' * 97}/b")
def test_repository_ids_are_those_that_the_hubs_client_accepts(repo):
    try:
        validate_repo_id(repo)
    except HFValidationError:
        with pytest.raises(ValueError, match="must"):
            written.check_repo(repo)
    else:
        assert written.check_repo(repo) == repo


@pytest.mark.parametrize(
    ("revision", "told"),
    [
        ("main", "not the branch or tag 'main'.*`git ls-remote https://hub/a/b main` prints its commit"),
        ("v1.0", "not the branch or tag 'v1.0'"),
        (COMMIT[:10], "a whole commit.* has 10"),
        (COMMIT.upper(), f"lower case: {COMMIT}"),
        ("", "40 hexadecimal digits"),
    ],
)
def test_only_a_whole_commit_will_do(revision, told):
    assert written.check_commit(COMMIT, "https://hub/a/b") == COMMIT
    with pytest.raises(ValueError, match=told):
        written.check_commit(revision, "https://hub/a/b")


@pytest.mark.parametrize("name", ["", ".", "..", "-a", "a/b", "a b", "a..b", "a.lock", "a.", "ä", "a\n"])
def test_names_that_are_no_file_names_or_tags(name):
    with pytest.raises(ValueError, match="plain name"):
        written.check_name(name)


@pytest.mark.parametrize("tag", ["main", "HEAD", COMMIT])
def test_a_tag_must_not_look_like_something_else(tag):
    with pytest.raises(ValueError, match="names something else"):
        written.check_tag(tag)
    assert written.check_tag("v2.5") == "v2.5"


@pytest.mark.parametrize("pattern", ["[", "a**", "(?P<x", "[[a]--b]", "(?<=a+)b", "a{99999999999999999999}"])
def test_patterns_that_python_refuses_or_warns_of(pattern):
    with pytest.raises(ValueError, match="is not a regular expression that Python understands"):
        written.check_pattern(pattern)


@pytest.mark.parametrize("path", ["../a", "/a", "a//b", "C:/a", "a\\b", ""])
def test_a_file_stays_inside_its_repository(path):
    with pytest.raises(ValueError, match="inside the repository"):
        written.check_file(path)


@pytest.mark.parametrize(
    ("value", "tokens"),
    [("128k", 131072), ("128K", 131072), ("4096", 4096), (4096, 4096), ("1M", 1 << 20), ("8 k", 8192)],
)
def test_context_lengths(value, tokens):
    assert written.parse_tokens(value) == tokens


@pytest.mark.parametrize("value", ["128 kB", "0", 0, -4, 1.5, "1.5k", True, None, "many"])
def test_what_is_not_a_context_length(value):
    with pytest.raises(ValueError, match="number of tokens"):
        written.parse_tokens(value)
