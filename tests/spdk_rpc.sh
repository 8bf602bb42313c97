#!/usr/bin/env bash
# umpio's daemon, asked by PyPI's spdk client as it is. Needs target/release/umpio (or $UMPIO),
# python3 with venv, and a package index; says SKIPPED where the client cannot be had
# (UMPIO_LAB_REQUIRED=1 makes that a failure).
set -euo pipefail
cd "$(dirname "$0")/.."
umpio=${UMPIO:-target/release/umpio}
lab=${UMPIO_LAB:-target/lab}
mkdir -p "$lab"
python=$lab/spdk-venv/bin/python
if ! [ -x "$python" ] || ! "$python" -c 'import spdk.rpc.client' 2>/dev/null; then
  if ! { python3 -m venv "$lab/spdk-venv" && "$python" -m pip -q install spdk; } >"$lab/spdk-venv.log" 2>&1; then
    echo "SKIPPED: no spdk client, see $lab/spdk-venv.log"
    exit "${UMPIO_LAB_REQUIRED:-0}"
  fi
fi
dir=$(mktemp -d)
daemon=
trap '[ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$dir"' EXIT
printf '[[lun]]\nname = "a"\npaths = ["mem:16M"]\n' >"$dir/umpio.toml"
"$umpio" serve --config "$dir/umpio.toml" --socket "$dir/rpc" --state-dir "$dir/state" 2>"$dir/log" &
daemon=$!
for _ in $(seq 100); do
  [ -S "$dir/rpc" ] && break
  sleep 0.1
done
"$python" tests/spdk_rpc.py "$dir/rpc" a
