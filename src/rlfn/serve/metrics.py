"""What a server counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from rlfn.serve.desk import Desk
from rlfn.serve.ticket import Ticket

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class ServerMetrics:
    """The counters of one server, apart from every other's in the process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "rlfn_http_requests", "Requests.", ("method", "route", "status"), registry=self.registry
        )
        self.request_seconds = Histogram(
            "rlfn_http_request_seconds",
            "Seconds from the head of a request to the end of its answer.",
            ("route",),
            buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 300),
            registry=self.registry,
        )
        self.pictures = Counter("rlfn_pictures", "Pictures by how they ended.", ("status",), registry=self.registry)
        self.work_seconds = Histogram(
            "rlfn_picture_seconds",
            "Seconds of work on a picture, waiting not counted.",
            ("model",),
            buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
            registry=self.registry,
        )
        self.pixels = Counter("rlfn_result_pixels", "Pixels of results.", registry=self.registry)

    def watch(self, desk: Desk) -> None:
        """Show the state of a desk."""
        rows: tuple[tuple[str, str, Callable[[], float]], ...] = (
            ("rlfn_waiting_pictures", "Pictures that wait.", lambda: len(desk.waiting)),
            ("rlfn_running_pictures", "Pictures that are worked on.", lambda: len(desk.running)),
            ("rlfn_upload_bytes", "Bytes of uploads that are held.", lambda: desk.uploads),
            ("rlfn_result_bytes", "Bytes of results that wait to be fetched.", lambda: desk.results),
            ("rlfn_cache_bytes", "Bytes of results that are kept.", lambda: desk.cache.bytes),
        )
        for name, about, read in rows:
            Gauge(name, about, registry=self.registry).set_function(read)

    def picture_ended(self, ticket: Ticket) -> None:
        """Count a picture that was done, failed or was given up."""
        self.pictures.labels("cached" if ticket.cached else ticket.stage.value).inc()
        if ticket.delivery is not None and not ticket.cached:
            details = ticket.delivery.details
            self.work_seconds.labels(details.model).observe(details.seconds)
            self.pixels.inc(details.output_size[0] * details.output_size[1])

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)
