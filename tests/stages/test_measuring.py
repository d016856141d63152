"""What is measured of a release, and what would make it be measured again."""

from __future__ import annotations

import json

import pytest

from pipeline.engine.workspace import Record
from pipeline.hub.connect import connect
from pipeline.release.load import load_release
from pipeline.stages import measuring, validate
from pipeline.stages.job import Folders, open_job


@pytest.fixture
def tasks(repository, seeded_hub):
    """The tasks of the demo by name, after a change of its release.yaml."""

    def make(before="", after=""):
        repository.edit("demo", before, after)
        folders = Folders(repository.root, repository.workspace)
        with connect("local", seeded_hub, writable=False) as hub:
            job = open_job(load_release(repository.root, "demo"), folders, hub, keep=False)
        made = {task.name: task for task in validate.tasks(job)}
        assert set(measuring.measures(job)) == set(made[validate.JUDGE].needs)
        assert set(made) == {*measuring.measures(job), *measuring.STATES.values(), validate.JUDGE}
        return made

    return make


def test_what_earlier_releases_measured_stands(tasks):
    questions = ["What is the capital of France?", "Why do leaves look green? Answer in one sentence."]
    assert tasks()[measuring.GENERATION].settings == {"prompts": questions, "max_tokens": 120}
    assert tasks()[measuring.GENERATION].work == 2 * 120


def test_prompts_and_sampling_are_settings_as_they_were_written(tasks):
    before = "    - What is the capital of France?\n"
    after = "    - {ask: 'What is the capital of France?', expect: Paris, max_tokens: 20}\n"
    changed = tasks(before, after)
    assert changed[measuring.SERVING].settings["prompt"] == "What is the capital of France?"
    task = changed[measuring.GENERATION]
    assert task.settings["prompts"][0] == {
        "ask": "What is the capital of France?",
        "expect": "Paris",
        "max_tokens": 20,
    }
    assert task.work == 20 + 120
    task = tasks("  max_tokens: 120\n", "  max_tokens: 120\n  sampling: {seed: 3}\n")[measuring.GENERATION]
    assert task.settings["sampling"] == {"temperature": 0.7, "top_p": 0.95, "seed": 3}
    assert task.work == 2 * (20 + 120)


def test_the_command_of_the_card_is_served_unless_it_is_not_wanted(tasks):
    serving = tasks()[measuring.SERVING].settings
    assert serving["command"] == ["mlx_lm.server", "--model", "demo/SmolLM2-135M-Instruct-MLX-mixed"]
    assert serving["prompt"] == "What is the capital of France?"
    trusted = tasks("\nrecipe:", "  trust_remote_code: true\n\nrecipe:")[measuring.SERVING].settings
    assert trusted["command"] == [*serving["command"], "--trust-remote-code"]
    assert measuring.SERVING not in tasks("  max_tokens: 120\n", "  max_tokens: 120\n  serve: false\n")


def test_a_result_that_no_machine_holds_need_not_be_asked(tasks):
    tasks("  generation: true\n", "  generation: false\n")
    assert measuring.GENERATION not in tasks("  max_tokens: 120\n", "  max_tokens: 120\n  generate: false\n")


def test_states_that_are_gone_are_computed_again(tasks, repository):
    record = Record("any", {}, {}, values={"states": "0123"})
    made = tasks()
    shared, own = repository.workspace, repository.workspace / "releases/demo"
    for subject, place in (("base", shared), ("quantized", own)):
        check = made[measuring.STATES[subject]].check
        assert check(record) == "the hidden states that it left are gone"
        (place / "states/0123").mkdir(parents=True)
        assert check(record) is None


def test_a_server_that_did_not_answer_well_is_tried_again(tasks, repository):
    check = tasks()[measuring.SERVING].check
    file = repository.workspace / "releases/demo/evidence/serving.json"
    file.parent.mkdir(parents=True)
    for passed, reason in ((True, None), (False, "the server did not answer well the last time")):
        file.write_text(json.dumps({"values": {"passed": passed}}))
        assert check(None) == reason
