"""`pipeline release demo` as a stranger runs it: a trained model, the real client, the real (embedded) Hub."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING

import pytest

from pipeline.cli import main
from pipeline.hub.local.server import LocalHub
from pipeline.hub.local.store import Store
from pipeline.hub.protocol import Repository

if TYPE_CHECKING:
    from pathlib import Path

TARGET = Repository("demo/SmolLM2-135M-Instruct-MLX-mixed")
RENDERED = {"README.md", "evidence.json", "release.lock.json"}
SUMS = "SHA256SUMS"
REFUSED = Repository("demo/SmolLM2-135M-Instruct-MLX-2bit")


def tree(hub: Path, repository: Repository = TARGET, revision: str = "v1") -> dict[str, str]:
    """What the Hub shows at a revision: SHA-256 by path."""
    store = Store(hub, readonly=True)
    return {path: entry.sha256 for path, entry in store.tree(repository, store.resolve(repository, revision)).items()}


def published_text(hub: Path, path: str) -> str:
    return Store(hub, readonly=True).blobs.path(tree(hub)[path]).read_text()


def undated(hub: Path) -> dict[str, object]:
    """What the Hub shows, of which only the dates are left out that two runs cannot share."""
    evidence = json.loads(published_text(hub, "evidence.json"))
    for row in evidence["measurements"]:
        assert row.pop("measured_at")
    lock = json.loads(published_text(hub, "release.lock.json"))
    assert lock.pop("made")
    sums = [
        line for line in published_text(hub, SUMS).splitlines() if not line.endswith(("evidence.json", "lock.json"))
    ]
    return {**tree(hub), "evidence.json": evidence, "release.lock.json": lock, SUMS: sums}


def everything(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def copy(released, tmp_path):
    """The released repository, to do anything with."""
    shutil.copytree(released.root, tmp_path / "copy", copy_function=shutil.copy2)
    return type(released)(tmp_path / "copy")


def test_the_tag_names_a_commit_that_holds_the_whole_release(released):
    lock = json.loads((released.root / "releases/demo/release.lock.json").read_text())
    published = tree(released.hub)
    assert {file["path"]: file["sha256"] for file in lock["model"]} == {
        path: sha256
        for path, sha256 in published.items()
        if path not in {*RENDERED, SUMS, ".gitattributes"} and not path.startswith("assets/")
    }
    assert lock["target"]["commit"] == Store(released.hub).resolve(TARGET, "v1")
    assert {"config.json", "tokenizer.json", "LICENSE", "generation_config.json"} <= set(published)
    assert sum(path.endswith(".safetensors") for path in published) == 4


def test_whoever_has_the_files_can_check_them_without_this_program(released):
    published = {path: sha256 for path, sha256 in tree(released.hub).items() if path not in {SUMS, ".gitattributes"}}
    lines = (line.split("  ", 1) for line in published_text(released.hub, SUMS).splitlines())
    assert {path: sha256 for sha256, path in lines} == published


def test_a_release_that_was_just_made_is_as_its_lock_says(released):
    code, said = released.run("verify", "demo")
    assert code == 0, said
    assert "differ" not in said


def test_the_release_is_visible_to_everybody_only_because_it_was_published(released):
    assert Store(released.hub).refs(TARGET).private is False


def test_the_card_that_was_published_is_the_one_to_review(released):
    with (released.root / "releases/demo/README.md").open("rb") as file:
        blob = Store(released.hub).tree(TARGET, Store(released.hub).resolve(TARGET, "v1"))["README.md"]
        content = file.read()
    assert len(content) == blob.size
    assert b"base_model: demo/SmolLM2-135M-Instruct" in content


def test_the_evidence_and_the_lock_that_the_card_was_made_from_are_published_beside_it(released):
    folder = released.root / "releases/demo"
    assert published_text(released.hub, "evidence.json") == (folder / "evidence.json").read_text()
    lock = json.loads((folder / "release.lock.json").read_text())
    assert lock["target"].pop("commit")
    published = json.loads(published_text(released.hub, "release.lock.json"))
    assert published["target"].pop("commit") is None, "a commit cannot hold its own name"
    assert published == lock


def test_the_plots_that_the_card_shows_were_published_beside_it(released):
    card = (released.root / "releases/demo/README.md").read_text()
    shown = set(re.findall(r"\]\((assets/\w+\.png)\)", card))
    assert shown == {"assets/quality_by_size.png", "assets/bytes_by_class.png"}
    store = Store(released.hub)
    published = {
        path: entry
        for path, entry in store.tree(TARGET, store.resolve(TARGET, "v1")).items()
        if path.startswith("assets/")
    }
    assert {path: entry.sha256 for path, entry in published.items()} == {
        path: hashlib.sha256((released.root / "releases/demo" / path).read_bytes()).hexdigest() for path in shown
    }
    assert all(entry.large for entry in published.values()), "pictures go to large-file storage, as the Hub has it"


def test_plots_that_do_not_stand_are_drawn_again_and_others_removed(copy, monkeypatch, capsys):
    monkeypatch.chdir(copy.root)
    folder, kept = copy.root / "releases/demo/assets", copy.workspace / "releases/demo/card/assets"
    good = (folder / "bytes_by_class.png").read_bytes()
    other = (folder / "quality_by_size.png").read_bytes()
    for spoil, told in (
        ((kept / "bytes_by_class.png").unlink, "card/assets/bytes_by_class.png is missing or altered"),
        (lambda: (folder / "speed.png").write_bytes(good), "assets/speed.png shows what the card no longer does"),
        (
            lambda: (folder / "bytes_by_class.png").write_bytes(other),
            "assets/bytes_by_class.png was drawn from other figures, or in another way",
        ),
    ):
        spoil()
        assert main(["status", "demo"]) == 0
        assert told in capsys.readouterr().out
    assert main(["release", "demo", "--until", "render"]) == 0
    assert {path.name for path in folder.iterdir()} == {"quality_by_size.png", "bytes_by_class.png"}
    assert (folder / "bytes_by_class.png").read_bytes() == (kept / "bytes_by_class.png").read_bytes() == good
    capsys.readouterr()
    assert main(["release", "demo", "--until", "render"]) == 0
    assert "Nothing to do" in "".join(capsys.readouterr())


def test_a_release_is_as_it_was_published_until_somebody_changes_a_figure(copy):
    code, said = copy.run("card", "demo", "--diff", "published")
    assert (code, said.splitlines()[0]) == (0, "demo: nothing changed"), said
    path = copy.root / "releases/demo/evidence.json"
    evidence = json.loads(path.read_text())
    (row,) = [row for row in evidence["measurements"] if row["measure"] == "divergence"]
    row["values"]["top1"] = 0.25
    path.write_text(json.dumps(evidence))
    code, said = copy.run("card", "demo", "--diff", "published")
    assert (code, said.splitlines()[0]) == (0, "demo: 1 worse"), said


def test_the_quality_is_that_of_the_recipe_and_not_of_chance(released):
    evidence = json.loads((released.root / "releases/demo/evidence.json").read_text())["measurements"]
    perplexity = {row["subject"]: row["values"]["perplexity"] for row in evidence if row["measure"] == "perplexity"}
    assert 8 < perplexity["base"] < 20
    assert 0.97 < perplexity["quantized"] / perplexity["base"] < 1.15
    (said,) = [row["values"] for row in evidence if row["measure"] == "generation"]
    assert said["passed"]
    assert "Paris" in said["transcripts"][0]["text"]


def test_what_the_card_tells_people_to_run_was_run(released):
    evidence = json.loads((released.root / "releases/demo/evidence.json").read_text())["measurements"]
    (served,) = [row["values"] for row in evidence if row["measure"] == "serving"]
    assert served["passed"]
    assert "Paris" in served["answer"]
    assert (
        f"\n{served['command']}\n```\n\nThe last one was run with these files"
        in (released.root / "releases/demo/README.md").read_text()
    )


def test_every_tensor_is_the_one_that_mlx_lm_makes(released, smollm2_base, tmp_path):
    import mlx.core as mx
    from mlx_lm import convert

    def same_recipe(path: str, _: object) -> dict:
        bits = 8 if "embed" in path else 6 if "self_attn" in path else 5
        return {"group_size": 64, "bits": bits, "mode": "affine"}

    convert(str(smollm2_base), str(tmp_path / "mlx_lm"), quantize=True, quant_predicate=same_recipe)
    ours = released.workspace / "releases/demo/model"
    theirs: dict = {}
    for path in (tmp_path / "mlx_lm").glob("*.safetensors"):
        theirs |= mx.load(str(path))
    compared = 0
    for path in ours.glob("*.safetensors"):
        for name, tensor in mx.load(str(path)).items():
            other = theirs.pop(name)
            assert tensor.dtype == other.dtype, name
            assert mx.array_equal(tensor, other).item(), name
            compared += 1
    assert not theirs
    assert compared > 600
    config, reference = (json.loads((folder / "config.json").read_text()) for folder in (ours, tmp_path / "mlx_lm"))
    # mlx-lm's top-level default is never used: every layer is named.
    assert {k: v for k, v in config["quantization"].items() if isinstance(v, dict)} == {
        k: v for k, v in reference["quantization"].items() if isinstance(v, dict)
    }
    assert set(config) == set(reference)


def test_a_stranger_loads_it_from_the_hub_and_talks_to_it(released, tmp_path):
    program = textwrap.dedent(
        """
        from mlx_lm import generate, load
        model, tokenizer = load("demo/SmolLM2-135M-Instruct-MLX-mixed")
        messages = [{"role": "user", "content": "What is the capital of France?"}]
        prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True)
        print(generate(model, tokenizer, prompt=prompt, max_tokens=8))
        """
    )
    with LocalHub(released.hub, readonly=True) as hub:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
        environment = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path)}
        asked = subprocess.run(
            [sys.executable, "-c", program], env=clean | environment, capture_output=True, text=True, check=False
        )
    assert asked.returncode == 0, asked.stderr
    assert "Paris" in asked.stdout


def test_a_second_run_does_nothing_and_says_so(copy):
    before = everything(copy.root)
    with LocalHub(copy.hub) as hub:
        code, said = copy.run("release", "demo")
    assert code == 0, said
    assert "Nothing to do" in said
    assert sum(request.received for request in hub.requests) == 0
    after = everything(copy.root)
    touched = {path for path in after if after[path] != before.get(path)}
    assert touched <= {".pipeline/hub/lock", ".pipeline/hub/xet/address.json", ".pipeline/releases/demo/lock"}


def test_a_dry_run_writes_nothing_and_sends_no_writing_request(copy):
    copy.edit("demo", "windows: 2", "windows: 3")
    shutil.rmtree(copy.workspace / "releases" / "demo" / "records" / "upload")
    with LocalHub(copy.hub) as hub:
        before = everything(copy.root)
        code, said = copy.run("release", "demo", "--dry-run")
        assert everything(copy.root) == before
    assert code == 0, said
    assert "windows 2 -> 3" in said
    assert "has not run" in said
    assert {request.method for request in hub.requests} <= {"GET", "HEAD"}


def test_a_dry_run_on_a_clean_clone_needs_nothing_and_leaves_nothing(repository):
    before = everything(repository.root)
    code, said = repository.run("release", "demo", "--dry-run")
    assert code == 0, said
    assert "would run" in said
    assert everything(repository.root) == before
    assert not repository.workspace.exists()


def test_status_says_what_is_done_and_what_would_run(copy):
    code, said = copy.run("status", "demo")
    assert code == 0
    assert "Everything is done" in said
    (copy.workspace / "releases/demo/model/config.json").write_text("{}")
    code, said = copy.run("status", "demo")
    assert code == 0
    assert "model/config.json is missing or altered" in said


def test_a_flipped_bit_in_the_base_is_fetched_again_and_nothing_else_is_redone(copy):
    path = copy.workspace / "releases/demo/base/model-00002-of-00003.safetensors"
    content = bytearray(path.read_bytes())
    content[50_000_000] ^= 4
    path.write_bytes(content)
    code, said = copy.run("release", "demo")
    assert code == 0, said
    assert "is missing or altered" in said
    assert re.search(r"download/base/model-00002-of-00003.safetensors: .* in ", said)
    assert not re.search(r"quantize/model-.*: [0-9.]+ MB in", said), "what comes out as before is not made again"
    assert tree(copy.hub)


def test_a_changed_recipe_remakes_only_what_it_changes(copy):
    recipe = copy.root / "releases/recipes/mixed-5-6-8.yaml"
    recipe.write_text(recipe.read_text().replace("bits: 8", "bits: 6", 1))
    code, said = copy.run("plan", "demo")
    assert code == 0, said
    assert "8 bit g64 -> 6 bit g64" in said
    assert "9 download" not in said


def test_a_published_tag_never_moves(copy):
    recipe = copy.root / "releases/recipes/mixed-5-6-8.yaml"
    recipe.write_text(recipe.read_text().replace("bits: 8", "bits: 6", 1))
    before = tree(copy.hub)
    code, said = copy.run("release", "demo")
    assert code == 4, said
    assert "raise target.tag" in said
    assert tree(copy.hub) == before


def test_a_refused_release_publishes_nothing(copy):
    copy.edit("demo-refused", "windows: 16", "windows: 2")
    copy.edit("demo-refused", "max_tokens: 120", "max_tokens: 40")
    code, said = copy.run("release", "demo-refused")
    assert code == 3, said
    assert "perplexity increase" in said
    assert "Nothing was published" in said
    store = Store(copy.hub)
    assert not store.has(REFUSED, "v1")
    assert not store.has(REFUSED) or store.refs(REFUSED).private, "nobody else can see even an empty repository"
    assert not (copy.root / "releases/demo-refused/README.md").exists()


def test_a_changed_threshold_is_judged_again_without_measuring(copy):
    copy.edit("demo", "perplexity_increase: 10 %", "perplexity_increase: 0 %")
    code, said = copy.run("release", "demo")
    assert code == 3, said
    assert re.search(r"miss +perplexity increase +at most 0 % over the base +\+[0-9.]+ %", said), said
    assert re.findall(r"^(\S+/\S+): .* in ", said, re.MULTILINE) == [], "nothing is measured or made again"
    before = tree(copy.hub)
    path = copy.root / "releases/demo/release.yaml"
    path.write_text(
        f"{path.read_text()}\nwaivers: [{{threshold: perplexity_increase, why: A rehearsal may be bad.}}]\n"
    )
    code, said = copy.run("release", "demo", "--until", "render")
    assert code == 0, said
    assert re.search(r"waived +perplexity increase", said), said
    assert set(re.findall(r"^(\S+/\S+): .* in ", said, re.MULTILINE)) <= {"validate/thresholds", "render/card"}
    assert "A rehearsal may be bad." in (copy.root / "releases/demo/README.md").read_text()
    assert tree(copy.hub) == before


def test_killed_at_ten_random_moments_the_same_command_ends_with_the_same_release(repository, released, seeded_hub):
    repository.start_from(seeded_hub)
    repository.edit("demo", "windows: 16", "windows: 2")
    moments = random.Random(20)
    records = repository.workspace / "releases/demo/records"
    redone: list[str] = []
    for _ in range(10):
        finished = [str(path.relative_to(records).with_suffix("")) for path in records.rglob("*.json")]
        with repository.start("release", "demo") as process:
            time.sleep(moments.uniform(1.5, 9))
            process.send_signal(signal.SIGKILL)
            said, _ = process.communicate()
        redone += [task for task in finished if f"\n{task}: " in said]
    code, said = repository.run("release", "demo")
    assert code == 0, said
    assert redone == []
    assert undated(repository.hub) == undated(released.hub)


def test_ctrl_c_ends_with_130_and_the_same_command_goes_on(copy):
    shutil.rmtree(copy.workspace / "releases" / "demo")
    with copy.start("release", "demo") as process:
        for line in process.stdout:
            if line.startswith("download/"):
                break
        process.send_signal(signal.SIGINT)
        said = process.stdout.read()
    assert process.returncode == 130, said
    assert "same command" in said
    code, said = copy.run("release", "demo", "--until", "download")
    assert code == 0, said


def test_ctrl_c_while_the_result_is_served_leaves_no_server(copy):
    (copy.workspace / "releases/demo/records/validate/serving.json").unlink()
    with copy.start("release", "demo") as process:
        # By its name: mlx asks for a compiler's version by system(), which ignores Ctrl-C while its child runs.
        named = ["pgrep", "--parent", str(process.pid), "--full", "pipeline.evaluate.server"]
        ends, server = time.monotonic() + 60, ""
        while not server and time.monotonic() < ends:
            server = subprocess.run(named, capture_output=True, text=True, check=False).stdout.strip()
        assert server, "no server was started"
        process.send_signal(signal.SIGINT)
        said = process.stdout.read()
    assert process.returncode == 130, said
    with pytest.raises(ProcessLookupError):
        os.kill(int(server), 0)


def test_two_processes_cannot_run_one_release(copy):
    from pipeline.engine.workspace import Workspace

    with LocalHub(copy.hub), Workspace(copy.workspace / "releases/demo").locked():
        code, said = copy.run("release", "demo")
    assert code == 2
    assert f"pid {os.getpid()}" in said


def test_a_rule_that_matches_nothing_is_an_error_with_its_line(repository):
    recipe = repository.root / "releases/recipes/mixed-5-6-8.yaml"
    recipe.write_text(recipe.read_text().replace("embed_tokens$", "embed_token$"))
    code, said = repository.run("plan", "demo")
    assert code == 2
    assert re.search(r"releases/recipes/mixed-5-6-8.yaml:\d+", said)
    assert "Traceback" not in said


def test_the_card_is_checked_against_its_inputs(copy):
    assert copy.run("card", "demo", "--check")[0] == 0
    path = copy.root / "releases/demo/README.md"
    path.write_text(path.read_text().replace("perplexity", "perplexities", 1))
    code, said = copy.run("card", "demo", "--check")
    assert code == 5
    assert "--diff" in said
    code, said = copy.run("card", "demo", "--diff")
    assert code == 0
    assert "-" in said
    assert copy.run("card", "demo")[0] == 0
    assert copy.run("card", "demo", "--check")[0] == 0


def test_the_sizes_are_known_before_anything_is_read(released, repository):
    code, said = repository.run("plan", "demo", "--json")
    sizes = json.loads(said)
    assert code == 0
    published = released.workspace / "releases/demo/model"
    assert {shard["name"]: shard["bytes"] for shard in sizes["shards"]} == {
        path.name: path.stat().st_size for path in published.glob("*.safetensors")
    }
    assert sizes["parameters"] == 134_515_008
    assert sum(rule["modules"] for rule in sizes["rules"]) == 211
