from __future__ import annotations

import hf_xet
import pytest
import xet_objects

from pipeline.hub.local.refusals import Refusal
from pipeline.hub.local.xet_hashes import file_hash, from_text, is_shared, to_text, xorb_hash


def test_a_hash_is_written_as_four_numbers():
    text = "07060504030201000f0e0d0c0b0a090817161514131211101f1e1d1c1b1a1918"
    assert to_text(bytes(range(32))) == text
    assert from_text(text) == bytes(range(32))


@pytest.mark.parametrize("text", ["", "0" * 63, "0" * 65, "G" * 64, "../" + "0" * 61, "A" * 64])
def test_what_is_no_hash_is_refused(text):
    with pytest.raises(Refusal, match="not a Xet hash"):
        from_text(text)


@pytest.mark.parametrize("size", [1, 5000, 8192])
def test_a_file_of_one_chunk_has_the_hash_that_the_client_gives_it(tmp_path, size):
    content = bytes(range(256)) * (size // 256 + 1)
    path = tmp_path / "file"
    path.write_bytes(content[:size])
    assert to_text(file_hash(xet_objects.pairs([content[:size]]))) == hf_xet.hash_files([str(path)])[0].hash


def test_nothing_has_a_hash_of_zeros():
    assert file_hash([]) == xorb_hash([]) == bytes(32)


def test_the_hash_depends_on_order_and_on_lengths():
    one, two = xet_objects.pairs([b"one", b"two"])
    assert len({xorb_hash([one, two]), xorb_hash([two, one]), xorb_hash([one, (two[0], 4)]), xorb_hash([one])}) == 4


def test_one_chunk_in_a_thousand_is_shared():
    assert is_shared(bytes(24) + (1024 * 7).to_bytes(8, "little"))
    assert not is_shared(bytes(24) + (1024 * 7 + 1).to_bytes(8, "little"))
