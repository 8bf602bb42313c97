#!/usr/bin/env bash
# umpio's iSCSI target against Linux's own initiator: open-iscsi and dm-multipath in a machine of
# their own (tests/lab), over two portal groups with ALUA, under a verified load: groups change their
# states, one becomes unavailable and comes back, and the map follows. About two minutes.
#
#   tests/open_iscsi.sh         the story; $UMPIO is the binary (target/release/umpio)
#
# $UMPIO_LAB keeps the built lab; $UMPIO_LAB_REQUIRED=1 makes a skip a failure.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
here=tests/lab
UMPIO=${UMPIO:-target/release/umpio}
export UMPIO_LAB=${UMPIO_LAB:-target/lab}
export PYTHONDONTWRITEBYTECODE=1
passed=0 failed=0 run='' target=''
iqn=iqn.2026-01.dev.umpio:linux

finish() {
    [ -z "$target" ] || kill "$target" 2>/dev/null
    if [ -n "$run" ]; then
        python3 "$here"/vm.py stop "$run"
        if [ "$failed" -gt 0 ]; then echo "kept for a look: $run"; else rm -rf "$run"; fi
    fi
}
trap finish EXIT
trap 'exit 130' INT TERM

pass() { passed=$((passed + 1)); echo "PASS $1: $2"; }
fail() { failed=$((failed + 1)); echo "FAIL $1: $2"; }
close() {
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
    exit
}
skip() {
    if [ -n "${UMPIO_LAB_REQUIRED:-}" ]; then
        fail "open-iscsi" "cannot be skipped here, but: $1"
        close
    fi
    echo "SKIPPED: open-iscsi and dm-multipath were not tested: $1"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
}
guest() { python3 "$here"/vm.py tell "$run" "$*"; }
# judge LABEL COMMAND...: passes when the command does; what it prints last are the figures
judge() {
    local label=$1 said
    shift
    if said=$("$@" 2>&1); then pass "$label" "$(tail -n 3 <<<"$said" | tr '\n' ' ')"; else fail "$label" "$said"; fi
}
# ask METHOD PARAMS: one call to the target
ask() {
    python3 - "$run/rpc" "$1" "$2" <<'PY'
import json, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.settimeout(10)
s.sendall(json.dumps({"jsonrpc": "2.0", "id": 1, "method": sys.argv[2], "params": json.loads(sys.argv[3])}).encode())
got = b""
while True:
    got += s.recv(65536)
    try:
        answer = json.loads(got)
        break
    except ValueError:
        continue
print(json.dumps(answer.get("result", answer)))
sys.exit("error" in answer)
PY
}
# state_of GROUP WANT: waits until dm-multipath shows that priority's paths as wanted
shows() { # shows LABEL PATTERN: `multipath -ll` matches, within half a minute
    local until=$((SECONDS + 30)) said=''
    while [ "$SECONDS" -lt "$until" ]; do
        said=$(guest initiator show 2>/dev/null)
        if tr '\n' ' ' <<<"$said" | grep -qE "$2"; then
            pass "$1" "$(grep -E 'prio=|:[0-9]+ +sd' <<<"$said" | tr -s ' |`\n' ' ')"
            return
        fi
        sleep 0.5
    done
    fail "$1" "after 30 s: $said"
}
moves() { # moves LABEL: the verified load finishes further rounds
    local before now until=$((SECONDS + 60))
    before=$(guest initiator progress load)
    while [ "$SECONDS" -lt "$until" ]; do
        sleep 0.5
        now=$(guest initiator progress load) || { fail "$1" "$now"; return; }
        if [ "$now" != "$before" ]; then
            pass "$1" "$now"
            return
        fi
    done
    fail "$1" "no further round in 60 s: $now"
}

[ -x "$UMPIO" ] || { echo "no $UMPIO: cargo build --release"; exit 2; }
command -v python3 >/dev/null || skip "python3 is not installed"
python3 "$here"/build.py && python3 "$here"/initiator.py
case $? in
0) ;;
75) skip "this host cannot build the lab (see above)" ;;
*) fail "the lab's build" "see above"; close ;;
esac
run=$(mktemp -d)
"$UMPIO" target --backing mem:64M --rpc "$run/rpc" --json \
    --listen "iscsi://127.0.0.1:0/$iqn/0?group=1&access=optimized" \
    --listen "iscsi://127.0.0.1:0/$iqn/0?group=2&access=non-optimized" >"$run/target" 2>"$run/target.log" &
target=$!
for _ in $(seq 100); do
    [ ! -s "$run/target" ] || break
    sleep 0.1
done
ports=$(grep -oE 'iscsi://127\.0\.0\.1:[0-9]+' "$run/target" | sed 's/.*://' | xargs)
read -r p1 p2 <<<"$ports"
if [ -n "${p2:-}" ]; then pass "the target listens" "ports $p1 and $p2"; else
    fail "the target listens" "$(cat "$run/target" "$run/target.log")"
    close
fi
python3 "$here"/vm.py start "$run" initiator >/dev/null || { fail "the lab's machine" "did not start"; close; }
judge "udev and iscsid" guest initiator up
judge "SendTargets" guest "initiator discover 10.0.2.2:$p1 | grep $iqn"
judge "login over group 1" guest initiator login $iqn "10.0.2.2:$p1,1"
judge "login over group 2" guest initiator login $iqn "10.0.2.2:$p2,2"
judge "one map over both" guest initiator multipath
# Linux makes both groups optimized as it takes the paths in (SET TARGET PORT GROUPS).
judge "group 2 non-optimized again" ask target_set_access '{"group": 2, "state": "non_optimized"}'
shows "two priorities: 50 and 10" 'prio=50 status=active.*active ready running.*prio=10 status=enabled.*active ready running'
judge "written" guest initiator write first 32
judge "read back" guest initiator verify first 32

judge "a load begins" guest initiator workload load
moves "the load runs"
echo "== the groups change places"
judge "group 1 non-optimized" ask target_set_access '{"group": 1, "state": "non_optimized"}'
judge "group 2 optimized" ask target_set_access '{"group": 2, "state": "optimized"}'
shows "the priorities follow" 'prio=50 status=active.*prio=10 status=enabled'
moves "the load goes on"
judge "group 1 optimized" ask target_set_access '{"group": 1, "state": "optimized"}'
judge "group 2 non-optimized" ask target_set_access '{"group": 2, "state": "non_optimized"}'
moves "the load goes on"
echo "== a group becomes unavailable, and comes back"
judge "group 1 inaccessible" ask target_set_access '{"group": 1, "state": "inaccessible"}'
shows "its path has failed" 'failed (faulty|undef|ghost)'
moves "failover: the load goes on over the other"
judge "group 1 optimized" ask target_set_access '{"group": 1, "state": "optimized"}'
shows "failback" 'prio=50 status=active.*active ready running.*prio=10 status=enabled.*active ready running'
moves "the load goes on"
judge "the load: every block was what was written last" guest initiator halt load
judge "logout" guest "multipath -F; initiator logout"
close
