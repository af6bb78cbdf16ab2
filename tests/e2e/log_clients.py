"""Real clients of the log interfaces: Python's logging through a Loki handler, the OpenTelemetry
SDK over OTLP/HTTP, and a WebSocket that follows both.

Usage: log_clients.py HOST:PORT COUNT. Prints one JSON object: the lines that each sender was told
are stored, in order, and the lines that the WebSocket saw.
"""

import json
import logging
import sys
import threading
import time
from urllib.parse import urlencode

import logging_loki
import websocket
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource

# How long the WebSocket may wait for the next message.
PATIENCE_S = 60


class Strict(logging_loki.LokiHandler):
    """A handler that does not swallow refusals."""

    def handleError(self, record):
        raise


def by_handler(address, count):
    """One push for each record."""
    handler = Strict(
        url=f"http://{address}/loki/api/v1/push", tags={"app": "handler"}, version="1"
    )
    log = logging.getLogger("e2e.handler")
    log.propagate = False
    log.setLevel(logging.DEBUG)
    log.addHandler(handler)
    sent = []
    for n in range(count):
        text = f'handler {n}: "quoted" \\ back, ümlaut, tab\t, emoji 😀'
        level = [logging.INFO, logging.WARNING, logging.ERROR][n % 3]
        log.log(level, text, extra={"tags": {"part": str(n % 2)}})
        sent.append(text)
    return sent


def by_opentelemetry(address, count):
    """Batches over OTLP, flushed at the end."""
    provider = LoggerProvider(
        resource=Resource.create({"service.name": "otel", "host.name": "somewhere"})
    )
    exporter = OTLPLogExporter(endpoint=f"http://{address}/otlp/v1/logs")
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    log = provider.get_logger("e2e", "1.2")
    sent = []
    for n in range(count):
        body = {"n": n, "nested": {"list": [1, "two", True]}} if n % 5 == 0 else f"otel {n}\nmore"
        log.emit(
            timestamp=time.time_ns(),
            severity_number=[SeverityNumber.INFO, SeverityNumber.ERROR][n % 2],
            body=body,
            attributes={"n": n, "user.id": f"u{n % 3}", "ok": True},
        )
        sent.append(body if isinstance(body, str) else json.dumps(body, sort_keys=True))
    if not provider.force_flush():
        sys.exit("the exporter could not flush")
    provider.shutdown()
    return sent


def follow(socket, wanted, out):
    """Reads messages until `wanted` lines came."""
    while len(out) < wanted:
        message = json.loads(socket.recv())
        if message["dropped_entries"]:
            sys.exit(f"dropped: {message['dropped_entries']}")
        for stream in message["streams"]:
            out.extend(line for _, line in stream["values"])


def main():
    address, count = sys.argv[1], int(sys.argv[2])
    query = urlencode({"query": '{service_name=~"handler|otel"}', "limit": 1000})
    socket = websocket.create_connection(
        f"ws://{address}/loki/api/v1/tail?{query}", timeout=PATIENCE_S
    )
    seen = []
    reader = threading.Thread(target=follow, args=(socket, 2 * count, seen), daemon=True)
    reader.start()
    answer = {
        "handler": by_handler(address, count),
        "opentelemetry": by_opentelemetry(address, count),
    }
    reader.join(PATIENCE_S)
    socket.close()
    print(json.dumps({**answer, "seen": seen}))


main()
