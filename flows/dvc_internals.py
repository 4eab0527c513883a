"""What flows need of DVC and it offers by no public call or command. Tested with DVC 3.67.1.

tests/flows/test_dvc_internals.py says in a sentence which of these has moved.
"""

from pathlib import Path

from dvc.repo import Repo
from dvc.stage import Stage
from dvc.stage.cache import _get_stage_hash

KILLED = ("exited with -9", "exited with 137")  # by SIGKILL, which is how Linux frees memory


def open_repo(root: Path) -> Repo:
    """The repository whose lock is waited for for as long as it takes, as by `dvc --wait-for-lock`.

    A command has this option, a Repo only this argument. Without it, DVC waits for 3 s: a stage that
    ends while another fetches its inputs would lose what it has just made.
    """
    return Repo(str(root), _wait_for_lock=True)


def run_cache_key(stage: Stage) -> str:
    """The name of the stage's entry in DVC's run cache: its command and the content of its dependencies.

    With it one entry is fetched or pushed. `dvc push --run-cache` and `dvc repro --pull` copy all entries
    of all stages each time: 13 and 20 ms an entry to an S3 server on the same machine, for each stage of
    a run. One run adds up to 20 entries, so after 200 runs a stage would wait for more than a minute.
    Raises AssertionError when the stage has no command, dependencies or outputs that DVC can cache.
    """
    return str(_get_stage_hash(stage))


def was_killed(error: BaseException) -> bool:
    """Whether the stage's command was killed; DVC says so in the error's text alone."""
    return str(error).endswith(KILLED)
