"""The deployment `drdd/promote`: move an alias to a published version."""

from pathlib import Path

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from drdd.errors import UserError
from drdd.gates.judgement import published
from drdd.params import FILE, load
from drdd.registry.location import default_registry, open_registry


@flow(name="drdd")
def promote(version: str, alias: str = "", why: str = "", anyway: bool = False) -> State[None]:
    """Verify every hash of a version, then move the alias to it. The service follows by itself.

    Args:
        version: A version's id, or an alias that points to it.
        alias: The alias to move. Empty: publish.alias of params.
        why: The reason, for the alias's history.
        anyway: Move the alias even if the version missed a gate.
    """
    root = Path.cwd()
    params = load(root / FILE)
    registry = open_registry(default_registry(root), root)
    found = registry.resolve(version)
    damaged = registry.verify(found.id)
    if damaged:
        raise UserError(f"{found.uri}: {'; '.join(damaged)}; it is not promoted")
    judged = published(found.about)
    if not (judged and judged.passed) and not anyway:
        raise UserError(f"{found.uri} missed a gate; to promote it all the same, say anyway")
    name = alias or params.publish.alias
    registry.aliases.move(name, found.id, why or "promoted by hand")
    return Completed(message=f"alias {name} points to {found.uri}")
