"""What a run leaves in the Prefect UI: the metrics table, the picture grid, the links."""

import base64
import io
import json
from pathlib import Path
from typing import Any

from PIL import Image
from prefect.artifacts import create_image_artifact, create_markdown_artifact, create_table_artifact

from drdd.evaluation.summary import gate_in_words
from drdd.stages.paths import GRID, METRICS, PUBLISHED, REPORT

GRID_WIDTH = 900


def leave(root: Path) -> None:
    """Call when evaluate and publish are done."""
    metrics = json.loads((root / METRICS).read_text())
    published = json.loads((root / PUBLISHED).read_text())
    verdict = "every task meets its gate" if metrics["passed"] else "a task misses its gate"
    create_table_artifact(_rows(metrics), key="metrics", description=f"Held-out images: {verdict}.")
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
            "needed, dB": gate_in_words(row)[0],
            "SSIM": f"{row['input']['ssim_rgb']:.3f} → {row['output']['ssim_rgb']:.3f}",
            "gate": gate_in_words(row)[1],
        }
        for task, row in metrics["tasks"].items()
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
