#!/usr/bin/env python3
"""CPU seconds per round of 1,000 rules, ours and Debian's prometheus. See README.md."""
import argparse
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request

TICK = os.sysconf("SC_CLK_TCK")
INTERVAL = 15
GROUPS, PER_GROUP = 50, 20
# Requests of a round of the fleet, and rounds of the last hour.
REQUESTS, ROUNDS_ALL, ROUNDS = 30, 840, 240


def hosts(i):
    """A part of the fleet: ten hosts."""
    return f'instance=~"host-{i % 15:02d}[0-9].*"'


KINDS = [
    ("sum by (instance) (rate(node_cpu_seconds_total{{mode!='idle',{h}}}[5m] {o}))", 100),
    ("100 * (1 - avg by (instance) (rate(node_cpu_seconds_total{{mode='idle',{h}}}[5m] {o})))", 101),
    ("1 - node_memory_MemAvailable_bytes{{{h}}} {o} / node_memory_MemTotal_bytes{{{h}}} {o}", 1.5),
    ("1 - node_filesystem_avail_bytes{{{h}}} {o} / node_filesystem_size_bytes{{{h}}} {o}", 1.5),
    ("predict_linear(node_filesystem_avail_bytes{{{h}}}[30m] {o}, 14400)", 1e30),
    ("histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket{{{h}}}[5m] {o})))", 1e9),
    ("sum(rate(http_request_duration_seconds_count{{code='500',{h}}}[5m] {o})) / sum(rate(http_request_duration_seconds_count{{{h}}}[5m] {o}))", 2),
    ("sum by (instance) (rate(node_network_receive_bytes_total{{{h}}}[5m] {o}))", 1e30),
    ("max_over_time(node_load1{{{h}}}[10m] {o})", 1e9),
    ("count(up{{{h}}} {o} == 0)", 1e9),
]


def rules(offset):
    groups = []
    for g in range(GROUPS):
        own = []
        for r in range(PER_GROUP):
            n = g * PER_GROUP + r
            expr, limit = KINDS[n % len(KINDS)]
            expr = expr.format(h=hosts(n // len(KINDS)), o=f"offset {offset}s")
            if r % 2:
                own.append({"alert": f"A{n}", "expr": f"({expr}) > {limit}", "for": "5m",
                            "labels": {"severity": "page"}, "annotations": {"text": "{{ $value }} on {{ $labels.instance }}"}})
            else:
                own.append({"record": f"r{n}:value", "expr": expr})
        groups.append({"name": f"g{g}", "interval": f"{INTERVAL}s", "rules": own})
    return json.dumps({"groups": groups})


class Server:
    def __init__(self, argv, port, folder):
        self.port, self.folder = port, folder
        log = open(os.path.join(folder, "log"), "w")
        self.p = subprocess.Popen(argv, stdout=log, stderr=log)
        for _ in range(600):
            try:
                if self.call("/-/ready")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise SystemExit(f"{argv[0]} is not ready, see {folder}/log")

    def call(self, path, data=None):
        r = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=data)
        try:
            with urllib.request.urlopen(r, timeout=120) as a:
                return a.status, a.read()
        except urllib.error.HTTPError as e:
            return e.code, e.read()

    def cpu(self):
        f = open(f"/proc/{self.p.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(f[11]) + int(f[12])) / TICK

    def rss(self):
        for line in open(f"/proc/{self.p.pid}/status"):
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) // 1024
        return 0

    def counted(self, name):
        text = self.call("/metrics")[1].decode()
        lines = (l for l in text.splitlines() if l.startswith(name + "{"))
        return sum(float(l.rsplit(" ", 1)[1]) for l in lines)

    def quiet(self):
        last = self.cpu()
        for _ in range(120):
            time.sleep(2)
            now = self.cpu()
            if now - last < 0.1:
                return
            last = now


def measure(name, argv, port, a):
    folder = tempfile.mkdtemp(prefix=f"rules-{name}-", dir=a.work)
    config = os.path.join(folder, "prometheus.yml")
    file = os.path.join(folder, "rules.json")
    head = "global: {scrape_interval: 15s, evaluation_interval: 15s}\nstorage: {tsdb: {out_of_order_time_window: 30m}}\n"
    open(config, "w").write(head)
    argv = [x.format(config=config, data=os.path.join(folder, "data"), port=port) for x in argv]
    s = Server(argv, port, folder)
    try:
        sent = [a.replay, "send", "--file", a.data, "--addr", f"127.0.0.1:{port}", "--path", "/api/v1/write",
                "--conns", "4", "--kind", "metrics", "--skip", str(REQUESTS * (ROUNDS_ALL - ROUNDS)), "--limit", str(REQUESTS * ROUNDS)]
        subprocess.run(sent, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        loaded = s.cpu()
        s.quiet()
        span = a.rounds * INTERVAL
        before = s.cpu()
        time.sleep(span)
        idle = s.cpu() - before
        base = json.load(open(a.data.replace(".bin", ".json")))["base_ms"] // 1000
        end = base + ROUNDS_ALL * INTERVAL - 300
        open(file, "w").write(rules(int(time.time()) - end))
        open(config, "w").write(head + "rule_files: [rules.json]\n")
        s.p.send_signal(signal.SIGHUP)
        # The first rounds find caches cold and make the series of the rules.
        time.sleep(2 * INTERVAL)
        done, failed = s.counted("prometheus_rule_evaluations_total"), s.counted("prometheus_rule_evaluation_failures_total")
        before = s.cpu()
        time.sleep(span)
        busy = s.cpu() - before
        rounds = (s.counted("prometheus_rule_evaluations_total") - done) / (GROUPS * PER_GROUP)
        failed = s.counted("prometheus_rule_evaluation_failures_total") - failed
        asked = urllib.parse.quote('count({__name__=~"r[0-9]+:value"})')
        found = json.loads(s.call(f"/api/v1/query?query={asked}")[1])["data"]["result"]
        out = {"server": name, "cpu_s_per_round": round((busy - idle) / max(rounds, 1e-9), 3), "rounds": round(rounds, 2),
               "failed": failed, "idle_cpu_s": round(idle, 2), "load_cpu_s": round(loaded, 1), "rss_mib": s.rss(),
               "recorded_series": found[0]["value"][1] if found else "0"}
        print(json.dumps(out), flush=True)
        return out
    finally:
        s.p.terminate()
        s.p.wait(120)
        shutil.rmtree(folder, ignore_errors=True)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--binary", required=True, help="our binary, a release build")
    p.add_argument("--prometheus", default="prometheus", help="the other one")
    p.add_argument("--replay", required=True, help="the load generator")
    p.add_argument("--data", required=True, help="recorded requests, with a .json beside them")
    p.add_argument("--rounds", type=int, default=4, help="rounds that are measured")
    p.add_argument("--port", type=int, default=18700)
    p.add_argument("--work", default=None, help="folder for data directories")
    a = p.parse_args()
    flags = ["--config.file={config}", "--storage.tsdb.path={data}", "--web.listen-address=127.0.0.1:{port}",
             "--web.enable-remote-write-receiver", "--storage.tsdb.retention.time=20y", "--log.level=warn"]
    ours = measure("sextant", [a.binary, "prometheus", *flags], a.port, a)
    other = measure("prometheus", [a.prometheus, *flags], a.port + 1, a)
    share = ours["cpu_s_per_round"] / max(other["cpu_s_per_round"], 1e-9)
    print(json.dumps({"share": round(share, 3)}))


if __name__ == "__main__":
    main()
