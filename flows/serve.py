"""`python -m flows.serve`: registers the deployment drdd/full-pipeline and runs what is asked of it."""

from flows.pipeline import DEPLOYMENT, pipeline

if __name__ == "__main__":
    pipeline.serve(
        name=DEPLOYMENT,
        description="The stages of dvc.yaml from corpora to the served model.",
        print_starting_message=False,
        limit=4,
    )
