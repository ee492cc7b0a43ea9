"""Prometheus metrics."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from rlfn.serve.job import UpscaleJob
from rlfn.serve.job_queue import JobQueue

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class ServerMetrics:
    """The metrics of one server, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "rlfn_http_requests", "Requests.", ("method", "route", "status"), registry=self.registry
        )
        self.request_seconds = Histogram(
            "rlfn_http_request_seconds",
            "Seconds from the start of a request to the end of its response.",
            ("route",),
            buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 300),
            registry=self.registry,
        )
        self.pictures = Counter("rlfn_pictures", "Finished jobs by status.", ("status",), registry=self.registry)
        self.work_seconds = Histogram(
            "rlfn_picture_seconds",
            "Processing time of a picture, excluding waiting.",
            ("model",),
            buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
            registry=self.registry,
        )
        self.pixels = Counter("rlfn_result_pixels", "Pixels of results.", registry=self.registry)

    def watch(self, queue: JobQueue) -> None:
        """Export the state of a queue."""
        rows: tuple[tuple[str, str, Callable[[], float]], ...] = (
            ("rlfn_waiting_pictures", "Waiting jobs.", lambda: len(queue.waiting)),
            ("rlfn_running_pictures", "Running jobs.", lambda: len(queue.running)),
            ("rlfn_upload_bytes", "Bytes of uploads in memory.", lambda: queue.upload_bytes),
            ("rlfn_result_bytes", "Bytes of results waiting to be fetched.", lambda: queue.result_bytes),
            ("rlfn_cache_bytes", "Bytes of cached results.", lambda: queue.cache.bytes),
        )
        for name, about, read in rows:
            Gauge(name, about, registry=self.registry).set_function(read)

    def job_finished(self, job: UpscaleJob) -> None:
        """Count a finished job."""
        self.pictures.labels("cached" if job.cached else job.state.value).inc()
        if job.result is not None and not job.cached:
            details = job.result.details
            self.work_seconds.labels(details.model).observe(details.seconds)
            self.pixels.inc(details.output_size[0] * details.output_size[1])

    def text(self) -> bytes:
        """Return all metrics in Prometheus text format."""
        return generate_latest(self.registry)
