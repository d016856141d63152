"""The sources as they are written, in excerpts of our own, served from this machine."""

from __future__ import annotations

import http.server
import threading

import pytest

from pipeline.errors import PipelineError
from pipeline.metadata.refresh import main, refresh

COMMITS = {"huggingface/hub-docs": "a" * 40, "huggingface/huggingface.js": "b" * 40}
DOCS, JAVASCRIPT = (f"/{repository}/{commit}" for repository, commit in COMMITS.items())
LETTERS = "abcdefghijklmnopqrstuvwxyz"
ISO_3 = "".join(
    f'\t{a}{b}{c}: {{\n\t\tcode: "{a}{b}{c}",\n\t}},\n' for a in "xyz" for b in LETTERS[:18] for c in LETTERS
)
FILES = {
    "/repos/huggingface/hub-docs/commits/main": "a" * 40,
    "/repos/huggingface/huggingface.js/commits/main": "b" * 40,
    f"{DOCS}/docs/hub/repositories-licenses.md": """# Licenses
| Not `yet` | `outside` |
<!-- region licenses -->

| Fullname | License identifier (to use in repo card) |
| -------- | ---------------------------------------- |
| Apache license 2.0 | `apache-2.0` |
| MIT | `mit` |
| Llama 3.3 | `llama3.3` | <!-- license: https://example.org -->
| Open Rail++-M | `openrail++` |
| Other | `other` |

<!-- endregion -->
| After | `after` |
""",
    f"{DOCS}/modelcard.md": """---
# Example metadata to be added to a model card.
language:
- {lang_0}  # Example: fr
license: {license}  # Example: mit
model-index:
- name: {model_id}
  results:
---
also: not a key
""",
    f"{JAVASCRIPT}/packages/tasks/src/pipelines.ts": """export const MODALITIES = ["nlp"] as const;
export const PIPELINE_DATA = {
\t"text-generation": {
\t\tname: "Text Generation",
\t\tsubtasks: [
\t\t\t{
\t\t\t\ttype: "dialogue-modeling",
\t\t\t},
\t\t],
\t},
\t"image-text-to-text": {
\t\tname: "Image-Text-to-Text",
\t},
\tother: {
\t\tname: "Other",
\t},
} satisfies Record<string, PipelineData>;
export const MORE = {
\t"not-a-task": {
\t},
};
""",
    f"{JAVASCRIPT}/packages/tasks/src/model-libraries.ts": """export const MODEL_LIBRARIES_UI_ELEMENTS = {
\tmlx: {
\t\tprettyLabel: "MLX",
\t\tsnippets: snippets.mlx,
\t},
\ttransformers: {
\t\tprettyLabel: "Transformers",
\t},
\t"transformers.js": {
\t\tprettyLabel: "Transformers.js",
\t},
} satisfies Record<string, LibraryUiElement>;
""",
    f"{JAVASCRIPT}/packages/languages/src/languages_iso_639_1.ts": """export const LANGUAGES_ISO_639_1 = {
\ten: {
\t\tcode: "en",
\t},
\tno: {
\t\tcode: "no",
\t},
\tzh: {
\t\tcode: "zh",
\t},
} satisfies Record<string, Language>;
""",
    f"{JAVASCRIPT}/packages/languages/src/languages_iso_639_3.ts": f"""export const LANGUAGES_ISO_639_3 = {{
\tyue: {{
\t\tcode: "yue",
\t}},
{ISO_3}}} satisfies Record<string, Language>;
""",
}


@pytest.fixture
def files():
    return dict(FILES)


@pytest.fixture
def served(files):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            found = files.get(self.path)
            self.send_response(404 if found is None else 200)
            self.end_headers()
            self.wfile.write((found or "").encode())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def words(folder, name):
    return [line for line in (folder / f"{name}.txt").read_text().splitlines() if not line.startswith("#")]


def test_every_list_is_made_from_its_source_at_the_newest_commit(served, tmp_path):
    refresh(served, served, tmp_path)
    assert words(tmp_path, "licenses") == ["apache-2.0", "llama3.3", "mit", "openrail++", "other"]
    assert words(tmp_path, "keys") == ["language", "license", "model-index"]
    assert words(tmp_path, "pipeline-tags") == ["image-text-to-text", "other", "text-generation"]
    assert words(tmp_path, "libraries") == ["mlx", "transformers", "transformers.js"]
    languages = words(tmp_path, "languages")
    assert languages[:4] == ["en", "no", " ".join(f"xa{c}" for c in LETTERS), languages[3]]
    assert sum(len(line.split()) for line in languages) == 3 + 3 * 18 * 26 + 1
    head = (tmp_path / "licenses.txt").read_text().splitlines()[:3]
    assert (
        head[1] == f"# From https://github.com/huggingface/hub-docs/blob/{'a' * 40}/docs/hub/repositories-licenses.md"
    )
    assert head[2].endswith("by `python -m pipeline.metadata.refresh`; not to be edited by hand.")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            (f"{DOCS}/docs/hub/repositories-licenses.md", "# Moved"),
            r"repositories-licenses\.md does not hold `apache-2\.0`",
        ),
        (
            (f"{JAVASCRIPT}/packages/tasks/src/pipelines.ts", "const TASKS = {\n\t}"),
            "does not hold `image-text-to-text`",
        ),
        (
            (f"{JAVASCRIPT}/packages/tasks/src/pipelines.ts", None),
            r"pipelines\.ts cannot be read: HTTP Error 404",
        ),
        (
            ("/repos/huggingface/hub-docs/commits/main", "{}"),
            "does not say which commit huggingface/hub-docs is at",
        ),
    ],
)
def test_a_source_that_is_gone_or_written_otherwise_changes_no_list(change, told, served, files, tmp_path):
    path, content = change
    if content is None:
        del files[path]
    else:
        files[path] = content
    with pytest.raises(PipelineError, match=told):
        refresh(served, served, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_as_a_command_it_says_in_one_sentence_what_went_wrong(served, files, tmp_path):
    arguments = ["--api", served, "--raw", served, "--folder", str(tmp_path)]
    main(arguments)
    files.clear()
    with pytest.raises(SystemExit, match=r"^error: http://127\.0\.0\.1"):
        main(arguments)
