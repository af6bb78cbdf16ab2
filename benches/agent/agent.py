#!/usr/bin/env python3
"""What the log agent costs: megabytes of lines per CPU second, memory, and that all arrived.

Starts `sextant promtail` on a folder of its own, appends lines to its files at a given pace, waits
until the receiver has them all, and reads the agent's CPU time and memory from /proc.
"""
import argparse
import http.server
import os
import random
import shutil
import socketserver
import subprocess
import tempfile
import threading
import time
import urllib.request

TICKS = os.sysconf("SC_CLK_TCK")


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes every push; decodes none, so that it costs the agent's core nothing."""

    protocol_version = "HTTP/1.1"
    requests = 0
    bytes = 0

    def do_POST(self):
        left = int(self.headers["content-length"])
        Receiver.requests += 1
        Receiver.bytes += left
        while left > 0:
            left -= len(self.rfile.read(min(left, 1 << 20)))
        self.send_response(204)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True


def lines(source, wanted):
    """Blocks of whole lines, `wanted` bytes together: of a file again and again, or made up."""
    if source:
        with open(source, "rb") as f:
            text = f.read(64 << 20)
        text = text[: text.rfind(b"\n") + 1]
    else:
        rng = random.Random(7)
        one = (
            '10.0.{}.{} - - [24/Nov/2025:10:00:{:02d} +0000] "{} /api/v1/{}/{} HTTP/1.1" {} {} {:.3f}\n'
        )
        words = ["orders", "users", "items", "search", "login", "assets"]
        text = "".join(
            one.format(
                rng.randrange(256), rng.randrange(256), rng.randrange(60),
                rng.choice(["GET", "POST"]), rng.choice(words), rng.randrange(10**6),
                rng.choice([200, 200, 200, 404, 500]), rng.randrange(10**5), rng.random(),
            )
            for _ in range(200_000)
        ).encode()
    at = 0
    while wanted > 0:
        block = text[at : at + (4 << 20)]
        block = block[: block.rfind(b"\n") + 1]
        at = at + len(block) if at + len(block) < len(text) else 0
        wanted -= len(block)
        yield block


def cpu(pid):
    """User and system time of a process, seconds."""
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory(pid, key):
    """A line of the process' status, MiB."""
    with open(f"/proc/{pid}/status") as f:
        return next(int(l.split()[1]) / 1024 for l in f if l.startswith(key))


def metric(port, name):
    """Sum of a metric's series on the agent's page."""
    page = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
    own = (l for l in page.splitlines() if l.startswith((name + "{", name + " ")))
    return sum(float(l.rsplit(" ", 1)[1]) for l in own)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--binary", required=True, help="path of sextant")
    p.add_argument("--mb", type=int, default=1000, help="MB of lines (10^6 bytes)")
    p.add_argument("--pace", type=float, default=100, help="MB a second that are appended; 0 for no bound")
    p.add_argument("--files", type=int, default=4, help="files that the lines go to in turn")
    p.add_argument("--data", help="file of lines; without it lines of a web server are made up")
    p.add_argument("--stages", default="", help="YAML list of pipeline stages, in one line")
    p.add_argument("--url", help="push URL of a real server instead of one that only counts")
    p.add_argument("--port", type=int, default=19777, help="port of the agent's pages")
    a = p.parse_args()

    folder = tempfile.mkdtemp(prefix="agent-bench-")
    url = a.url
    if not url:
        server = Server(("127.0.0.1", 0), Receiver)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/loki/api/v1/push"
    logs = [os.path.join(folder, f"{n}.log") for n in range(a.files)]
    files = [open(l, "ab", buffering=0) for l in logs]
    config = os.path.join(folder, "promtail.yml")
    with open(config, "w") as f:
        f.write(
            f"server: {{http_listen_port: {a.port}, http_listen_address: 127.0.0.1, log_level: warn}}\n"
            f"positions: {{filename: {folder}/positions.yaml}}\n"
            f"clients: [{{url: '{url}'}}]\n"
            "scrape_configs:\n- job_name: bench\n  static_configs:\n"
            f"  - labels: {{job: bench, __path__: '{folder}/*.log'}}\n"
            + (f"  pipeline_stages: {a.stages}\n" if a.stages else "")
        )
    agent = subprocess.Popen([a.binary, "promtail", f"-config.file={config}"])
    try:
        deadline = time.time() + 30
        while True:
            try:
                if metric(a.port, "promtail_files_active_total") == a.files:
                    break
            except OSError:
                pass
            assert time.time() < deadline and agent.poll() is None, "the agent does not start"
            time.sleep(0.1)
        start, before, wrote, count = time.time(), cpu(agent.pid), 0, 0
        for n, block in enumerate(lines(a.data, a.mb * 10**6)):
            files[n % a.files].write(block)
            wrote += len(block)
            count += block.count(b"\n")
            ahead = wrote / 1e6 / a.pace - (time.time() - start) if a.pace else 0
            if ahead > 0:
                time.sleep(ahead)
        appended = time.time() - start
        deadline = time.time() + 300
        sent = 0
        while sent < count and time.time() < deadline:
            time.sleep(0.2)
            sent = metric(a.port, "promtail_sent_entries_total")
        took = time.time() - start
        used = cpu(agent.pid) - before
        dropped = metric(a.port, "promtail_dropped_entries_total")
        print(
            f"{wrote / 1e6:.0f} MB, {count} lines of {wrote / count:.0f} bytes to {a.files} files: "
            f"appended in {appended:.1f} s, all sent after {took:.1f} s\n"
            f"sent {sent:.0f}, dropped {dropped:.0f}"
            + ("" if a.url else f", {Receiver.requests} requests, {Receiver.bytes / 1e6:.0f} MB pushed")
            + f"\nagent {used:.2f} CPU-s: {wrote / 1e6 / used:.0f} MB/s per core, "
            f"{1e6 * used / count:.2f} us a line; "
            f"peak RSS {memory(agent.pid, 'VmHWM'):.0f} MiB (anonymous at the end "
            f"{memory(agent.pid, 'RssAnon'):.0f} MiB)"
        )
    finally:
        agent.terminate()
        agent.wait()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
