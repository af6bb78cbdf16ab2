#!/usr/bin/env python3
"""10,000 firing alerts within a minute: CPU time and memory of our Alertmanager. See README.md."""
import argparse
import http.server
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.request

TICK = os.sysconf("SC_CLK_TCK")
ALERTS, SECONDS, BATCH = 10_000, 60, 64


class Hook(http.server.BaseHTTPRequestHandler):
    told = 0

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        Hook.told = max(Hook.told, 0) + len(body["alerts"])
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


def status(pid, key):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith(key + ":"):
            return int(line.split()[1]) // 1024
    return 0


def cpu(pid):
    f = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(f[11]) + int(f[12])) / TICK


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--command", required=True, help="command line with {config}, {data} and {port}")
    p.add_argument("--port", type=int, default=18710)
    a = p.parse_args()
    hook = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    folder = tempfile.mkdtemp(prefix="flood-")
    config = os.path.join(folder, "am.yml")
    url = f"http://127.0.0.1:{hook.server_address[1]}/"
    open(config, "w").write(
        "route: {receiver: r, group_by: [alertname], group_wait: 5s, group_interval: 10s}\n"
        f"receivers: [{{name: r, webhook_configs: [{{url: '{url}'}}]}}]\n")
    argv = a.command.format(config=config, data=os.path.join(folder, "data"), port=a.port).split()
    s = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    base = f"http://127.0.0.1:{a.port}"
    try:
        for _ in range(100):
            try:
                urllib.request.urlopen(base + "/-/ready")
                break
            except OSError:
                time.sleep(0.1)
        idle_rss, before, begun = status(s.pid, "VmRSS"), cpu(s.pid), time.time()
        for first in range(0, ALERTS, BATCH):
            alerts = [{"labels": {"alertname": f"A{i % 100}", "instance": f"host-{i}", "job": "node", "severity": "page"},
                       "annotations": {"summary": f"alert {i} on a host", "description": "x" * 200}}
                      for i in range(first, min(first + BATCH, ALERTS))]
            r = urllib.request.Request(base + "/api/v2/alerts", json.dumps(alerts).encode(), {"content-type": "application/json"})
            urllib.request.urlopen(r)
            time.sleep(max(0, begun + SECONDS * (first + BATCH) / ALERTS - time.time()))
        time.sleep(15)
        active = len(json.load(urllib.request.urlopen(base + "/api/v2/alerts")))
        print(json.dumps({"alerts": active, "told": Hook.told, "cpu_s": round(cpu(s.pid) - before, 2), "rss_before_mib": idle_rss,
                          "rss_mib": status(s.pid, "VmRSS"), "peak_rss_mib": status(s.pid, "VmHWM"), "seconds": round(time.time() - begun)}))
    finally:
        s.terminate()
        s.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
