"""The metrics of the service for Prometheus. Each replica counts in its own memory."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from drdd.serving.service import Answer, Service

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
JOBS = (1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
BATCHES = (1, 2, 4, 8, 16, 32, 64)


class Telemetry:
    """The metrics of one process."""

    def __init__(self, service: Service) -> None:
        self._registry = own = CollectorRegistry()
        self._requests = Counter(
            "drdd_requests", "Requests to restore", ["status", "model"], registry=own
        )
        self._whole = Histogram(
            "drdd_request_seconds",
            "From a request's body to its answer",
            registry=own,
            buckets=SECONDS,
        )
        self._waited = Histogram(
            "drdd_waiting_seconds", "Before its batch began", registry=own, buckets=SECONDS
        )
        self._inference = Histogram(
            "drdd_inference_seconds", "Of a batch", registry=own, buckets=SECONDS
        )
        self._batch = Histogram(
            "drdd_batch_pictures", "Pictures restored together", registry=own, buckets=BATCHES
        )
        self._pixels = Counter("drdd_pixels", "Restored", registry=own)
        self.in_flight = Gauge(
            "drdd_requests_in_flight",
            "Requests to restore that are not answered yet",
            registry=own,
        )
        self._jobs = Counter("drdd_jobs", "Jobs that ended", ["end"], registry=own)
        self._job_seconds = Histogram(
            "drdd_job_seconds", "Of restoring a job", registry=own, buckets=JOBS
        )
        self.jobs_running = Gauge("drdd_jobs_running", "Jobs under way", registry=own)
        self.jobs_waiting = Gauge(
            "drdd_jobs_waiting", "Of the whole service, as this replica last saw it", registry=own
        )
        own.register(_Now(service))

    def job_ended(self, end: str, seconds: float | None = None) -> None:
        """Count a job. end: done, failed or cancelled; seconds: of those that were restored."""
        self._jobs.labels(end).inc()
        if seconds is not None:
            self._job_seconds.observe(seconds)

    def answered(self, status: int, seconds: float, answer: Answer | None = None) -> None:
        """Count a finished request to restore. answer: None if it failed."""
        self._requests.labels(str(status), answer.model.alias if answer else "").inc()
        self._whole.observe(seconds)
        if answer is None:
            return
        self._waited.observe(answer.waited)
        self._inference.observe(answer.seconds)
        self._batch.observe(answer.batch)
        height, width = answer.restoration.output.shape[:2]
        self._pixels.inc(height * width)

    def families(self) -> list[Metric]:
        """All metrics with their present values."""
        return list(self._registry.collect())


def text(replicas: Mapping[str, Sequence[Metric]]) -> bytes:
    """The families of each replica in Prometheus's text format.

    The label `replica` of a series is the replica's name, "" for a service of one process.
    """
    merged: dict[str, Metric] = {}
    for replica, families in replicas.items():
        label = {"replica": replica} if replica else {}
        for family in families:
            into = merged.setdefault(
                family.name, Metric(family.name, family.documentation, family.type)
            )
            into.samples += [s._replace(labels={**s.labels, **label}) for s in family.samples]
    return generate_latest(_Families(list(merged.values())))


class _Families(Collector):
    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


class _Now(Collector):
    """Metrics that are read on collection: the queue and the models of this replica."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        waiting = GaugeMetricFamily(
            "drdd_requests_waiting", "Requests that no batch has taken yet", self._service.waiting()
        )
        served = GaugeMetricFamily("drdd_model", "Served now", labels=["alias", "version"])
        problem = GaugeMetricFamily(
            "drdd_model_problem",
            "1 when the alias points to what cannot be served",
            labels=["alias"],
        )
        for one in self._service.models():
            served.add_metric([one.alias, one.version], 1)
            problem.add_metric([one.alias], int(one.problem is not None))
        yield from (waiting, served, problem)

    def describe(self) -> Iterable[Metric]:
        return []
