"""Sends metrics with the OpenTelemetry SDK over OTLP/HTTP and writes down what was accepted.

Usage: otel_sender.py ENDPOINT SECONDS OUT. Each line of OUT is a sample as the server must hold it:
labels as `name="value" `, a tab, milliseconds, a tab, the bits of the value.
"""

import math
import random
import struct
import sys
import time

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExportResult, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

BOUNDS = [0.05, 0.5, 2.5]


def samples(data):
    """What the points of an export are as series."""
    for resource in data.resource_metrics:
        own = {
            "job": resource.resource.attributes["service.name"],
            "instance": resource.resource.attributes["service.instance.id"],
        }
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    labels = dict(own, **point.attributes)
                    at = point.time_unix_nano // 1_000_000
                    if hasattr(point, "bucket_counts"):
                        total = 0
                        for bound, count in zip(point.explicit_bounds, point.bucket_counts):
                            total += count
                            le = dict(labels, le=repr(bound))
                            yield metric.name + "_bucket", le, at, total
                        yield metric.name + "_bucket", dict(labels, le="+Inf"), at, point.count
                        yield metric.name + "_count", labels, at, point.count
                        yield metric.name + "_sum", labels, at, point.sum
                    else:
                        yield metric.name, labels, at, point.value


class Recorder(OTLPMetricExporter):
    """An exporter that remembers what the server took."""

    out = None

    def export(self, metrics_data, *args, **kwargs):
        result = super().export(metrics_data, *args, **kwargs)
        if result is MetricExportResult.SUCCESS:
            for name, labels, at, value in samples(metrics_data):
                labels = sorted(dict(labels, __name__=name).items())
                text = "".join(f'{n}="{v}" ' for n, v in labels)
                bits = struct.unpack(">Q", struct.pack(">d", float(value)))[0]
                self.out.write(f"{text}\t{at}\t{bits}\n")
        return result


def main():
    endpoint, seconds, path = sys.argv[1], float(sys.argv[2]), sys.argv[3]
    with open(path, "w", encoding="utf-8") as out:
        exporter = Recorder(endpoint=endpoint, timeout=30)
        exporter.out = out
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=500)
        provider = MeterProvider(
            metric_readers=[reader],
            resource=Resource.create(
                {"service.name": "sender", "service.instance.id": "sender-1"}
            ),
            views=[
                View(
                    instrument_name="e2e_latency",
                    aggregation=ExplicitBucketHistogramAggregation(BOUNDS),
                )
            ],
        )
        meter = provider.get_meter("e2e")
        jobs = meter.create_counter("e2e_jobs_total")
        depth = meter.create_gauge("e2e_depth")
        level = meter.create_up_down_counter("e2e_level")
        latency = meter.create_histogram("e2e_latency")
        dice = random.Random(7)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for queue in "abc":
                jobs.add(dice.randrange(5), {"queue": queue})
                depth.set(dice.choice([dice.gauss(0, 1e3), -0.0, math.pi]), {"queue": queue})
                level.add(dice.randrange(-3, 4), {"queue": queue})
                latency.record(dice.expovariate(1.0), {"queue": queue})
            time.sleep(0.02)
        provider.shutdown()


main()
