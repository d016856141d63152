"""Release files and recipes from disk: what is read, what is refused, and in which words."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ReleaseFileError, UsageError
from pipeline.release.limits import Increase
from pipeline.release.load import load_recipe, load_release
from pipeline.release.recipe import Precision, Unquantized

GOLDEN = Path(__file__).parents[1] / "golden" / "release"


def refusal(root, name, load=load_release):
    with pytest.raises(ReleaseFileError) as raised:
        load(root, name)
    return str(raised.value)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_mistake_is_answered_in_the_words_of_its_golden_file(path, repository):
    name, kind, _ = path.name.split(".")
    repository.recipe("mixed-5-6-8", repository.recipe_text)
    getattr(repository, kind)(name, path.read_bytes())
    told = refusal(repository.root, name, load_release if kind == "release" else load_recipe) + "\n"
    golden = path.with_suffix(".txt")
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(told, "utf-8")
    assert told == golden.read_text("utf-8"), f"{golden.name}: run again with UPDATE_GOLDEN=1 if this is meant"


def test_a_release_comes_with_its_recipe_and_the_defaults_of_what_was_left_out(repository):
    asked = load_release(repository.root, "small")
    assert asked.name == "small"
    assert asked.release.base.revision == repository.commit
    assert (asked.release.hub, asked.release.target.shard_size) == ("huggingface", 5_000_000_000)
    assert asked.release.thresholds.perplexity_increase == Increase(0.1, "%")
    assert (asked.release.thresholds.against, asked.release.waivers) == ("base", ())
    assert [str(rule) for rule in asked.recipe.rules] == ["`mlp`"]
    assert asked.recipe.otherwise == Precision(8)


def test_problems_of_the_release_and_of_its_recipe_come_together_in_the_order_of_reading(repository):
    text = repository.text.replace("title:", "titel:").replace("10 %", "10")
    repository.release("small", text)
    repository.recipe("plain", repository.recipe_text.replace("bits: 4", "bits: 7"))
    told = refusal(repository.root, "small")
    assert re.findall(r"^(\S+?):\d+:\d+: (\S+):", told, re.MULTILINE) == [
        ("releases/small/release.yaml", "titel"),
        ("releases/small/release.yaml", "thresholds.perplexity_increase"),
        ("releases/recipes/plain.yaml", "rules[0].bits"),
    ]


@pytest.mark.parametrize(
    ("written", "language"),
    [("[no]", "no"), ('["no"]', "no"), ("['no']", "no")],
)
def test_the_country_of_norway_survives(repository, written, language):
    repository.release("small", repository.text + f"language: {written}\n")
    assert load_release(repository.root, "small").release.language == (language,)


def test_numbers_mean_what_they_look_like(repository):
    text = repository.text.replace("  prompts:", "  window: 012\n  windows: 0x10\n  max_tokens: +7\n  prompts:")
    repository.release("small", text)
    evaluate = load_release(repository.root, "small").release.evaluate
    assert (evaluate.window, evaluate.windows, evaluate.max_tokens) == (12, 16, 7)


@pytest.mark.parametrize(("word", "meaning"), [("true", True), ("True", True), ("FALSE", False), ("false", False)])
def test_a_boolean_is_true_or_false_in_any_of_its_spellings(repository, word, meaning):
    repository.release("small", repository.text.replace("tag: v1", f"tag: v1, private: {word}"))
    assert load_release(repository.root, "small").release.target.private is meaning


def test_windows_line_ends_and_a_byte_order_mark_are_no_mistake(repository):
    repository.release("small", b"\xef\xbb\xbf" + repository.text.replace("\n", "\r\n").encode())
    assert load_release(repository.root, "small").release.title == "A small model"


def test_a_flood_of_brackets_or_of_aliases_is_refused_at_once(repository):
    bomb = "a: &a [x]\n" + "".join(f"k{n}: &k{n} [{', '.join(['*a'] * 9)}]\n" for n in range(9))
    for text in ("[" * 200_000, "{" * 200_000, "- " * 100_000, bomb, "x" * 300_000):
        repository.release("small", text)
        refusal(repository.root, "small")


def test_a_misspelt_release_or_recipe_gets_a_suggestion(repository):
    with pytest.raises(UsageError, match=r"there is no release 'smal'; did you mean `small`\?") as raised:
        load_release(repository.root, "smal")
    assert raised.value.hint == "There is: small."
    with pytest.raises(UsageError, match=r"there is no recipe 'plane'; did you mean `plain`\?"):
        load_recipe(repository.root, "plane")


@pytest.mark.parametrize("name", ["../small", "recipes", "small/", ".", "", "/etc", "small/../small"])
def test_no_name_leads_out_of_the_releases(repository, name):
    repository.release("recipes", repository.text)
    with pytest.raises(UsageError, match="there is no release"):
        load_release(repository.root, name)


def test_a_release_file_that_cannot_be_read_says_why(repository):
    (repository.root / "releases" / "odd" / "release.yaml").mkdir(parents=True)
    assert "releases/odd/release.yaml: cannot be read: Is a directory" in refusal(repository.root, "odd")


def test_own_rules_come_before_those_of_the_extended_recipe(repository):
    own = "version: 2\nsummary: More.\nextends: plain\nrules:\n  - {match: attn, dtype: float16, why: Sharp.}\n"
    repository.recipe("more", own)
    recipe = load_recipe(repository.root, "more")
    assert [(str(rule), rule.decision, str(rule.place)) for rule in recipe.rules] == [
        ("`attn`", Unquantized("float16"), "releases/recipes/more.yaml:5"),
        ("`mlp`", Precision(4), "releases/recipes/plain.yaml:4"),
    ]
    assert (recipe.otherwise, recipe.place.file) == (Precision(8), "releases/recipes/plain.yaml")
    repository.recipe("more", own + "otherwise: error\n")
    assert load_recipe(repository.root, "more").otherwise is None


def test_a_circle_of_recipes_is_named_whole(repository):
    for name, parent in (("one", "two"), ("two", "three"), ("three", "one")):
        repository.recipe(name, f"version: 1\nsummary: A part.\nextends: {parent}\n")
    assert (
        "releases/recipes/three.yaml:3:10: extends: recipes extend each other in a circle: one > two > three > one"
        in (refusal(repository.root, "one", load_recipe))
    )


def test_mistakes_of_an_extended_recipe_are_reported_at_its_own_place(repository):
    repository.recipe("broken", "version: 1\nsumary: A part.\nextends: nowhere\n")
    repository.recipe("child", "version: 1\nextends: broken\n")
    told = refusal(repository.root, "child", load_recipe)
    assert re.findall(r"^(\S+): (\w+): (.{9})", told, re.MULTILINE) == [
        ("releases/recipes/child.yaml:1:1", "summary", "is missin"),
        ("releases/recipes/broken.yaml:2:1", "sumary", "unknown k"),
        ("releases/recipes/broken.yaml:3:10", "extends", "there is "),
    ]


AWKWARD = """\
~ no on 012 0o7 1e999 -.inf .nan 2024-01-01 12:30 '4' [] {} [1] {a:1} !!int <<
10% 5GB -1 1-3 error affine mxfp4 '{value}' 📦 *a &a @ ` ? - : "\\." '
"""
scalars = st.sampled_from(["", "9" * 5000, "{a: 1}", "!!int 3", "&a b", "10 %", *AWKWARD.split()])


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_value_anywhere_is_read_or_refused_in_plain_english(tmp_path_factory, data):
    root = tmp_path_factory.getbasetemp() / "anywhere"
    (root / "releases/recipes").mkdir(parents=True, exist_ok=True)
    keys = ["version", "summary", "extends", "otherwise", "bits", "nonsense"]
    inner = ["match", "layers", "mode", "bits", "group_size", "method", "dtype", "why"]
    top = data.draw(st.dictionaries(st.sampled_from(keys), scalars))
    rule = data.draw(st.dictionaries(st.sampled_from(inner), scalars))
    text = "".join(f"{key}: {value}\n" for key, value in top.items())
    text += "rules:\n  -\n" + "".join(f"    {key}: {value}\n" for key, value in rule.items())
    (root / "releases/recipes/any.yaml").write_text(text, "utf-8")
    try:
        load_recipe(root, "any")
    except ReleaseFileError as error:
        told = str(error)
        assert not re.search(r"[Ii]nput|Value error|pydantic|Traceback|Field required", told)
        assert re.match(r"releases/recipes/any\.yaml:\d+:\d+: ", told)


@pytest.mark.parametrize(
    ("fit", "place", "told"),
    [
        ("{}", "fit", "asks for nothing: say `size`, or `memory`, or both"),
        ("{context: 128k}", "fit.context", "says something about `memory`, which is missing"),
        ("{size: 5 GB, beside: 60 GB}", "fit.beside", "says something about `memory`, which is missing"),
        ("{memory: 512 GiB, usable: 110 %}", "fit.usable", "must be a share of the memory, between 0 and 100 %"),
        ("{memory: 512}", "fit.memory", "must be a size with its unit"),
        ("{memory: 5 GB, context: long}", "fit.context", "must be a number of tokens, such as `128k` or `4096`"),
        ("{memroy: 5 GB}", "fit.memroy", "did you mean `memory`?"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(fit, place, told, repository):
    repository.release("small", f"{repository.text}fit: {fit}\n")
    (line,) = [line for line in refusal(repository.root, "small").splitlines() if line.startswith("releases/")]
    assert re.match(rf"releases/small/release.yaml:\d+:\d+: {re.escape(place)}", line)
    assert told in line


def test_a_budget_is_read_in_bytes_and_tokens(repository):
    repository.release(
        "small", f"{repository.text}fit: {{memory: 512 GiB, usable: 90 %, context: 128k, beside: 60 GB}}\n"
    )
    fit = load_release(repository.root, "small").release.fit
    assert (fit.memory, fit.usable, fit.context, fit.beside, fit.size) == (512 << 30, 0.9, 131072, 60 * 10**9, None)


TEXT = """\
    repo: someone/prose
    revision: 0123456789abcdef0123456789abcdef01234567
    file: prose.txt
"""


def text_told(repository, keys, *, top=""):
    """What is said of a release whose text is in another place: the places and sentences."""
    assert TEXT in repository.text
    text = repository.text.replace(TEXT, "".join(f"    {key}\n" for key in keys)).replace(
        "  prompts:", f"{top}  prompts:"
    )
    repository.release("small", text)
    return re.findall(r"^(\S+?):\d+:\d+: (.*)$", refusal(repository.root, "small"), re.MULTILINE)


def test_a_text_may_be_a_file_of_ones_own_or_a_sampled_dataset(repository):
    (repository.root / "releases" / "prose.jsonl").write_text('{"body": "One."}\n')
    own = "    path: releases/prose.jsonl\n    field: body\n"
    repository.release("small", repository.text.replace(TEXT, own))
    text = load_release(repository.root, "small").release.evaluate.text
    assert (text.on_hub, text.path, text.lines_field) == (None, "releases/prose.jsonl", "body")
    repository.release("small", repository.text.replace(TEXT, "    dataset: some/years\n    seed: 0\n"))
    text = load_release(repository.root, "small").release.evaluate.text
    assert (text.on_hub, text.dataset, text.seed, text.samples) == (None, "some/years", 0, None)


def test_only_lines_have_a_field(repository):
    text = load_release(repository.root, "small").release.evaluate.text
    assert (text.on_hub.file, text.lines_field) == ("prose.txt", None)
    repository.release("small", repository.text.replace("prose.txt", "prose.jsonl"))
    assert load_release(repository.root, "small").release.evaluate.text.lines_field == "text"


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ([], "evaluate.text: needs `repo`, `revision`, `file`, or instead `path` or `dataset`"),
        (["repo: a/b", "file: x.txt"], "evaluate.text: needs `revision`"),
        (["repo: a/b", "path: x.txt"], "evaluate.text.path: cannot stand beside `repo`: the text is in one place"),
        (
            ["path: x.txt", "dataset: a/b"],
            "evaluate.text.dataset: cannot stand beside `path`: the text is in one place",
        ),
        (["path: ../x.txt"], "evaluate.text.path: must be the path of a file inside the repository, not '../x.txt'"),
        (["path: x.txt", "field: body"], "evaluate.text.field: is for `.jsonl` files, and 'x.txt' is none"),
        (
            ["path: x.txt", "seed: 5"],
            "evaluate.text.seed: is for a `dataset`; of a file, `evaluate.window` and `evaluate.windows` are measured",
        ),
        (["dataset: a/b", "seed: -1"], "evaluate.text.seed: must be at least 0, not -1"),
        (["dataset: a/b", "samples: 0"], "evaluate.text.samples: must be at least 1, not 0"),
        (["path: absent.txt"], "evaluate.text.path: absent.txt cannot be read: No such file or directory"),
    ],
)
def test_a_text_that_is_nowhere_or_in_two_places_is_refused(keys, told, repository):
    assert text_told(repository, keys) == [("releases/small/release.yaml", told)]


def test_windows_are_of_files_and_samples_of_datasets(repository):
    told = text_told(repository, ["dataset: a/b"], top="  windows: 8\n")
    what = "evaluate.windows: is for a text in a file; of a dataset, `sequence_length` and `samples` of `text` hold"
    assert told == [("releases/small/release.yaml", what)]


def test_mistakes_in_a_file_of_ones_own_are_told_with_its_name(repository):
    (repository.root / "prose.jsonl").write_text('{"text": "One."}\n{"txt": "Two."}\n')
    assert text_told(repository, ["path: prose.jsonl"]) == [
        ("prose.jsonl", "has no key `text`, but `txt`; name another with `evaluate.text.field`")
    ]


@pytest.mark.parametrize(
    ("speed", "told"),
    [
        (
            "{prompts: [], generation: []}",
            "evaluate.speed: asks for nothing: leave it out, or say `prompts` or `generation`",
        ),
        ("{prompts: [1000, 1000]}", "evaluate.speed.prompts: holds 1000 more than once"),
        ("{generation: [0]}", "evaluate.speed.generation[0]: must be at least 1, not 0"),
        ("{trials: 0}", "evaluate.speed.trials: must be at least 1, not 0"),
        ("true", "evaluate.speed: must be keys with values, not true; `{}` asks for the defaults"),
        ("", "evaluate.speed: is empty; write a value, or remove the key; `{}` asks for the defaults"),
    ],
)
def test_a_benchmark_that_makes_no_sense_is_refused(speed, told, repository):
    repository.release("small", repository.text.replace("  prompts:", f"  speed: {speed}\n  prompts:"))
    (line,) = [line for line in refusal(repository.root, "small").splitlines() if line.startswith("releases/")]
    assert line.endswith(told)


def test_a_benchmark_is_measured_only_when_it_is_asked_for(repository):
    assert load_release(repository.root, "small").release.evaluate.speed is None
    repository.release("small", repository.text.replace("  prompts:", "  speed: {trials: 3}\n  prompts:"))
    speed = load_release(repository.root, "small").release.evaluate.speed
    assert (speed.prompts, speed.generation, speed.trials) == ((1000, 5000, 10000, 20000), (500, 1000, 2000, 5000), 3)


THRESHOLDS = "thresholds: {perplexity_increase: 10 %}"


@pytest.mark.parametrize(
    ("thresholds", "place", "told"),
    [
        ("{perplexity_increase: 10}", "perplexity_increase", "must be an increase with its unit, such as `10 %`"),
        ("{kl_mean: 5 %}", "kl_mean", "must be a number of nats, such as `0.05`, not '5 %'"),
        ("{kl_p99: -1}", "kl_p99", "must be a number of nats"),
        ("{kl_p99: .nan}", "kl_p99", "must be a number of nats"),
        ("{top1: 0.9}", "top1", "must be a share with its percent sign"),
        ("{top1: 101 %}", "top1", "must be a share of the tokens, at most 100 %"),
        ("{memory: 400 GB}", "memory", "must be memory at a context, such as `400 GB at 128k`"),
        ("{kl_men: 0.1}", "kl_men", "did you mean `kl_mean`?"),
        ("{against: other}", "against", "says something about `perplexity_increase`, which is missing"),
        (
            "{perplexity_increase: 1 %, against: nowhere}",
            "against",
            "there is no releases/nowhere/release.yaml; write `base`, or a release: large",
        ),
        ("{perplexity_increase: 1 %, against: lareg}", "against", "did you mean `large`?"),
        ("{perplexity_increase: 1 %, against: small}", "against", "a release cannot be held against itself"),
    ],
)
def test_a_threshold_that_makes_no_sense_is_refused(thresholds, place, told, repository):
    repository.release("large", repository.text)
    repository.release("small", repository.text.replace(THRESHOLDS, f"thresholds: {thresholds}"))
    lines = [line for line in refusal(repository.root, "small").splitlines() if line.startswith("releases/")]
    assert re.match(rf"releases/small/release.yaml:\d+:\d+: thresholds\.{place}: ", lines[0])
    assert told in lines[0]


def test_the_only_release_can_be_held_against_nothing_but_the_base(repository):
    repository.release("small", repository.text.replace("10 %}", "10 %, against: smoll}"))
    assert "; write `base`, since there is no other release" in refusal(repository.root, "small")


def test_thresholds_are_read_in_the_units_of_what_they_limit(repository):
    written = (
        "{perplexity_increase: 2 errors, against: large, kl_mean: 0.05, kl_p99: 1, top1: 90 %, memory: 1 GB at 4k}"
    )
    repository.release("small", repository.text.replace(THRESHOLDS, f"thresholds: {written}"))
    repository.release("large", repository.text)
    found = load_release(repository.root, "small").release.thresholds
    assert (found.perplexity_increase, found.against) == (Increase(2, "errors"), "large")
    assert (found.kl_mean, found.kl_p99, found.top1) == (0.05, 1.0, 0.9)
    assert (found.memory.nbytes, found.memory.context) == (10**9, 4096)


@pytest.mark.parametrize(
    ("waivers", "path", "told"),
    [
        (
            "{threshold: kl_mean, why: Because.}",
            "waivers[0].threshold",
            "`kl_mean` is not asked for: there is nothing to waive",
        ),
        ("{threshold: generation}", "waivers[0].why", "is missing"),
        ("{threshold: generation, reason: x}", "waivers[0].reason", "unknown key; did you mean `why`?"),
        ("{threshold: generation, why: ''}", "waivers[0].why", "must not be empty"),
        ("{threshold: perplexity, why: Because.}", "waivers[0].threshold", "; did you mean `perplexity_increase`?"),
        ("{threshold: against, why: Because.}", "waivers[0].threshold", "must be `perplexity_increase`, `kl_mean`"),
        (
            "{threshold: generation, why: Because.}, {threshold: generation, why: Once more.}",
            "waivers[1].threshold",
            "`generation` is waived twice",
        ),
    ],
)
def test_a_waiver_names_a_threshold_that_is_asked_for_and_says_why(waivers, path, told, repository):
    repository.release("small", f"{repository.text}waivers: [{waivers}]\n")
    (line,) = [line for line in refusal(repository.root, "small").splitlines() if line.startswith("releases/")]
    assert re.match(rf"releases/small/release.yaml:\d+:\d+: {re.escape(path)}: ", line)
    assert told in line


def test_a_waiver_is_wrong_at_its_line_and_column_beside_other_mistakes(repository):
    text = repository.text.replace("title:", "titel:") + "waivers:\n  - threshold: top1\n    why: Because.\n"
    repository.release("small", text)
    told = refusal(repository.root, "small")
    line = text.splitlines().index("  - threshold: top1") + 1
    assert "release.yaml:1:1: titel:" in told
    assert f"release.yaml:{line}:16: waivers[0].threshold: `top1` is not asked for" in told


def test_a_threshold_that_is_switched_off_cannot_be_waived(repository):
    off = repository.text.replace("10 %}", "10 %, generation: false}")
    waivers = "waivers: [{threshold: generation, why: Because.}]\n"
    repository.release("small", off + waivers)
    assert "`generation` is not asked for" in refusal(repository.root, "small")
    repository.release("small", repository.text + waivers)
    assert load_release(repository.root, "small").release.waivers[0].why == "Because."


@pytest.mark.parametrize(
    ("serve", "serving", "asked"),
    [("", "", True), ("true", "", True), ("", "true", True), ("false", "", False), ("", "false", False)],
)
def test_serving_is_asked_for_and_may_be_waived_wherever_it_is_tried(serve, serving, asked, repository):
    text = repository.text.replace("  prompts:", f"  serve: {serve}\n  prompts:" if serve else "  prompts:")
    text = text.replace("10 %}", f"10 %, serving: {serving}}}" if serving else "10 %}")
    repository.release("small", f"{text}waivers: [{{threshold: serving, why: Because.}}]\n")
    if asked:
        assert load_release(repository.root, "small").release.waivers[0].threshold == "serving"
    else:
        assert "waivers[0].threshold: `serving` is not asked for" in refusal(repository.root, "small")


def test_a_server_that_is_never_tried_cannot_be_asked_for(repository):
    text = repository.text.replace("  prompts:", "  serve: false\n  prompts:")
    repository.release("small", text.replace("10 %}", "10 %, serving: true}"))
    told = "release.yaml:16:50: thresholds.serving: cannot be met: `evaluate.serve` is `false`"
    assert told in refusal(repository.root, "small")


def test_answers_that_nobody_asks_for_cannot_be_judged(repository):
    text = repository.text.replace("  prompts:", "  generate: false\n  prompts:")
    repository.release("small", text)
    told = (
        "evaluate.generate: nobody asks it anything then, which `thresholds.generation` wants: set that to `false` too"
    )
    assert told in refusal(repository.root, "small")
    repository.release("small", text.replace("10 %}", "10 %, generation: false}"))
    assert load_release(repository.root, "small").release.evaluate.generate is False


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("fit: true", "fit: must be keys with values, not true"),
        ("fit:", "fit: is empty; write a value, or remove the key"),
        ("waivers:", "waivers: is empty; write a value, or remove the key"),
        ("waivers: [true]", "waivers[0]: must be keys with values, not true"),
    ],
)
def test_no_defaults_are_offered_where_there_are_none(line, told, repository):
    repository.release("small", f"{repository.text}{line}\n")
    assert re.findall(r"^releases/\S+: (.*)$", refusal(repository.root, "small"), re.MULTILINE) == [told]


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("Answer this: why?", "known here: ask, system, expect, max_tokens, thinking"),
        ("Think: why?", "did you mean `thinking`?"),
    ],
)
def test_a_prompt_with_a_colon_is_told_to_stand_in_quotes(prompt, told, repository):
    before = "prompts: ['What is the capital of France?']"
    assert before in repository.text
    repository.release("small", repository.text.replace(before, f"prompts:\n    - {prompt}"))
    said = refusal(repository.root, "small")
    assert f"unknown key; {told}; put a text that contains `: ` in quotes" in said
    repository.release("small", repository.text.replace(before, f"prompts:\n    - '{prompt}'"))
    assert load_release(repository.root, "small").release.evaluate.prompts[0].ask == prompt
