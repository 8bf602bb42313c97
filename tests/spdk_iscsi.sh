#!/usr/bin/env bash
# umpio's iSCSI initiator against SPDK's iscsi_tgt: verified I/O of 512 B to 1 MiB over two portals,
# digests off and on, CHAP right, wrong and mutual, settings that need an R2T for everything and ones that need
# none, two connections in a session, discovery. Under two minutes.
#
#   SPDK_DIR=/path/to/spdk tests/spdk_iscsi.sh
#
# SPDK_DIR is a tree that was built already (nothing is built here). Without it the suite says SKIPPED;
# UMPIO_SPDK_REQUIRED=1 makes that a failure. Its target polls: it takes a whole core while it runs.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
UMPIO=${UMPIO:-target/release/umpio}
export PYTHONDONTWRITEBYTECODE=1
passed=0 failed=0 spdk='' bench='' work=$(mktemp -d)
iqn=iqn.2026-01.dev.umpio:spdk

finish() {
    [ -z "$bench" ] || kill "$bench" 2>/dev/null
    [ -z "$spdk" ] || kill -9 "$spdk" 2>/dev/null
    if [ "$failed" -gt 0 ]; then echo "kept for a look: $work"; else rm -rf "$work"; fi
}
trap finish EXIT
trap 'exit 130' INT TERM
pass() { passed=$((passed + 1)); echo "PASS $1: $2"; }
fail() { failed=$((failed + 1)); echo "FAIL $1: $2"; }
skip() {
    echo "SKIPPED: SPDK's iscsi_tgt was not tested: $1"
    [ -z "${UMPIO_SPDK_REQUIRED:-}" ]
    exit
}

[ -n "${SPDK_DIR:-}" ] || skip "SPDK_DIR names no SPDK"
tgt=$SPDK_DIR/build/bin/iscsi_tgt
[ -x "$tgt" ] || skip "there is no $tgt"
command -v python3 >/dev/null || skip "python3 is not installed"
[ -x "$UMPIO" ] || { echo "no $UMPIO: cargo build --release"; exit 2; }
mapfile -t ports < <(python3 -c '
import socket
held = [socket.socket() for _ in range(2)]
for s in held:
    s.bind(("127.0.0.1", 0))
for s in held:
    print(s.getsockname()[1])')

rpc() { python3 "$SPDK_DIR/scripts/rpc.py" -s "$work/sock" "$@" >"$work/rpc" 2>&1; }
need() { rpc "$@" || { fail "iscsi_tgt" "$1: $(tail -n 2 "$work/rpc")"; exit 1; }; }
# up [OPTION...]: starts it with those of iscsi_set_options; open to anybody
up() {
    rm -f "$work/sock"
    "$tgt" -m 0x1 --no-huge -s 1024 -u --disable-cpumask-locks --wait-for-rpc -r "$work/sock" \
        >"$work/spdk.log" 2>&1 &
    spdk=$!
    for _ in $(seq 600); do
        kill -0 "$spdk" 2>/dev/null || { spdk=''; skip "iscsi_tgt ended: $(tail -n 2 "$work/spdk.log")"; }
        [ ! -S "$work/sock" ] || break
        sleep 0.1
    done
    [ $# -eq 0 ] || need iscsi_set_options "$@"
    need framework_start_init
    need bdev_malloc_create -b d0 64 512
    need iscsi_create_portal_group 1 "127.0.0.1:${ports[0]} 127.0.0.1:${ports[1]}"
    need iscsi_create_initiator_group 2 ANY ANY
    need iscsi_create_target_node "$iqn" alias d0:0 1:2 64 -d
}
down() {
    kill -9 "$spdk" 2>/dev/null
    wait "$spdk" 2>/dev/null
    spdk=''
}
# paths QUERY [USER%SECRET@]
paths() {
    local port
    for port in "${ports[@]}"; do printf -- '--path iscsi://%s127.0.0.1:%s/%s/0%s ' "${2:-}" "$port" $iqn "$1"; done
}
# start BS SECONDS PATHS...; its report goes to $work/report
start() {
    local bs=$1 seconds=$2
    shift 2
    timeout -s KILL $((seconds + 120)) "$UMPIO" bench "$@" --policy round_robin_with_subset --rw randrw --bs "$bs" \
        --iodepth 8 --runtime "$seconds" --verify --destroy --json </dev/null >"$work/report" 2>"$work/progress" &
    bench=$!
}
# judge LABEL CONDITION [STATUS]
judge() {
    local status=0 said
    wait "$bench" || status=$?
    bench=''
    if said=$(python3 tests/lab/figures.py "$work/report" "$2" 2>&1) && [ $status -eq "${3:-0}" ]; then
        pass "$1" "$said"
    else
        fail "$1" "exit status $status, $said $(tail -n 3 "$work/progress")"
    fi
}
clean='errors == 0 and miscompares == 0 and len(ios) == 2 and all(n > 0 for n in ios)'
# refused LABEL WORDS PATHS...
refused() {
    local label=$1 words=$2 said
    shift 2
    if said=$(timeout -s KILL 60 "$UMPIO" bench "$@" --runtime 1 --json 2>&1 </dev/null); then
        fail "$label" "it was let in"
    elif grep -qiE "$words" <<<"$said"; then
        pass "$label" "$(grep -iE "$words" <<<"$said" | head -n 1)"
    else
        fail "$label" "the message does not say why: $said"
    fi
}

echo "== verified I/O over two portals"
up
both='header_digest=crc32c&data_digest=crc32c'
for query in '' "?$both"; do
    for bs in 512 4k 64k 1m; do
        # shellcheck disable=SC2046
        start $bs 1 $(paths "$query")
        judge "randrw $bs ${query:-digests off}" "$clean"
    done
done
for query in '?header_digest=crc32c' '?data_digest=crc32c'; do
    # shellcheck disable=SC2046
    start 512,4k,64k 1 $(paths "$query")
    judge "randrw $query" "$clean"
done

echo "== who asks for data, and when"
for query in '?initial_r2t=1&immediate_data=0' '?initial_r2t=1&immediate_data=0&first_burst=512&max_burst=4096' \
    '?initial_r2t=0&immediate_data=1' '?initial_r2t=1&immediate_data=1' "?initial_r2t=1&immediate_data=0&$both"; do
    # shellcheck disable=SC2046
    start 512,4k,64k 1 $(paths "$query")
    judge "randrw $query" "$clean"
done

echo "== a session of two connections"
# It offers two and keeps no order between them: it closes one whose command comes before its turn, over and
# over (docs/mcs.md). Nothing may come of that.
start 4k,64k 1 --path "iscsi://127.0.0.1:${ports[0]}/$iqn/0?conn=127.0.0.1:${ports[1]}"
judge "randrw over both, lost all the time" 'errors == 0 and miscompares == 0 and len(ios) == 1 and ios[0] > 0'

echo "== CHAP"
need iscsi_create_auth_group 1 -c "user:me secret:rightsecret123 muser:them msecret:othersecret456"
need iscsi_target_node_set_auth "$iqn" -g 1 -r
# shellcheck disable=SC2046
start 4k 1 $(paths '' 'me%rightsecret123@')
judge "the right secret" "$clean"
# shellcheck disable=SC2046
refused "a wrong secret is refused" 'authentication failed' $(paths '' 'me%wrongsecret123@')
# shellcheck disable=SC2046
refused "no secret is refused" 'wants CHAP' $(paths '')
need iscsi_target_node_set_auth "$iqn" -g 1 -r -m
# shellcheck disable=SC2046
start 4k 1 $(paths '?target_user=them&target_password=othersecret456' 'me%rightsecret123@')
judge "mutual, right" "$clean"
# shellcheck disable=SC2046
refused "mutual, the target does not know its secret" 'authentication failed' \
    $(paths '?target_user=them&target_password=notoursecret1' 'me%rightsecret123@')
need iscsi_target_node_set_auth "$iqn" -d

echo "== discovery"
if said=$(timeout -s KILL 60 "$UMPIO" discover "iscsi://127.0.0.1:${ports[0]}" 2>&1) &&
    grep -q "LUN 0  64M  512 B blocks" <<<"$said" && grep -q "${ports[1]}  group 1" <<<"$said"; then
    pass "discover" "$(tail -n 1 <<<"$said")"
else
    fail "discover" "$said"
fi
down

echo "== the target's own settings: no immediate data, small bursts"
up --first-burst-length 8192 -i
# shellcheck disable=SC2046
start 512,4k,64k,1m 1 $(paths '')
judge "randrw, as the target wants it" "$clean"
down
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
