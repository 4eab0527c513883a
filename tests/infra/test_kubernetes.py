"""The Kubernetes objects, as kustomize builds them: by Kubernetes' schemas, Ray's, Prefect's, and ours."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import ray
import yaml
from ray._common.utils import import_attr
from ray.serve._private.api import call_user_app_builder_with_args_if_necessary as build
from ray.serve.schema import ServeDeploySchema

from infra.kubernetes.checkout import checkout
from tests.conftest import ROOT
from tests.infra.commands import demand_runnable, flags_of

FOLDER = ROOT / "infra/kubernetes"
OVERLAYS = ("local", "gpu", "aws")
VERSION = "1.33"
BUILD = ["kubectl", "kustomize"] if shutil.which("kubectl") else ["kustomize", "build"]
TEMPLATE = json.loads((FOLDER / "base/job-template.json").read_text())
Object = dict[str, Any]

needs_kustomize = pytest.mark.skipif(
    not shutil.which(BUILD[0]), reason="needs kubectl or kustomize"
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Object]]:
    """The objects of each overlay, with keys made up for it."""
    folder = tmp_path_factory.mktemp("kubernetes") / "kubernetes"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("*.env"))
    for example in folder.rglob("*.env.example"):
        example.with_suffix("").write_text(example.read_text().replace("=\n", "=made-up\n"))
    found = {}
    for name in OVERLAYS:
        done = subprocess.run([*BUILD, folder / "overlays" / name], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert not done.stderr  # deprecations
        found[name] = list(yaml.safe_load_all(done.stdout))
    return found


@pytest.fixture(params=OVERLAYS)
def objects(request: pytest.FixtureRequest, built: dict[str, list[Object]]) -> list[Object]:
    return built[request.param]


def _of(objects: list[Object], *kinds: str) -> list[Object]:
    return [one for one in objects if one["kind"] in kinds]


def _groups(one: Object) -> list[Object]:
    """The head's group first."""
    spec = one["spec"].get("rayClusterConfig", one["spec"])
    return [spec["headGroupSpec"], *spec["workerGroupSpecs"]]


def _job() -> Object:
    """What the worker makes of the template with its defaults."""
    values = {name: one["default"] for name, one in TEMPLATE["variables"]["properties"].items()}

    def filled(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: filled(value) for key, value in part.items()}
        if isinstance(part, list):
            return [filled(value) for value in part]
        if isinstance(part, str) and (whole := re.fullmatch(r"\{\{ (\w+) \}\}", part)):
            return values[whole[1]]
        return (
            re.sub(r"\{\{ (\$?\w+) \}\}", lambda m: str(values.get(m[1], "drdd")), str(part))
            if isinstance(part, str)
            else part
        )

    job: Object = filled(TEMPLATE["job_configuration"]["job_manifest"])
    pod = job["spec"]["template"]["spec"]
    # Prefect wants these two here, where Kubernetes has no such fields and leaves them out.
    assert (pod.pop("parallelism"), pod.pop("completions")) == (1, 1)
    return job


def _pods(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """All that make pods: what each is called, and its template."""
    for one in _of(objects, "Deployment", "StatefulSet", "Job"):
        yield one["metadata"]["name"], one["spec"]["template"]
    for one in _of(objects, "RayCluster", "RayService"):
        for group in _groups(one):
            yield f"{one['metadata']['name']}/{group.get('groupName', 'head')}", group["template"]
    yield "flow-run", _job()["spec"]["template"]


def _containers(pod: Object) -> list[Object]:
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


@needs_kustomize
def test_kubernetes_takes_them(objects: list[Object]) -> None:
    for one in objects:
        if not one["apiVersion"].startswith("ray.io/"):
            kubernetes_validate.validate(one, VERSION, strict=True)
    kubernetes_validate.validate(_job(), VERSION, strict=True)
    for _, template in _pods(objects):
        pod = {"apiVersion": "v1", "kind": "Pod", **template}
        kubernetes_validate.validate(pod, VERSION, strict=True)


@needs_kustomize
def test_every_pod_is_confined_and_limited(objects: list[Object]) -> None:
    for name, pod in _pods(objects):
        assert pod["spec"]["securityContext"]["runAsNonRoot"], name
        assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in _containers(pod):
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"], name
            assert not context["allowPrivilegeEscalation"], name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            for part in ("requests", "limits"):
                assert {"cpu", "memory"} <= container["resources"][part].keys(), name


@needs_kustomize
def test_what_lives_long_is_probed(objects: list[Object]) -> None:
    """KubeRay brings the probes of Ray's containers."""
    for one in _of(objects, "Deployment", "StatefulSet"):
        for container in one["spec"]["template"]["spec"]["containers"]:
            assert "livenessProbe" in container, one["metadata"]["name"]


@needs_kustomize
def test_everything_that_is_named_is_there(objects: list[Object]) -> None:
    there = {(one["kind"], one["metadata"]["name"]) for one in objects}
    for name, pod in _pods(objects):
        spec, containers = pod["spec"], _containers(pod)
        wanted = {("ServiceAccount", spec.get("serviceAccountName"))}
        for volume in spec.get("volumes", []):
            wanted.add(("ConfigMap", volume.get("configMap", {}).get("name")))
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            wanted.add(("PersistentVolumeClaim", claim))
        for source in (one for each in containers for one in each.get("envFrom", [])):
            if not source.get("secretRef", {}).get("optional"):
                wanted.add(("Secret", source.get("secretRef", {}).get("name")))
            wanted.add(("ConfigMap", source.get("configMapRef", {}).get("name")))
        for variable in (one for each in containers for one in each.get("env", [])):
            key = variable.get("valueFrom", {}).get("secretKeyRef", {})
            wanted.add(("Secret", key.get("name")))
        assert {one for one in wanted if one[1]} <= there, name
        mounted = {one["name"] for each in containers for one in each.get("volumeMounts", [])}
        of_claims = {"data"} if name in ("postgres", "s3") else set()
        assert mounted - of_claims == {one["name"] for one in spec.get("volumes", [])}, name


@needs_kustomize
def test_every_pod_may_speak_to_some_and_no_more(objects: list[Object]) -> None:
    policies = _of(objects, "NetworkPolicy")
    denied = next(one for one in policies if one["metadata"]["name"] == "deny-all")
    assert denied["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    known = set(re.findall(r"'app': '([\w-]+)'", str(policies)))
    for listed in re.findall(
        r"'key': 'app', 'operator': 'In', 'values': \[([^]]*)\]", str(policies)
    ):
        known |= set(re.findall(r"[\w-]+", listed))
    assert known == {pod["metadata"]["labels"]["app"] for _, pod in _pods(objects)}


@needs_kustomize
def test_disruption_budgets_and_services_select_pods(objects: list[Object]) -> None:
    apps = {pod["metadata"]["labels"]["app"] for _, pod in _pods(objects)}
    for one in _of(objects, "PodDisruptionBudget"):
        assert one["spec"]["selector"]["matchLabels"]["app"] in apps
    for one in _of(objects, "Service"):
        assert one["spec"]["selector"]["app"] in apps


@needs_kustomize
def test_ray_clusters_have_what_kuberay_needs(objects: list[Object]) -> None:
    """Their whole schema is KubeRay's, which no package brings (docs/infrastructure.md)."""
    training, service = _of(objects, "RayCluster", "RayService")
    assert (training["apiVersion"], service["apiVersion"]) == ("ray.io/v1", "ray.io/v1")
    for one in (training, service):
        spec = one["spec"].get("rayClusterConfig", one["spec"])
        assert spec["rayVersion"] == ray.__version__
        head, *workers = _groups(one)
        assert head["rayStartParams"]["num-cpus"] == "0"
        assert head["template"]["spec"]["containers"][0]["name"] == "ray-head"
        assert len({group["groupName"] for group in workers}) == len(workers) > 0
        for group in (head, *workers):
            options = [f"--{name}={value}" for name, value in group["rayStartParams"].items()]
            demand_runnable(["ray", "start", *options])
        for group in workers:
            assert 0 <= group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    assert training["spec"]["enableInTreeAutoscaling"]


@needs_kustomize
def test_flow_runs_know_the_cluster_and_the_service(objects: list[Object]) -> None:
    """KubeRay names the services after the objects."""
    training, service = (
        one["metadata"]["name"] for one in _of(objects, "RayCluster", "RayService")
    )
    run = _job()["spec"]["template"]["spec"]["containers"][0]
    settings = {one["name"]: one.get("value") for one in run["env"]}
    assert settings["RAY_ADDRESS"] == f"{training}-head-svc:6379"
    assert settings["DRDD_RAY_DASHBOARD"] == f"http://{training}-head-svc:8265"
    assert settings["DRDD_SERVICE"] == f"http://{service}-serve-svc:8000"


@needs_kustomize
def test_whoever_uses_models_knows_the_trusted_keys(objects: list[Object]) -> None:
    """Service, training and flow runs have the settings, in which the keys are."""
    (settings,) = [
        one for one in _of(objects, "ConfigMap") if one["metadata"]["name"] == "drdd-settings"
    ]
    assert "DRDD_TRUSTED_KEY" in settings["data"]
    pods = [_job()["spec"]["template"], *(pod for _, pod in _pods(objects))]
    for pod in pods:
        for one in _containers(pod):
            asks = [part.get("secretRef", {}).get("name") for part in one.get("envFrom", [])]
            if "drdd-s3" in asks and "infra.containers.store" not in str(
                one
            ):  # the store uses none
                assert {"configMapRef": {"name": "drdd-settings"}} in one["envFrom"]


@needs_kustomize
def test_runs_alone_have_the_key_that_signs(objects: list[Object]) -> None:
    checkout, run = _containers(_job()["spec"]["template"])
    assert {"secretRef": {"name": "drdd-signing", "optional": True}} in run["envFrom"]
    assert "drdd-signing" not in str(checkout)
    assert {name for name, pod in _pods(objects) if "drdd-signing" in str(pod)} == {"flow-run"}


@needs_kustomize
def test_serve_takes_the_application(objects: list[Object]) -> None:
    (service,) = _of(objects, "RayService")
    config = ServeDeploySchema.model_validate(yaml.safe_load(service["spec"]["serveConfigV2"]))
    (one,) = config.applications
    assert config.http_options.host == "0.0.0.0"
    built = build(import_attr(one.import_path), {**one.args, "project": str(ROOT)})
    assert [each.name for each in one.deployments] == [built._bound_deployment.name]


@needs_kustomize
def test_gpus_are_asked_for_where_they_are(built: dict[str, list[Object]]) -> None:
    _, *workers = _groups(_of(built["gpu"], "RayCluster")[0])
    assert [group["groupName"] for group in workers] == ["cpu", "gpu"]
    spec = workers[1]["template"]["spec"]
    assert spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert spec["tolerations"][0]["key"] == "nvidia.com/gpu"
    assert spec["nodeSelector"]
    for name in ("local", "aws"):
        assert "nvidia.com/gpu" not in str(built[name])


@needs_kustomize
def test_on_aws_a_role_stands_for_keys(built: dict[str, list[Object]]) -> None:
    secrets = {key for one in _of(built["aws"], "Secret") for key in one.get("data", {})}
    assert not {name for name in secrets if "ACCESS_KEY" in name}
    accounts = {one["metadata"]["name"]: one for one in _of(built["aws"], "ServiceAccount")}
    assert "eks.amazonaws.com/role-arn" in accounts["drdd"]["metadata"]["annotations"]


@needs_kustomize
def test_flow_runs_have_the_image_of_all_the_rest(objects: list[Object]) -> None:
    images = {
        one["image"]
        for name, pod in _pods(objects)
        for one in _containers(pod)
        if name != "flow-run"
    }
    (ours,) = {image for image in images if not image.startswith("postgres@")}
    (worker,) = (
        one for one in _of(objects, "Deployment") if one["metadata"]["name"] == "prefect-worker"
    )
    env = worker["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "DRDD_IMAGE", "value": ours} in env


@needs_kustomize
def test_commands_can_be_run(objects: list[Object]) -> None:
    for _, pod in _pods(objects):
        for container in _containers(pod):
            if "args" in container:
                demand_runnable(flags_of(container["args"]))
            for probe in (container.get(f"{kind}Probe", {}) for kind in ("readiness", "liveness")):
                if "exec" in probe:
                    demand_runnable(flags_of(probe["exec"]["command"]))


def test_the_template_uses_all_its_variables() -> None:
    used = set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(TEMPLATE["job_configuration"])))
    assert used == set(TEMPLATE["variables"]["properties"])
    assert set(re.findall(r"\{\{ \$(\w+) \}\}", json.dumps(TEMPLATE))) == {"DRDD_IMAGE"}


@needs_kustomize
def test_ray_asks_for_a_token_that_only_those_who_use_it_have(objects: list[Object]) -> None:
    clusters = [one["spec"] for one in _of(objects, "RayCluster")]
    clusters += [one["spec"]["rayClusterConfig"] for one in _of(objects, "RayService")]
    assert len(clusters) == 2
    for cluster in clusters:
        assert cluster["authOptions"] == {"mode": "token", "secretName": "drdd-ray"}
    template = json.dumps(TEMPLATE["job_configuration"])
    assert '"secretKeyRef": {"name": "drdd-ray", "key": "auth_token"}' in template
    (settings,) = (
        one["data"]
        for one in _of(objects, "ConfigMap")
        if one["metadata"]["name"] == "drdd-settings"
    )
    assert settings["RAY_AUTH_MODE"] == "token"


def test_no_key_is_in_git() -> None:
    listed = subprocess.run(["git", "ls-files", "infra"], cwd=ROOT, capture_output=True, text=True)
    assert not [name for name in listed.stdout.split() if name.endswith(".env")]
    for example in FOLDER.rglob("*.env.example"):
        ignored = ["git", "check-ignore", "--quiet", str(example.with_suffix(""))]
        assert subprocess.run(ignored, cwd=ROOT).returncode == 0
        assert re.fullmatch(r"(\w+=(postgresql.*PASSWORD@.*)?\n)+", example.read_text())


def test_a_checkout_follows_the_branch(tmp_path: Path) -> None:
    origin, folder = tmp_path / "origin", tmp_path / "project"

    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=t", "-c", "user.email=t@localhost")
        command = ["git", "-C", str(origin), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    origin.mkdir()
    git("init", "--quiet", "--initial-branch=main")
    for text in ("first", "second"):
        (origin / "file").write_text(text)
        git("add", "file")
        git("commit", "--quiet", "--message", text)
        checkout(folder, str(origin), "main")
        assert (folder / "file").read_text() == text
        (folder / "file").write_text("changed here")
    assert sorted(path.name for path in folder.iterdir()) == [".checkout", ".git", "file"]
