"""What the service counts, for Prometheus.

With PROMETHEUS_MULTIPROC_DIR set before prometheus_client is imported, the replicas of a machine count
into one folder and each of them tells the sum.
"""

import os
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from drdd.serving.service import Answer, Service

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
BATCHES = (1, 2, 4, 8, 16, 32, 64)


class Meters:
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
            multiprocess_mode="livesum",
        )
        self._now = _Now(service)

    def answered(self, status: int, seconds: float, answer: Answer | None = None) -> None:
        """A request to restore is over. answer: where there is one."""
        self._requests.labels(str(status), answer.model.alias if answer else "").inc()
        self._whole.observe(seconds)
        if answer is None:
            return
        self._waited.observe(answer.waited)
        self._inference.observe(answer.seconds)
        self._batch.observe(answer.batch)
        height, width = answer.restoration.output.shape[:2]
        self._pixels.inc(height * width)

    def text(self) -> bytes:
        """In Prometheus's text format."""
        registry = self._registry
        if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
            registry = CollectorRegistry()
            MultiProcessCollector(registry)
        return generate_latest(registry) + generate_latest(self._now)


class _Now(Collector):
    """Not counted but looked up: the queue and the models of this replica."""

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
