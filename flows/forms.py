"""The parameters of a run, as the form in the Prefect UI shows them."""

from typing import Annotated

from pydantic import Field

Rev = Annotated[
    str,
    Field(
        title="Revision",
        description="A commit, tag or branch of the project. Empty: the project folder as it is, "
        "uncommitted changes included.",
    ),
]
Overrides = Annotated[
    list[str],
    Field(
        title="Overrides",
        description="Params for this run alone, such as train.noise.images=4000. Such a run is "
        "a trial: it publishes a version and moves no alias, unless it overrides publish.* too.",
    ),
]
Presets = Annotated[
    list[str],
    Field(
        title="Presets",
        description="Presets for this run alone, applied in order before the overrides, such as "
        "all-in-one-5; `drdd presets list` shows them.",
    ),
]
Target = Annotated[
    str,
    Field(
        title="Target stage",
        description="Run this stage of dvc.yaml and what it depends on, such as train_residual. "
        "Empty: all stages.",
    ),
]
Keep = Annotated[
    list[str],
    Field(
        title="Keep",
        description="Stages whose outputs are taken as dvc.lock has them, even if what they depend on "
        "has changed, such as train_noise.",
    ),
]
Force = Annotated[
    bool, Field(title="Force", description="Make everything anew, even what is up to date.")
]
Publish = Annotated[
    bool, Field(title="Publish", description="Publish the model as a version in the registry.")
]
Promote = Annotated[
    bool,
    Field(title="Promote", description="Move the alias to the version if its gates are passed."),
]
Stall = Annotated[
    int,
    Field(
        ge=0,
        title="Stall, minutes",
        description="A stage that says nothing for so long is stopped. 0: never.",
    ),
]
Timeout = Annotated[
    int,
    Field(
        ge=0,
        title="Timeout, minutes",
        description="A stage that takes longer is stopped. 0: never.",
    ),
]
