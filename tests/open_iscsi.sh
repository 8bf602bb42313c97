#!/usr/bin/env bash
# umpio's iSCSI target against Linux's own initiator: open-iscsi and dm-multipath in a machine of
# their own (tests/lab), over two portal groups with ALUA, under a verified load: groups change their
# states, one becomes unavailable and comes back, and the map follows. About two minutes.
#
#   tests/open_iscsi.sh         the story; tests/lab/story.sh says what the environment changes
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
peer="open-iscsi and dm-multipath"
iqn=iqn.2026-01.dev.umpio:linux
# shellcheck source=tests/lab/story.sh
. tests/lab/story.sh

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
map_is() { # map_is PATTERN: `multipath -ll` matches
    local said
    said=$(guest initiator show 2>/dev/null)
    if tr '\n' ' ' <<<"$said" | grep -qE "$1"; then
        grep -E 'prio=|:[0-9]+ +sd' <<<"$said" | tr -s ' |`\n' ' '
    else
        echo "$said"
        return 1
    fi
}
shows() { awaits "$1" map_is "$2"; } # shows LABEL PATTERN
# done_more BEFORE: the load has finished further rounds, or has failed
done_more() {
    now=$(guest initiator progress load) || return 0
    echo "$now"
    [ "$now" != "$1" ]
}
moves() { # moves LABEL: the verified load goes on to finish a round
    awaits "$1" done_more "$(guest initiator progress load)"
    guest initiator progress load >/dev/null || fail "$1" "$(guest initiator progress load)"
}

needs_umpio
lab_build build.py initiator.py
"$UMPIO" target --backing mem:64M --rpc "$run/rpc" --json \
    --listen "iscsi://127.0.0.1:0/$iqn/0?group=1&access=optimized" \
    --listen "iscsi://127.0.0.1:0/$iqn/0?group=2&access=non-optimized" >"$run/target" 2>"$run/target.log" &
child=$!
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
lab_start initiator
judge "udev and iscsid" guest initiator up
judge "SendTargets" guest "initiator discover 10.0.2.2:$p1 | grep $iqn"
judge "login over group 1" guest initiator login $iqn "10.0.2.2:$p1,1"
judge "login over group 2" guest initiator login $iqn "10.0.2.2:$p2,2"
judge "one map over both" guest initiator multipath
# Linux makes both groups optimized as it takes the paths in (SET TARGET PORT GROUPS).
judge "group 2 non-optimized again" ask target_set_access '{"group": 2, "state": "non_optimized"}'
shows "two priorities: 50 and 10" 'prio=50 status=active.*active +ready +running.*prio=10 status=enabled.*active +ready +running'
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
# The failover has made group 2 optimized (SET TARGET PORT GROUPS, once more).
shows "Linux made group 2 optimized" 'prio=50 status=active.*1:0:0:0 sdb [^ ]+ +active +ready +running'
judge "group 1 optimized" ask target_set_access '{"group": 1, "state": "optimized"}'
shows "its path is back" 'prio=50 status=active.*0:0:0:0 sda [^ ]+ +active +ready +running'
judge "group 2 non-optimized" ask target_set_access '{"group": 2, "state": "non_optimized"}'
shows "failback" 'prio=50 status=active.*active +ready +running.*prio=10 status=enabled.*active +ready +running'
moves "the load goes on"
judge "the load: every block was what was written last" guest initiator halt load
judge "logout" guest "multipath -F; initiator logout"
close
