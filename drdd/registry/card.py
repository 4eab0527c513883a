"""The model card: what a published model is, in Markdown, for a person who finds its folder."""

from collections.abc import Sequence
from typing import Any

from drdd.evaluation.summary import gate_in_words
from drdd.params import Params


def model_card(
    params: Params,
    metrics: dict[str, Any],
    corpora: Sequence[dict[str, Any]],
    tasks: Sequence[dict[str, Any]],
    start: str | None = None,
) -> str:
    """metrics: as in metrics.json; corpora: the card.json of each corpus with its counts in the split;
    tasks: the card.json of each prepare.

    start: the version whose weights the residual stage began from, None for random weights.
    """
    pairs = {card["task"]: card for card in tasks}
    lines = [
        "# DRDD restoration model",
        "",
        f"One model for {len(params.tasks)} tasks: {', '.join(sorted(params.tasks))}. "
        "Decoupled Residual Denoising Diffusion (arXiv 2606.01048): the noise stage learned from "
        "clean images alone, the residual stage from pairs.",
        "",
        "## Use",
        "",
        "```",
        "drdd restore photo.jpg -o out.png --model VERSION",
        "drdd models pull VERSION",
        "```",
        "",
        "`model.safetensors` holds both networks, `config.json` how to build and sample them.",
        "",
        "## Quality on held-out images",
        "",
        "| task | images | PSNR in → out (dB) | gain | needed | SSIM in → out | gate |",
        "|---|---|---|---|---|---|---|",
        *(_metric_row(task, row) for task, row in metrics["tasks"].items()),
        "",
        "RGB. How they are computed is said under `protocol` in `metrics.json`.",
        "",
        "## Data",
        "",
        *(
            f"- corpus `{card['corpus']}` from {_listed(card['sources'])}: {card['train']} images to "
            f"train, {card['holdout']} held out, {card['set_aside']} set aside, {card['leaked']} kept "
            f"out of training because they show what is held out; licence: {card['licence']}"
            for card in corpora
        ),
        *(
            f"- task `{name}`: {card['train_pairs']} of {card['of']} possible training pairs"
            for name, card in sorted(pairs.items())
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
        "The weights: Apache-2.0. The training images keep their own licences.",
        "",
    ]
    return "\n".join(lines)


def _listed(sources: Sequence[str]) -> str:
    return ", ".join(f"`{source}`" for source in sources)


def _metric_row(task: str, row: dict[str, Any]) -> str:
    before, after = row["input"], row["output"]
    needed, verdict = gate_in_words(row)
    return (
        f"| {task} | {row['images']} | {before['psnr_rgb']:.2f} → {after['psnr_rgb']:.2f} | "
        f"{row['gain']['psnr_rgb']:+.2f} | {needed} | "
        f"{before['ssim_rgb']:.3f} → {after['ssim_rgb']:.3f} | "
        f"{verdict} |"
    )
