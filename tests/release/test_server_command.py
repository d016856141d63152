from __future__ import annotations

from pipeline.release.server_command import server_command


def test_code_of_others_runs_only_where_it_is_trusted():
    assert server_command("a/b", trust_remote_code=False) == ("mlx_lm.server", "--model", "a/b")
    assert server_command("a/b", trust_remote_code=True) == ("mlx_lm.server", "--model", "a/b", "--trust-remote-code")
