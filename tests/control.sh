#!/usr/bin/env bash
# The control surface as a whole, by PyPI's spdk client and by umpio: embedded targets, a daemon
# from a config file, a LUN served on under verified I/O; from the service to the paths, every policy
# set and seen in where the I/O goes, what Windows refuses refused, the connections of an iSCSI session,
# every method once, and after a stop, a kill and a shutdown the same policy, weights and GUIDs. Needs target/release/umpio (or $UMPIO), python3 with venv, and a
# package index; says SKIPPED where the client cannot be had (UMPIO_LAB_REQUIRED=1 makes that a failure).
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
target= iscsi= daemon= load=
end() {
  for pid in $load $daemon $iscsi $target; do kill -KILL "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$dir"
}
trap end EXIT
fail() { echo "FAILED: $*"; tail -n 20 "$dir"/*.log; exit 1; }
# await WHAT COMMAND...: until the command succeeds; two minutes are far beyond what any machine needs.
await() {
  local what=$1 deadline=$((SECONDS + 120)); shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || fail "$what does not happen"
    sleep 0.1
  done
}
# The command line finds the daemon by this.
export UMPIO_SOCKET=$dir/rpc
rpc() { "$umpio" rpc "$@" --json; }
# says PATTERN COMMAND...: the command succeeds, and its output has the pattern in it
says() { local pattern=$1; shift; "$umpio" "$@" >"$dir/said" || fail "umpio $*"; grep -q -- "$pattern" "$dir/said" || fail "umpio $* does not say $pattern: $(cat "$dir/said")"; }
# reads FILE EXPRESSION: a value out of a JSON file
reads() { python3 -c 'import json,sys; v=json.load(open(sys.argv[1])); print(eval(sys.argv[2], {"v": v}))' "$@"; }
is() { [ "$(rpc "$1" "$2" 2>/dev/null | tee "$dir/is.json" >/dev/null; reads "$dir/is.json" "$3")" = True ]; }
start_daemon() {
  "$umpio" serve --config "$dir/umpio.toml" --socket "$dir/rpc" --state-dir "$dir/state" 2>>"$dir/daemon.log" &
  daemon=$!
  await "the daemon's socket" rpc version_get
  await "both paths" is lun_get '{"lun": "a"}' 'v["result"]["paths_up"] == 2'
  await "the iSCSI path" is lun_get '{"lun": "m"}' 'v["result"]["paths_up"] == 1'
}

echo "== a target with two portals"
listen=nqn.2024-01.io.umpio:control
"$umpio" target --json --backing mem:32M --rpc "$dir/target" \
  --listen "nvme-tcp://127.0.0.1:0/$listen?group=1" --listen "nvme-tcp://127.0.0.2:0/$listen?group=2" \
  >"$dir/target.json" 2>"$dir/target.log" &
target=$!
await "the target" reads "$dir/target.json" 'v["listening"][1]'
subsystem=$listen
listen=iqn.2024-01.io.umpio:control
"$umpio" target --json --backing mem:16M --listen "iscsi://127.0.0.1:0/$listen/0" \
  --listen "iscsi://127.0.0.2:0/$listen/0" >"$dir/iscsi.json" 2>"$dir/iscsi.log" &
iscsi=$!
await "the iSCSI target" reads "$dir/iscsi.json" 'v["listening"][1]'
portal() { reads "$dir/iscsi.json" "v['listening'][$1].split('/')[2]"; }
cat >"$dir/umpio.toml" <<TOML
[[lun]]
name = "a"
policy = "LQD"
paths = ["$(reads "$dir/target.json" 'v["listening"][0]')", "$(reads "$dir/target.json" 'v["listening"][1]')"]
[[lun]]
name = "m"
paths = ["$(reads "$dir/iscsi.json" 'v["listening"][0]')"]
[[serve]]
lun = "a"
listen = ["nvme-tcp://127.0.0.1:0/nqn.2024-01.io.umpio:served"]
TOML
"$umpio" serve --config "$dir/umpio.toml" --check >/dev/null || fail "the config is refused"

echo "== the daemon, and verified I/O over the LUN it serves"
start_daemon
await "serving" is serve_list '{}' 'v["result"][0]["state"] == "serving"'
url=$(reads "$dir/is.json" 'v["result"][0]["urls"][0]')
"$umpio" bench --json --verify --destroy --rw randrw --iodepth 8 --runtime 1h --path "$url" \
  >"$dir/load.json" 2>"$dir/load.log" &
load=$!
await "I/O" is lun_get '{"lun": "a"}' 'v["result"]["ios"] > 100'

echo "== from the service to the paths, by PyPI's spdk client"
"$python" tests/control.py "$dir/rpc" a "$dir/target" "$(portal 0)" "$(portal 1)" || fail "the walk"

echo "== the same by umpio"
says weighted-paths lun list
says "$subsystem" path list
[ "$(grep -c "$subsystem" "$dir/said")" = 2 ] || fail "path list: $(cat "$dir/said")"
for policy in FOO RR RRWS LQD WP LB latency share; do
  says . policy set a "$policy"
  is lun_get '{"lun": "a"}' 'v["result"]["ios"] >= 0' || fail "lun_get"
  before=$(reads "$dir/is.json" 'v["result"]["ios"]')
  await "I/O under $policy" is lun_get '{"lun": "a"}' "v['result']['ios'] > $before + 100"
done
says weighted-paths session list
[ "$(grep -c "$(portal 0)\|$(portal 1)" "$dir/said")" = 2 ] || fail "session list: $(cat "$dir/said")"
session=$(rpc msiscsi_query_lb_policy >"$dir/is.json"; reads "$dir/is.json" 'v["result"]["sessions"][0]["session_id"]')
says . session add "$session" "$(portal 1)" --weight 2
await "a third connection" is msiscsi_query_lb_policy '{}' 'len([p for p in v["result"]["sessions"][0]["paths"] if p["connection_status"] == 1]) == 3'
says . session remove "$session" "$(reads "$dir/is.json" 'v["result"]["sessions"][0]["paths"][2]["connection_id"]')"
says . session policy "$session" least-queue-depth
says least-queue-depth session list
says . session policy "$session" weighted-paths
for method in vds_service_reenumerate vds_service_refresh; do says S_OK rpc $method; done
says "MPIO Disk0" mpclaim -s -d
says . mpclaim -l -d 0 5
says . mpclaim -s -d 0
says weighted-paths policy get a
if "$umpio" policy set a best >/dev/null 2>&1; then fail "a policy that nobody knows was taken"; fi

echo "== the I/O ends without an error"
kill -INT "$load"
code=0; wait "$load" || code=$?
load=
[ $code = 130 ] || fail "the load ended with $code"
[ "$(reads "$dir/load.json" 'v["errors"] + v["miscompares"]')" = 0 ] || fail "$(cat "$dir/load.json")"
echo "  $(reads "$dir/load.json" 'v["ios"]') I/Os, $(reads "$dir/load.json" 'v["checked"]') blocks checked"

echo "== policy, weights and GUIDs after a stop, and after a kill"
before=$("$python" tests/control.py "$dir/rpc" a kept)
for signal in TERM KILL shutdown; do
  case $signal in
  shutdown) "$python" tests/control.py "$dir/rpc" a shutdown || fail "daemon_shutdown" ;;
  *) kill -$signal "$daemon" ;;
  esac
  code=0; wait "$daemon" || code=$?
  [ $signal = KILL ] || [ $code = 0 ] || fail "the daemon ended with $code"
  start_daemon
  after=$("$python" tests/control.py "$dir/rpc" a kept)
  [ "$before" = "$after" ] || fail "$signal: $before became $after"
  says weighted-paths policy get a
done
echo "OK"
