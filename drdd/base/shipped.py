"""The base that ships: a model folder in the package, and base.json with the hashes of its files."""

import json
from hashlib import file_digest
from pathlib import Path

from drdd.errors import UserError

MODEL = Path(__file__).with_name("model")
HASHES = "base.json"  # beside it: {name of a file: SHA-256, hexadecimal}
FILES = {"config.json", "model.safetensors"}


def base_folder() -> Path:
    """The model folder, with every hash checked. Raises UserError if the base is missing or damaged."""
    try:
        hashes = json.loads(MODEL.with_name(HASHES).read_text())
        wrong = [name for name in sorted(FILES) if sha256_of(MODEL / name) != hashes.get(name)]
    except FileNotFoundError as error:
        missing = Path(error.filename)
        raise UserError(
            f"the base that ships with drdd is missing ({missing} is not there)",
            "install drdd again",
        ) from None
    except (OSError, ValueError, AttributeError) as error:
        raise _damaged(f"{MODEL.with_name(HASHES)}: {error}") from None
    if wrong:
        raise _damaged(f"{', '.join(wrong)} of {MODEL} does not have its hash")
    return MODEL


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _damaged(how: str) -> UserError:
    return UserError(f"the base that ships with drdd is damaged ({how})", "install drdd again")
