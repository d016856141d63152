"""`pipeline rollback` as a person runs it: the real client, the embedded Hub, small files."""

from __future__ import annotations

import pytest
from small_release import NEW_CARD, NEW_MODEL, SHARDS

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.mark.usefixtures("way")
def test_a_rollback_is_shown_and_then_done(small, run):
    small.release("v1")
    small.release("v2", NEW_CARD, NEW_MODEL)
    code, out, _ = run("rollback", "demo", "--to", "v1", "--dry-run")
    assert code == 0
    assert out.endswith("\n\nNothing was changed.\n")
    assert small.titles()[0] == "Demo (v2)"
    for line in ("pointed at, 0 bytes sent", "small, fetched and sent back", SHARDS[2]):
        assert line in out
    code, out, err = run("rollback", "demo", "--to", "v1")
    assert code == 0, err
    assert "Nothing was changed" not in out
    assert small.tree() == small.tree("v1") != small.tree("v2")
    assert small.titles()[:2] == ["Roll back to v1", "Demo (v2)"]
    code, out, _ = run("rollback", "demo", "--to", "v1")
    assert code == 0
    assert "nothing to do" in out
    assert small.titles()[:2] == ["Roll back to v1", "Demo (v2)"]


def test_a_rollback_to_nowhere(small, run):
    small.release("v1")
    code, _, err = run("rollback", "demo", "--to", "v9")
    assert code == 4
    assert "has no tag v9" in err
    assert "Its tags are: v1." in err
    assert run("rollback", "demo", "--to", "main")[0] == 2
