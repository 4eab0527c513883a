"""The model card, which describes a published model to its users.

It is Markdown with YAML front matter for model hubs.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from drdd.gates.judgement import Judgement, TaskResult
from drdd.metrics.catalogue import listed, metric_of
from drdd.metrics.quantity import LOWER, Quantity
from drdd.params import Params
from drdd.shown import short

LICENCE = "apache-2.0"  # of the weights


def model_card(
    params: Params,
    metrics: Judgement,
    corpora: Sequence[Mapping[str, Any]],
    tasks: Sequence[Mapping[str, Any]],
    starts: Mapping[str, str],
) -> str:
    """metrics: metrics.json; corpora: the card.json of each corpus with its counts in the split;
    tasks: the card.json of each prepare.

    starts: what each stage began from: "base", "scratch", a version's id or a path.
    """
    lines = [
        _front_matter(params),
        "# DRDD restoration model",
        "",
        f"One model for {len(params.tasks)} tasks: {', '.join(sorted(params.tasks))}. "
        "Decoupled Residual Denoising Diffusion (arXiv 2606.01048): the noise stage learned from "
        "clean images alone, the residual stage from pairs.",
        "",
        "## Use",
        "",
        *_use(params),
        "## Quality on held-out images",
        "",
        *_quality(metrics),
        "## Gates",
        "",
        *_gates(metrics),
        "## Data",
        "",
        *(_corpus(card) for card in corpora),
        *(
            f"- task `{card['task']}`: {card['train_pairs']} of {card['of']} possible training pairs"
            for card in sorted(tasks, key=lambda card: str(card["task"]))
        ),
        "",
        "## Settings",
        "",
        f"Noise level {params.diffusion.noise_level:g}; {params.diffusion.residual_steps} residual "
        f"and {params.diffusion.noise_steps} noise steps; {params.train.noise.images} training "
        f"crops seen by the noise stage, {params.train.residual.images} by the residual stage. "
        f"{_began(starts)} "
        "All settings: `params.yaml`; all hashes of data and code: `dvc.lock`.",
        "",
        "## Limits",
        "",
        "Trained on the degradations that `params.yaml` names, at the strengths it names; others "
        "may come out worse than they went in. It estimates what a picture may have looked like "
        "and must not be used as evidence or for diagnosis.",
        "",
        "## Licence",
        "",
        "The weights: Apache-2.0. The training images keep their own licences, named under Data.",
        "",
    ]
    return "\n".join(lines)


def _began(starts: Mapping[str, str]) -> str:
    words = {"base": "the base that ships with drdd", "scratch": "random weights"}
    said = [
        f"the {stage} stage from {words.get(one, f'`{short(one)}`')}"
        for stage, one in starts.items()
    ]
    return f"Training began: {', '.join(said)}."


def _front_matter(params: Params) -> str:
    content = {
        "license": LICENCE,
        "library_name": "drdd",
        "pipeline_tag": "image-to-image",
        "tags": ["image-restoration", "diffusion", "drdd", *sorted(params.tasks)],
    }
    return f"---\n{yaml.safe_dump(content, sort_keys=False)}---\n"


def _enlarging(params: Params) -> list[str]:
    larger = {name: task.scale for name, task in sorted(params.tasks.items()) if task.scale > 1}
    if not larger:
        return []
    said = ", ".join(f"`{name}` by {scale}" for name, scale in larger.items())
    scale = next(iter(larger.values()))
    return [
        f"It enlarges: {said}; `Options(scale={scale})`, or `--scale {scale}` on the command line."
    ]


def _use(params: Params) -> list[str]:
    where = f"{params.publish.registry}@{params.publish.alias}"
    return [
        "```python",
        "import drdd",
        "",
        'restorer = drdd.Restorer.from_pretrained("path/of/this/folder")',
        f'# or what is published: from_pretrained("{where}")',
        "output = restorer.restore(pixels).output  # (H, W, 3) uint8 each, any size",
        "```",
        "",
        "```",
        "drdd restore photo.jpg -o out.png --model path/of/this/folder",
        f"drdd models pull {params.publish.alias} path/of/this/folder",
        "```",
        "",
        "`model.safetensors` holds both networks, `config.json` how to build and sample them.",
        *_enlarging(params),
        "",
    ]


def _quality(metrics: Judgement) -> list[str]:
    lines = [
        "| task | images | metric | input | reference | output | gain | gain, 95 % interval |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for task, result in metrics.tasks.items():
        lines += [
            f"| {task} | {result.images} | {_scores(result, name, metric)} |"
            for name, metric in listed().items()
            if name in result.output
        ]
    lines += [
        "",
        f"{LOWER} after a name: lower is better. `protocol` in `metrics.json` says how each is computed; "
        "it has more.",
        "",
        *_references(metrics),
    ]
    missing = metrics.not_computed
    lines += [f"- {metric_of(name).label} was not computed: {why}" for name, why in missing.items()]
    return [*lines, ""] if missing else lines


def _references(metrics: Judgement) -> list[str]:
    named = [
        f"`{task}`: {result.reference_name.replace('_', ' ')}"
        for task, result in metrics.tasks.items()
        if result.reference_name
    ]
    return [f"References, without training: {', '.join(named)}.", ""] if named else []


def _scores(result: TaskResult, name: str, metric: Quantity) -> str:
    interval = metric.interval(result.intervals.gain.get(name), signed=True)
    before, after = (metric.value(scores.get(name)) for scores in (result.input, result.output))
    reference = metric.value(result.reference[name]) if name in result.reference else ""
    gain = metric.change(result.gain.get(name))
    return f"{metric.heading} | {before} | {reference} | {after} | {gain} | {interval}"


def _gates(metrics: Judgement) -> list[str]:
    if not metrics.gates:
        return ["None was asked for.", ""]
    return [*(f"- {'passed' if g.passed else 'missed'}: {g.said}" for g in metrics.gates), ""]


def _corpus(card: Mapping[str, Any]) -> str:
    sources = ", ".join(f"`{source}`" for source in card["sources"])
    return (
        f"- corpus `{card['corpus']}` from {sources}: {card['train']} images to train, "
        f"{card['holdout']} held out, {card['set_aside']} set aside, {card['leaked']} kept out of "
        f"training because they show what is held out; licence: {card['licence']}"
    )
