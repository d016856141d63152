"""What is trusted of a file that an earlier process left: only bytes that are still the ones that were written."""

from __future__ import annotations

import hashlib
import os
import zlib

import pytest

from pipeline.hub.partial import PIECE, Partial, sweep
from pipeline.manifest import File

CONTENT = os.urandom(3 * PIECE + 1000)
FILE = File("model.safetensors", len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())


def piece(index):
    return CONTENT[index * PIECE : (index + 1) * PIECE]


class Told:
    def __init__(self):
        self.new, self.resumed = 0, 0

    def __call__(self, amount, /, *, resumed=False):
        if resumed:
            self.resumed += amount
        else:
            self.new += amount


@pytest.fixture
def target(tmp_path):
    return tmp_path / "model.safetensors"


@pytest.fixture
def left(target):
    """What a process leaves that was killed when it had the last piece and the first two."""
    with Partial(target, FILE) as partial:
        partial.check(Told())
        for index in (3, 0, 1):
            partial.put(index, piece(index))
    return target.with_name(".model.safetensors.part"), target.with_name(".model.safetensors.part.pieces")


def missing(target, file=FILE):
    told = Told()
    with Partial(target, file) as partial:
        partial.check(told)
        return [index for run in partial.missing(at_most=9) for index in run], told


def test_pieces_that_are_here_are_trusted_and_counted_as_resumed(target, left):
    gone, told = missing(target)
    assert gone == [2]
    assert (told.new, told.resumed) == (0, FILE.size - PIECE)


def test_the_file_takes_its_name_when_it_is_whole_and_leaves_nothing_beside_it(target, left):
    with Partial(target, FILE) as partial:
        partial.check(Told())
        partial.put(2, piece(2))
        assert partial.is_right(lambda _: None)
        partial.keep()
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_a_bit_that_flipped_on_the_disk_costs_its_piece(target, left):
    with left[0].open("r+b") as data:
        data.seek(PIECE + 5)
        data.write(bytes([CONTENT[PIECE + 5] ^ 1]))
    assert missing(target)[0] == [1, 2]


def test_lines_that_reached_the_disk_before_their_bytes_are_not_believed(target, left):
    os.truncate(left[0], PIECE)  # a power cut: the end of the data was only in memory
    assert missing(target)[0] == [1, 2, 3]
    with left[0].open("wb") as data:
        data.truncate(FILE.size)  # or it came out as zeros
    assert missing(target)[0] == [0, 1, 2, 3]


@pytest.mark.parametrize("tail", [b"\0" * 50, b"2", b"2 zz\n", b"-1 00000000\n", b"99 00000000\n", b"2 00000000 3\n"])
def test_lines_that_were_never_finished_do_no_harm(target, left, tail):
    with left[1].open("ab") as lines:
        lines.write(tail)
    assert missing(target)[0] == [2]
    assert missing(target)[0] == [2], "and are gone the next time"


@pytest.mark.parametrize("which", [0, 1])
def test_one_of_the_two_files_alone_is_worth_nothing(target, left, which):
    left[which].unlink()
    assert missing(target)[0] == [0, 1, 2, 3]


def test_pieces_of_other_content_under_the_same_name_are_not_taken(target, left):
    other = File(FILE.path, FILE.size, sha256="0" * 64)
    assert missing(target, other)[0] == [0, 1, 2, 3]
    assert left[0].stat().st_size == 0


def test_bytes_beyond_the_end_are_cut_off(target, left):
    with left[0].open("ab") as data:
        data.write(b"more")
    assert missing(target)[0] == [2]
    assert left[0].stat().st_size == FILE.size


def test_that_the_whole_arrived_wrong_is_remembered_and_nothing_else(target, left):
    with Partial(target, FILE) as partial:
        partial.check(Told())
        partial.start_over()
        partial.put(0, piece(0))
    with Partial(target, FILE) as partial:
        partial.check(Told())
        assert partial.arrived_wrong
        assert 0 in partial
        assert 1 not in partial
    with Partial(target, File(FILE.path, FILE.size, sha256="0" * 64)) as partial:
        partial.check(Told())
        assert not partial.arrived_wrong, "that was another file"


def test_runs_of_missing_pieces_are_no_longer_than_asked(target):
    content = b"x" * (9 * PIECE)
    with Partial(target, File("a", len(content), sha256="0" * 64)) as partial:
        partial.check(Told())
        partial.put(4, content[:PIECE])
        assert partial.missing(at_most=3) == [range(3), range(3, 4), range(5, 8), range(8, 9)]


def test_a_short_write_is_finished(target, monkeypatch):
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda handle, block, offset: real(handle, block[:70_000], offset))
    with Partial(target, FILE) as partial:
        partial.check(Told())
        partial.put(0, piece(0))
        assert zlib.crc32(partial.path.read_bytes()) == zlib.crc32(piece(0))


def test_what_nobody_asks_for_any_more_is_swept_and_nothing_that_is_not_ours(left, target, tmp_path):
    theirs = {
        ".notes.part": b"mine",
        ".notes.part.pieces": b"also mine",
        "model.part.pieces": left[1].read_bytes(),
        "sub/.a.part": b"",
        "model.safetensors": b"finished",
        ".linked.part": b"x",
    }
    for name, content in theirs.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / ".linked.part.pieces").symlink_to(left[1])
    before = set(tmp_path.rglob("*"))
    assert sweep(tmp_path, {target}) == []
    assert sweep(tmp_path, set()) == [target]
    assert set(tmp_path.rglob("*")) == before - set(left)
    assert sweep(tmp_path / "none", set()) == []


def test_a_kill_while_it_is_swept_or_finished_leaves_nothing_for_ever(left, target, tmp_path):
    left[0].unlink()
    assert sweep(tmp_path, set()) == [target]
    assert list(tmp_path.iterdir()) == []
