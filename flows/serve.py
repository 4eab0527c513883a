"""`python -m flows.serve`: registers the deployment drdd/full-pipeline and runs what is asked of it."""

from typing import Any

from flows.pipeline import DEPLOYMENT, ROOT, pipeline

if __name__ == "__main__":
    # From the source and not from memory: each run is a fresh process with the code as it is then.
    served: Any = pipeline.from_source(source=ROOT, entrypoint="flows/pipeline.py:pipeline")
    served.serve(
        name=DEPLOYMENT,
        description="The stages of dvc.yaml from corpora to the served model.",
        print_starting_message=False,
        limit=4,
    )
