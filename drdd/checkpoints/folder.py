"""The model folder: model.safetensors (the networks) and config.json (how to use them)."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from drdd.bounded import read_json
from drdd.checkpoints.reading import check_shapes, check_weights, read_shapes, under
from drdd.diffusion.keyed import Draw
from drdd.diffusion.process import Net, in_context
from drdd.errors import UserError
from drdd.files import write_bytes, write_json
from drdd.methods import find
from drdd.methods.method import Method, Sampling
from drdd.nets.context import context_of
from drdd.nets.families import NetworkConfig, build, described, for_inference, read_config
from drdd.settings import Name, Scale
from drdd.shown import printable

WEIGHTS, CONFIG = "model.safetensors", "config.json"
FORMAT = "drdd-5"
LARGEST_CONFIG = 1024**2  # bytes


@dataclass(frozen=True)
class TaskUse:
    """What a caller must know to use a model for one of its tasks.

    scale: how many times higher and wider than the input the output is. fill: the one grey in [0, 1]
    under which the task's holes are hidden; None if there is no such.
    """

    scale: Scale = 1
    fill: Annotated[float, Field(ge=0, le=1)] | None = None


@dataclass(frozen=True)
class Model:
    """A method and its networks in evaluation mode.

    nets: by stage of the method; in_context: the stages whose nets take the context of a picture.
    tasks: by name, in alphabetical order.
    Height and width of pictures must be multiples of `factor`.
    """

    nets: Mapping[str, nn.Module]
    in_context: frozenset[str]
    factor: int
    sampling: Sampling
    tasks: Mapping[str, TaskUse]

    @property
    def method(self) -> Method:
        return find(self.sampling.method)(self.sampling)

    @property
    def scales(self) -> tuple[int, ...]:
        """Of its tasks, ascending."""
        return tuple(sorted({use.scale for use in self.tasks.values()} or {1}))

    def restore(self, degraded: Tensor, draw: Draw) -> Tensor:
        """Restore (B, 3, H, W) in [-1, 1], H and W multiples of `factor`.

        Raises UserError for another shape, and for non-finite values.
        """
        if degraded.ndim != 4 or degraded.shape[1] != 3:
            raise UserError(f"images must be (B, 3, H, W), got {tuple(degraded.shape)}")
        if degraded.shape[2] % self.factor or degraded.shape[3] % self.factor:
            raise UserError(
                f"height and width must be multiples of {self.factor}, "
                f"got {degraded.shape[2]} x {degraded.shape[3]}: pad the images"
            )
        if broken := int((~torch.isfinite(degraded)).sum()):
            raise UserError(f"{broken} of {degraded.numel()} input values are NaN or infinite")
        nets = self.told(self.nets, context_of(degraded) if self.in_context else None)
        for state in self.method.trajectory(nets, degraded, draw):
            output = state.image
        return output

    def told(
        self, nets: Mapping[str, Callable[..., Tensor]], context: Tensor | None
    ) -> dict[str, Net]:
        """The nets, by stage, for a batch of pictures with these contexts, (B, 12, S, S).

        context: None if no net takes one.
        """
        return {
            stage: in_context(net, context if stage in self.in_context else None)
            for stage, net in nets.items()
        }


def save_model(
    folder: Path,
    weights: Mapping[str, Mapping[str, Tensor]],
    configs: Mapping[str, NetworkConfig],
    sampling: Sampling,
    tasks: Mapping[str, TaskUse],
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write a model folder. weights, configs: by network of the method, such as "residual" and "noise".

    dtype: of the written weights. The same content gives the same bytes.
    """
    tensors = {
        f"{part}.{name}": value.to(dtype).contiguous()
        for part in sorted(weights)
        for name, value in weights[part].items()
    }
    write_bytes(folder / WEIGHTS, save(tensors, metadata={"format": FORMAT}))
    write_json(
        folder / CONFIG,
        {
            "format": FORMAT,
            "networks": {part: described(configs[part]) for part in sorted(configs)},
            "sampling": asdict(sampling),
            "tasks": {name: asdict(tasks[name]) for name in sorted(tasks)},
        },
    )


@dataclass(frozen=True)
class Saved:
    """The content of a model folder. weights (float32), networks: by part, such as "residual"."""

    weights: Mapping[str, dict[str, Tensor]]
    networks: Mapping[str, NetworkConfig]
    sampling: Sampling
    tasks: Mapping[str, TaskUse]


class _Config(BaseModel):
    """The content of config.json."""

    model_config = ConfigDict(extra="forbid", strict=True)

    format: str
    networks: Annotated[dict[Name, dict[str, Any]], Field(max_length=8)]
    sampling: Sampling
    tasks: Annotated[dict[Name, TaskUse], Field(max_length=1000)]


def read_model(folder: Path) -> Saved:
    """Raises UserError when the folder is not a model or has another format."""
    if missing := next((n for n in (CONFIG, WEIGHTS) if not (folder / n).is_file()), None):
        raise UserError(f"{folder} is no model folder: {missing} is missing")
    config = _config(folder)
    networks = _networks(config, folder)
    _check_claims(networks, config.sampling, read_shapes(folder / WEIGHTS), folder)
    try:
        tensors = {name: value.float() for name, value in load_file(folder / WEIGHTS).items()}
    except SafetensorError as error:
        raise UserError(f"{folder}: damaged model file ({error}); pull or train it again") from None
    if broken := [name for name, value in tensors.items() if not torch.isfinite(value).all()]:
        raise UserError(
            f"{folder}: damaged {WEIGHTS} ({printable(broken[0])} is not finite); pull or train it again"
        )
    weights = {part: under(f"{part}.", tensors) for part in networks}
    return Saved(weights, networks, config.sampling, config.tasks)


def _config(folder: Path) -> _Config:
    try:
        with (folder / CONFIG).open("rb") as file:
            content = file.read(LARGEST_CONFIG + 1)
        found = read_json(content, LARGEST_CONFIG)
    except ValueError as error:
        raise UserError(f"{folder}: damaged {CONFIG} ({error}); pull or train it again") from None
    told = found.get("format") if isinstance(found, dict) else found
    if told != FORMAT:
        said = repr(told)[:40]
        raise UserError(f"{folder}: format {said}, this version reads {FORMAT!r}")
    try:
        return _Config.model_validate_json(content)
    except ValidationError as error:
        raise UserError(_damaged(folder, error)) from None


def _networks(config: _Config, folder: Path) -> dict[str, NetworkConfig]:
    try:
        return {part: read_config(fields) for part, fields in config.networks.items()}
    except ValidationError as error:
        raise UserError(_damaged(folder, error)) from None
    except ValueError as error:
        raise UserError(f"{folder}: damaged {CONFIG} ({error}); pull or train it again") from None


def _damaged(folder: Path, error: ValidationError) -> str:
    one = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part)[:40] for part in one["loc"])
    return printable(f"{folder}: damaged {CONFIG} ({where}: {one['msg']}); pull or train it again")


def _check_claims(
    networks: Mapping[str, NetworkConfig],
    sampling: Sampling,
    shapes: Mapping[str, tuple[int, ...]],
    folder: Path,
) -> None:
    """Compare what the configuration claims with what the file of weights has, before either takes memory.

    Networks on the meta device have shapes, but no values.
    """
    try:
        method = find(sampling.method)(sampling)
    except ValueError:
        return  # load_model says so, and nothing else builds a network of it
    for part, config in networks.items():
        try:
            with torch.device("meta"):
                net = method.adapt(part, build(config))
        except (ValueError, RuntimeError, ArithmeticError, TypeError, LookupError) as error:
            said = (str(error).splitlines() or [""])[0][:120]
            raise UserError(
                f"{folder}: {CONFIG} describes no network for {part} ({said}); get the model again"
            ) from None
        found = {
            n.removeprefix(f"{part}."): s for n, s in shapes.items() if n.startswith(f"{part}.")
        }
        check_shapes(net, found, f"{folder}: the {part} network")


def load_model(folder: Path) -> Model:
    """Raises UserError when the folder is not a model or its weights do not fit its configuration."""
    saved = read_model(folder)
    try:
        method = find(saved.sampling.method)(saved.sampling)
    except ValueError as error:
        raise UserError(f"{folder}: {error}, so this version cannot restore with it") from None
    nets, contexts = {}, set()
    for stage, names in method.stages.items():
        of_stage = {name: _network(name, method, saved, folder) for name in names}
        nets[stage] = method.join(of_stage).eval()
        if any(saved.networks[name].context for name in names):
            contexts.add(stage)
    return Model(
        nets=nets,
        in_context=frozenset(contexts),
        factor=max(network.factor for network in saved.networks.values()),
        sampling=saved.sampling,
        tasks=saved.tasks,
    )


def _network(name: str, method: Method, saved: Saved, folder: Path) -> nn.Module:
    if name not in saved.networks:
        raise UserError(f"{folder}: the {name} network is missing; pull or train the model again")
    net = method.adapt(name, build(saved.networks[name]))
    check_weights(net, saved.weights[name], f"{folder}: the {name} network")
    net.load_state_dict(saved.weights[name])
    return for_inference(net)
