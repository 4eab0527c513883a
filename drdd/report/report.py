"""The report: a self-contained HTML file, with verdicts first."""

from base64 import b64encode
from hashlib import sha256
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from drdd.files import write_bytes
from drdd.metrics.catalogue import PSNR, metric_of
from drdd.metrics.quantity import NONE
from drdd.report.beside import beside, remarks
from drdd.report.findings import Findings
from drdd.report.plots import loss_curve
from drdd.report.sections import headline, latency, listed, tasks
from drdd.report.tables import baseline, champion_row, gate_rows, with_gains
from drdd.shown import short


def write_report(path: Path, findings: Findings) -> None:
    """Write the report. The same findings give the same bytes; a rerun changes only latencies."""
    write_bytes(path, _page(findings).encode())


def _page(findings: Findings) -> str:
    environment = Environment(
        loader=PackageLoader("drdd.report", "templates"),
        autoescape=select_autoescape(["html", "j2"], default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "words": _words,
        "short": short,
        "decibel": PSNR.value,
        "gained": PSNR.change,
    }
    theirs = baseline(findings.metrics, findings.scores, findings.champion_scores)
    scores = with_gains(findings.scores, theirs)
    script = environment.get_template("report.js").render()
    return environment.get_template("report.html.j2").render(
        findings=findings,
        metrics=findings.metrics,
        gates=gate_rows(findings.metrics.gates),
        tasks=tasks(findings, scores, theirs),
        champions=[
            (task, champion_row(result.champion))
            for task, result in findings.metrics.tasks.items()
            if result.champion
        ],
        pictures_beside=[beside(one) for one in findings.beside],
        notes_beside=remarks(findings),
        none_sign=NONE,
        headline=headline(findings.metrics),
        not_computed=[
            (metric_of(name).label, why) for name, why in findings.metrics.not_computed.items()
        ],
        curves={
            stage: Markup(loss_curve(curve, f"loss of the {stage}"))
            for stage, curve in findings.curves.items()
        },
        latency=latency(findings.latency),
        listed=listed(scores),
        script=Markup(script),
        script_hash=b64encode(sha256(script.encode()).digest()).decode(),
    )


def _words(name: str) -> str:
    return name.replace("_", " ")
