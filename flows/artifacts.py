"""What a run leaves in the Prefect UI: the verdicts, the metrics table, the picture grid, the links."""

import base64
import io
import json
from pathlib import Path
from typing import Any

from PIL import Image
from prefect.artifacts import create_image_artifact, create_markdown_artifact, create_table_artifact

from drdd.evaluation.tables import METRICS as SHOWN
from drdd.evaluation.wording import against_champion, needed, verdict
from drdd.stages.paths import GRID, METRICS, PUBLISHED, REPORT

GRID_WIDTH = 900


def leave(root: Path) -> None:
    """Call when judge and publish are done."""
    metrics = json.loads((root / METRICS).read_text())
    published = json.loads((root / PUBLISHED).read_text())
    said = "every gate is passed" if metrics["passed"] else "a gate is missed"
    create_table_artifact(_rows(metrics), key="metrics", description=f"Held-out images: {said}.")
    create_table_artifact(_gates(metrics), key="gates", description="What the alias asks for")
    create_image_artifact(
        _data_uri(root / GRID), key="pictures", description="input | de-residual | output | target"
    )
    create_markdown_artifact(_links(root, published), key="links", description="Where things are")


def _rows(metrics: dict[str, Any]) -> list[dict[str, str]]:
    """One row a task: PSNR in dB and SSIM of the degraded input and of the output, RGB."""
    return [
        {
            "task": task,
            "images": str(row["images"]),
            "PSNR": f"{row['input']['psnr_rgb']:.2f} → {row['output']['psnr_rgb']:.2f} dB",
            "gain": f"{row['gain']['psnr_rgb']:+.2f} dB",
            "95 %": SHOWN["psnr_rgb"].interval(row["intervals"]["gain"]["psnr_rgb"], signed=True),
            "needed, dB": needed(metrics, task),
            "SSIM": f"{row['input']['ssim_rgb']:.3f} → {row['output']['ssim_rgb']:.3f}",
            "against the champion": against_champion(metrics, task),
            "gates": verdict(metrics, task),
        }
        for task, row in metrics["tasks"].items()
    ]


def _gates(metrics: dict[str, Any]) -> list[dict[str, str]]:
    return [
        {
            "gate": gate["gate"],
            "task": gate["task"] or "",
            "verdict": "passed" if gate["passed"] else "missed",
            "said": gate["said"],
        }
        for gate in metrics["gates"]
    ]


def _data_uri(path: Path) -> str:
    """Embedded, because a browser holds no keys of the store where the grid is kept."""
    image = Image.open(path).convert("RGB")
    image.thumbnail((GRID_WIDTH, 10 * GRID_WIDTH))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _links(root: Path, published: dict[str, Any]) -> str:
    report = (root / REPORT).resolve()
    return (
        f"- report: [{report}]({report.as_uri()})\n"
        f"- published model: `{published['uri']}`\n"
        f"- alias `{published['alias']}`: {'moved to it' if published['promoted'] else 'not moved'}"
        + "".join(f"\n- {said}" for said in (*published["missed"], *published["notes"]))
    )
