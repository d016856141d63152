"""What the lock says of how the files were made."""

from __future__ import annotations

from types import SimpleNamespace

from pipeline.stages import render


def test_tools_are_those_that_made_the_shards_and_not_those_that_render():
    shards = [SimpleNamespace(name="a"), SimpleNamespace(name="b")]
    job = SimpleNamespace(layout=SimpleNamespace(shards=shards))
    values = {"quantize/a": {"tools": {"mlx": "0.1", "python": "3.11"}}, "quantize/b": {"tools": {"mlx": "0.2"}}}
    step = SimpleNamespace(record=lambda task: SimpleNamespace(values=values[task]))
    assert render._tools(job, step) == {"mlx": "0.1 and 0.2", "python": "3.11"}
