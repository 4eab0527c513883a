"""What is not in quotes means the same to both readers of params.yaml, ours and DVC's, or is refused."""

import random
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from ruamel.yaml import YAML

from drdd.errors import UserError
from drdd.params import load, overridden
from drdd.params.file import parsed
from tests.conftest import ROOT

PARAMS = ROOT / "params.yaml"
TEXT = PARAMS.read_text()
ALPHABET = "0123456789" * 2 + "-+._:eExXobBaf"
LISTED = """
yes no on off y n Y N true FALSE tRUE null ~ Null 010 0o10 0x1F 0b11 1_000 +_ - + 1e3 1E+3 1.e3 .5 -.5 .5e3
12:30 1:2:3 16:9 08:30 1:60 12:30.5 2024-01-01 2024-1-1 2024-01 2024-01-01T10:00:00Z 1.2.3 .inf -.INF .nan
1e400 = << 999999999999999999999 00.5 0.5 -0 +1 0_1 1_.5 07 08 1e05 s3://a/b a:b x::y #1 | > ? *a 'no' "010"
[no] [1,{a:010}]
"""
TAGGED = ["!!str no", "! 5", "&a 5"]
SPACED = ["", "2024-01-01 10:00:00", "a: b", "- a", "\tx", "{no: 1}", "[1, {a: 010}]", *TAGGED]
WORDS = [*LISTED.split(), *SPACED]
LAYOUTS = [
    "a: {}\n",
    "a: [x, {}]\n",
    "a: {b: {}, c: d}\n",
    "a:\n  - {}\n",
    "{}: 1\n",
    "? {}\n: 1\n",
]


def _both(text: str) -> tuple[object, object]:
    """What this package reads, and DVC. Raises UserError when this package refuses it."""
    ours = OmegaConf.to_container(parsed(text, "params.yaml"))
    return ours, YAML(typ="safe").load(text) or {}


def _same(text: str) -> bool:
    """Whether a text is read, and by both as the same."""
    try:
        ours, theirs = _both(text)
    except UserError:
        return False
    assert repr(ours) == repr(theirs), text
    return True


@pytest.mark.parametrize("layout", LAYOUTS)
def test_both_readers_read_a_word_as_the_same(layout: str) -> None:
    chance = random.Random(layout)
    drawn = ["".join(chance.choices(ALPHABET, k=chance.randint(1, 7))) for _ in range(1500)]
    read = [word for word in (*WORDS, *drawn) if _same(layout.replace("{}", word))]
    assert "y" in read
    assert not {"no", "010", "2024-01-01", ".nan"} & set(read)
    assert len(read) > 50


@pytest.mark.parametrize(
    "text",
    [
        "a: &x {b: 1}\nc: {<<: *x, d: 2}\n",
        "a: &x {b: 1}\ne: &y {b: 3}\nc:\n  <<: [*x, *y]\n  d: 2\n",
        "a: 'it''s'\nb: \"\\u00e4\"\nc: |\n  two\n  lines\nd: >-\n  one\n  line\n",
        "\ufeffa: 1\r\nb: two words\r\n",
        "a: 1\rb: 2\r",
        "# only a comment\na:\nb: ~\n",
        "{a: 1, b: [1, 2], 'no': x}",
        "a: x # comment\nb: x#y\n",
        "--- \na: 1\n...\n",
    ],
)
def test_what_people_write_is_read_by_both(text: str) -> None:
    assert _same(text)


def test_the_params_of_the_project_are_read_by_both() -> None:
    assert _same(TEXT)
    assert _same(overridden(PARAMS, ["train.noise.weight_decay=1e-5"], ["all-in-one-5"]))


def _refused(text: str, tmp_path: Path) -> str:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        load(path)
    return str(error.value).replace(f"{tmp_path}/", "")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("promote: true", "promote: yes", ": publish.promote: YAML reads yes as a truth value; put it in"),
        ("\nseed: 0", "\nseed: 010", ": seed: YAML reads 010 as a number in a form of its own"),
        ("\nseed: 0", "\nseed: 12:30", ": seed: YAML reads 12:30 as a number"),
        ("\nseed: 0", "\nseed: 2024-01-01", ": seed: YAML reads 2024-01-01 as a date; put it in quotes"),
        ("\ntasks:\n", "\ntasks:\n  null: {}\n", ": YAML reads the key null in tasks as nothing (null)"),
        ("\ntasks:\n", "\ntasks:\n  ~: {}\n", ": YAML reads the key ~ in tasks as nothing (null)"),
        ("\ntasks:\n", "\ntasks:\n  on: {}\n", ": YAML reads the key on in tasks as a truth value"),
        ("\ntasks:\n", "\ntasks:\n  2024: {}\n", ": YAML reads the key 2024 in tasks as a number"),
        ("\ntasks:\n", "\ntasks:\n  ? [a]\n  : {}\n", ": a key in tasks is no text"),
        ("\ntasks:\n", "\ntasks:\n  haze: {}\n", ": the key haze in tasks is in line "),
        ("min_psnr_gain: 1.5", "min_psnr_gain: .nan", ": tasks.rain.min_psnr_gain: YAML reads .nan"),
        ("min_psnr_gain: 1.5", "min_psnr_gain: -.inf", "is not finite"),
        ("min_psnr_gain: 1.5", "min_psnr_gain: 1e999", "is not finite"),
        ("\nseed: 0", "\nseed: !!int 0", ": seed has the tag"),
        ("\nseed: 0", "\nseed: 0\u00a0", ": seed begins or ends with U+00A0, which is invisible"),
        ("\nseed: 0", "\nseed\u200b: 0", "holds U+200B, which is invisible"),
        ("\nseed: 0", "\nseed: 0 # a\u2028b: 1", ": U+2028 is an invisible line break"),
        ("\nseed: 0", "\n\tseed: 0", "indent by spaces, not by tabs"),
        ("\nseed: 0", "\nseed: 0\x07", ": the text holds U+0007"),
        ("\nseed: 0", "\nseed: [0", ": no YAML ("),
        ("\nseed: 0", "\nseed: 0\n---", ": no YAML ("),
        ("\nseed: 0", "\nseed: *nothing", ": no YAML ("),
    ],
)  # fmt: skip
def test_a_surprise_is_said_with_its_key_and_line(
    old: str, new: str, said: str, tmp_path: Path
) -> None:
    assert old in TEXT
    line = TEXT[: TEXT.index(old)].count("\n") + 1 + new.count("\n") - new.endswith("\n")
    text = _refused(TEXT.replace(old, new, 1), tmp_path)
    assert said in text
    assert "\n" not in text
    if "YAML reads" in said:
        assert f"params.yaml, line {line}: " in text


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("publish.promote=no", "YAML reads no as a truth value"),
        ("tasks.haze.min_psnr_gain=.nan", "is not finite"),
        ("seed=010", "a form of its own"),
        ("seed=!!int 1", "has the tag"),
        ("seed=[1", "no YAML"),
        ("seed=\udcff", "no UTF-8"),
        ("\udcff=1", "no UTF-8"),
        ("publish.alias=a\0b", "U\\+0000"),
        ("tasks.null.pairs=1", "has no 'tasks.null.pairs'"),
        ("tasks.haze.=1", "tasks.haze."),
        ("seed", "write it as key=value"),
        ("=1", "key=value"),
        ("seed.x=1", "seed"),
    ],
)
def test_an_override_is_held_to_the_same(override: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as error:
        load(PARAMS, [override])
    str(error.value).encode()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("alias: champion", "alias: 2024", "publish.alias = 2024: YAML reads this as a number"),
        ("alias: champion", "alias: ~", "publish.alias = None: YAML reads this as nothing (null)"),
        (
            "alias: champion",
            "alias: true",
            "publish.alias = True: YAML reads this as a truth value",
        ),
        (
            "models: [champion]",
            "models: [1.5]",
            "serve.models.0 = 1.5: YAML reads this as a number",
        ),
    ],
)
def test_a_value_that_should_be_text_is_said_to_need_quotes(
    old: str, new: str, said: str, tmp_path: Path
) -> None:
    assert old in TEXT
    assert f"{said}; put it in quotes" in _refused(TEXT.replace(old, new, 1), tmp_path)
