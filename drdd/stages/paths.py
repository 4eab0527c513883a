"""Where stages read and write, relative to the workspace; dvc.yaml names the same paths."""

from pathlib import Path

PHOTOGRAPHS = Path("data/photographs")
STARTS = Path("data/starts")  # of each stage, NAME.json: what it is to begin from
SYNTHETIC = Path("data/synthetic")  # as params/data.py has it
CORPORA = Path("data/corpora")
SPLIT = Path("data/split")
UNPAIRED = Path("data/unpaired/pictures.csv")  # what the noise stage learns from
UNPAIRED_HELD_OUT = Path("data/unpaired/held_out.csv")  # what it is validated on
PAIRS = Path("data/pairs")
REFERENCES = Path("data/references")  # held-out inputs of each task, restored without training
NOISE = Path("models/noise")
RESIDUAL = Path("models/residual")
CANDIDATE = Path("models/candidate")
EVALUATION = Path("results/evaluation")
IMAGES = EVALUATION / "images.parquet"  # a row a held-out picture and task: scores
LATENCY = EVALUATION / "latency.parquet"  # seconds that each picture took
SETS = EVALUATION / "sets.json"  # what is measured of all of a task's pictures together
TRAJECTORIES = EVALUATION / "trajectories.parquet"  # of a few pictures through the model
COMPARISON = Path("results/comparison")  # a few held-out pictures by the champion and the candidate
METRICS = Path("results/metrics.json")
SUMMARY = Path("results/summary.json")
REPORT = Path("results/report.html")
GRID = Path("results/grid.png")
GAIN = Path("results/gain.csv")
PUBLISHED = Path("results/published.json")
MEMBERS = "members.csv"  # of a corpus or a task: its pictures, or its pairs
WEIGHTS = "weights.safetensors"  # of a trained stage
CURVE = "curve.csv"  # of a trained stage
START = "start.json"  # of a trained stage: what it began from
CHECKPOINTS = Path(".drdd/checkpoints")
LIVE = Path("results/live")  # numbers of training, by stage: DVCLive's files
BOARD = Path(".drdd/tensorboard")  # the same for TensorBoard
