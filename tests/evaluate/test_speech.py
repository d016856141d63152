from __future__ import annotations

import pytest

from pipeline.evaluate.speech import problems

CIRCLES = (
    "of the land a far land of leaves and the autumn far land of leaves in the wind a far land of leaves and the wind "
    "and the autumn far land of leaves of the land a far land of leaves and the autumn far land of"
)
PROSE = (
    "The sky is blue because of a process called Rayleigh scattering, where light meets tiny molecules of air and is "
    "deflected by them. Blue light is scattered more than red light, for its waves are shorter."
)


def _of(text: str) -> list[str]:
    """The words stand for the tokens."""
    return list(problems(text, [hash(word) for word in text.replace("\n", " \n ").split()]))


@pytest.mark.parametrize(
    "text",
    [
        PROSE,
        "4",
        "1. Bananas\n2. Oranges\n3. Grapes",
        "```python\ndef add(a, b):\n    return a + b\n\ndef subtract(a, b):\n    return a - b\n```",
        "巴黎是法国的首都,也是该国最大的城市,位于塞纳河畔,人口超过两百万,是世界上最受欢迎的旅游目的地之一。",
        "पेरिस फ्रांस की राजधानी और उसका सबसे बड़ा शहर है, जो सीन नदी के किनारे बसा हुआ है।",
        "Good morning 👩‍🚀! Ça va très bien, merci.",
        "| Planet | Moons |\n|---|---|\n| Mars | 2 |\n| Earth | 1 |\n| Saturn | 146 |",
        ", ".join(str(number) for number in range(1, 31)),
    ],
)
def test_what_people_write_has_no_problems(text: str) -> None:
    assert _of(text) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (" \n ", "is empty"),
        ("Boil an egg:\n\n" * 5, "says the line 'Boil an egg:' 5 times"),
        ("Planets:\n" + "\n".join(f"{n}. Pluto" for n in range(9, 17)), "says the line '#. Pluto' 8 times"),
        ("Romeo stood on " + "the balcony of " * 20, "ends in a loop of 20 rounds"),
        ("trader " * 60, "ends in a loop of"),
        (CIRCLES, "goes round in circles"),
        (PROSE + " \ufffd\ufffd", "has 2 characters that are no text"),
        (PROSE + "\x00", "has 1 characters that are no text"),
        ("#@! (){} 12 %% ;; -> [] == && || ~~ 99 <> ?? // \\\\ ** ++ 34 ^^", "is hardly words"),
        ("xqzvwkjhgfdsapoiuytrewq mnbvcxzlkjhgfdsaqwertyuiop zzxxccvvbbnnmmaassdd", "has words of"),
    ],
)
def test_what_a_broken_model_says_is_named(text: str, problem: str) -> None:
    found = _of(text)
    assert len(found) == 1
    assert found[0].startswith(problem)
