"""The model card: what a published model is, for a person who finds its folder.

YAML front matter, as model hubs read it, then Markdown.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from drdd.params import Params

LICENCE = "apache-2.0"  # of the weights
_SHOWN = {  # metric: heading, decimals
    "psnr_rgb": ("PSNR, dB", 2),
    "ssim_rgb": ("SSIM", 3),
    "ms_ssim": ("MS-SSIM", 3),
    "feature_distance": ("feature distance (lower is better)", 4),
    "lpips": ("LPIPS (lower is better)", 3),
    "niqe": ("NIQE (lower is better)", 2),
}


def model_card(
    params: Params,
    metrics: Mapping[str, Any],
    corpora: Sequence[Mapping[str, Any]],
    tasks: Sequence[Mapping[str, Any]],
    start: str | None = None,
) -> str:
    """metrics: as in metrics.json; corpora: the card.json of each corpus with its counts in the split;
    tasks: the card.json of each prepare.

    start: the version whose weights the residual stage began from, None for random weights.
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
        f"The residual stage began from {f'version `{start}`' if start else 'random weights'}. "
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


def _front_matter(params: Params) -> str:
    content = {
        "license": LICENCE,
        "library_name": "drdd",
        "pipeline_tag": "image-to-image",
        "tags": ["image-restoration", "diffusion", "drdd", *sorted(params.tasks)],
    }
    return f"---\n{yaml.safe_dump(content, sort_keys=False)}---\n"


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
        "",
    ]


def _quality(metrics: Mapping[str, Any]) -> list[str]:
    lines = [
        "| task | images | metric | input | output | gain | gain, 95 % interval |",
        "|---|---|---|---|---|---|---|",
    ]
    for task, row in metrics["tasks"].items():
        lines += [
            f"| {task} | {row['images']} | {_scores(row, metric)} |"
            for metric in _SHOWN
            if row["output"].get(metric) is not None
        ]
    lines += [
        "",
        "RGB unless said otherwise. `protocol` in `metrics.json` says how each is computed; it has more.",
        "",
    ]
    missing = metrics.get("not_computed", {})
    lines += [f"- {metric} was not computed: {why}" for metric, why in missing.items()]
    return [*lines, ""] if missing else lines


def _scores(row: Mapping[str, Any], metric: str) -> str:
    name, decimals = _SHOWN[metric]
    before, after, gain = (row[part].get(metric) for part in ("input", "output", "gain"))
    interval = row.get("intervals", {}).get("gain", {}).get(metric)
    low_high = " to ".join(f"{end:+.{decimals}f}" for end in interval) if interval else ""
    said = f"{name} | {_number(before, decimals)} | {_number(after, decimals)} | "
    return f"{said}{_number(gain, decimals, '+')} | {low_high}"


def _number(value: float | None, decimals: int, sign: str = "") -> str:
    return "" if value is None else f"{value:{sign}.{decimals}f}"


def _gates(metrics: Mapping[str, Any]) -> list[str]:
    gates = metrics["gates"]
    if not gates:
        return ["None was asked for.", ""]
    return [*(f"- {'passed' if g['passed'] else 'missed'}: {g['said']}" for g in gates), ""]


def _corpus(card: Mapping[str, Any]) -> str:
    sources = ", ".join(f"`{source}`" for source in card["sources"])
    return (
        f"- corpus `{card['corpus']}` from {sources}: {card['train']} images to train, "
        f"{card['holdout']} held out, {card['set_aside']} set aside, {card['leaked']} kept out of "
        f"training because they show what is held out; licence: {card['licence']}"
    )
