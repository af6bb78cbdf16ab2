#!/bin/bash
# Processor time per scrape and resident memory of our exporters beside Debian's, in one run.
# usage: benches/exporters.sh PATH-OF-SEXTANT [SCRAPES]
#
# Needs the packages prometheus-node-exporter, prometheus-redis-exporter,
# prometheus-postgres-exporter, and for the latter two a server: REDIS_ADDR (host:port) and
# DATA_SOURCE_NAME say where. Whatever is missing is left out.
set -eu
ours=${1:?usage: benches/exporters.sh PATH-OF-SEXTANT [SCRAPES]}
scrapes=${2:-300}
dir=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$dir"' EXIT

ticks() { # of a process, user and system together
  sed 's/.*) //' "/proc/$1/stat" | awk '{print $12 + $13}'
}

measure() { # name, port, command...
  local name=$1 port=$2
  shift 2
  "$@" >"$dir/$name.log" 2>&1 &
  local pid=$!
  for _ in $(seq 100); do
    curl -sf "http://127.0.0.1:$port/metrics" -o "$dir/page" && break
    sleep 0.1
  done
  for _ in $(seq 20); do curl -sf "http://127.0.0.1:$port/metrics" -o "$dir/page"; done
  local before after
  before=$(ticks $pid)
  for _ in $(seq "$scrapes"); do curl -sf "http://127.0.0.1:$port/metrics" -o "$dir/page"; done
  after=$(ticks $pid)
  awk -v n="$name" -v t=$((after - before)) -v s="$scrapes" \
    -v r="$(awk '/^VmRSS/ {print $2}' "/proc/$pid/status")" \
    -v l="$(grep -vc '^#' "$dir/page")" \
    'BEGIN {printf "%-22s %8.3f CPU-ms per scrape  %7.1f MiB RSS  %5d samples\n", n, t * 10 / s, r / 1024, l}'
  kill $pid
  wait $pid 2>/dev/null || true
}

measure node-ours 19301 "$ours" node-exporter --web.listen-address=127.0.0.1:19301
if command -v prometheus-node-exporter >/dev/null; then
  measure node-debian 19302 prometheus-node-exporter --web.listen-address=127.0.0.1:19302
fi
if [ -n "${REDIS_ADDR:-}" ]; then
  measure redis-ours 19303 "$ours" redis-exporter -web.listen-address=127.0.0.1:19303
  if command -v prometheus-redis-exporter >/dev/null; then
    measure redis-debian 19304 prometheus-redis-exporter -web.listen-address=127.0.0.1:19304 \
      -redis.addr "redis://$REDIS_ADDR"
  fi
fi
if [ -n "${DATA_SOURCE_NAME:-}" ]; then
  measure postgres-ours 19305 "$ours" postgres-exporter --web.listen-address=127.0.0.1:19305
  if command -v prometheus-postgres-exporter >/dev/null; then
    measure postgres-debian 19306 prometheus-postgres-exporter \
      --web.listen-address=127.0.0.1:19306
  fi
fi
