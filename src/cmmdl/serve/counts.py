"""What a server counts, as Prometheus reads it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Counts:
    """The counters of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("cmmdl_requests", "Answers of POST /fuse.", ["status"], registry=self.registry)
        self.waiting = Gauge("cmmdl_waiting", "Fusions that wait.", registry=self.registry)
        buckets = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
        self.seconds = Histogram(
            "cmmdl_fuse_seconds",
            "Time of a fusion, without waiting.",
            ["model"],
            registry=self.registry,
            buckets=buckets,
        )

    def text(self) -> bytes:
        """In Prometheus's text format."""
        return generate_latest(self.registry)
