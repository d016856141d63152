"""What a model is asked at first, to see that it speaks: a fact and a sentence, in the language that it is made for."""

# ruff: noqa: RUF001 - letters of other languages look like some of ours

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.manifest import Json

_ASKED: Mapping[str, tuple[str, str, str]] = {
    "en": ("What is the capital of France?", r"\bParis\b", "Why do leaves look green? Answer in one sentence."),
    "de": ("Was ist die Hauptstadt von Frankreich?", r"\bParis\b", "Warum sind Blätter grün? Antworte in einem Satz."),
    "fr": (
        "Quelle est la capitale de l'Italie ?",
        r"\bRome\b",
        "Pourquoi les feuilles sont-elles vertes ? Une phrase.",
    ),
    "es": ("¿Cuál es la capital de Francia?", r"\bPar[ií]s\b", "¿Por qué las hojas son verdes? Responde en una frase."),
    "it": ("Qual è la capitale della Francia?", r"\bParigi\b", "Perché le foglie sono verdi? Rispondi in una frase."),
    "pt": ("Qual é a capital da França?", r"\bParis\b", "Por que as folhas são verdes? Responda em uma frase."),
    "nl": ("Wat is de hoofdstad van Frankrijk?", r"\bParijs\b", "Waarom zijn bladeren groen? Antwoord in één zin."),
    "pl": ("Jaka jest stolica Francji?", "Paryż", "Dlaczego liście są zielone? Odpowiedz jednym zdaniem."),
    "ru": ("Какой город — столица Франции?", "Париж", "Почему листья зелёные? Ответь одним предложением."),
    "tr": ("Fransa'nın başkenti neresidir?", "Paris", "Yapraklar neden yeşildir? Tek cümleyle yanıtla."),
    "ja": ("フランスの首都はどこですか。", "パリ", "葉はなぜ緑色なのですか。一文で答えてください。"),
    "ko": ("프랑스의 수도는 어디인가요?", "파리", "나뭇잎은 왜 초록색인가요? 한 문장으로 답해 주세요."),
    "zh": ("法国的首都是哪里？", "巴黎", "树叶为什么是绿色的？请用一句话回答。"),
}
"""By language: a question, what has to be found in every answer, and another one."""


def prompts(languages: Sequence[str]) -> list[Json]:
    """For `evaluate.prompts`: in English where it is spoken or nothing is known, and in another language of it."""
    known = list(dict.fromkeys(code for language in languages if (code := language.partition("-")[0]) in _ASKED))
    first = ["en"] if "en" in known or not known else []
    others = [code for code in known if code != "en"]
    return [prompt for code in (first + others)[:2] for prompt in _in(code)]


def _in(code: str) -> list[Json]:
    fact, expected, other = _ASKED[code]
    return [{"ask": fact, "expect": expected}, other]
