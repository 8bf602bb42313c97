#!/usr/bin/env bash
# umpio's iSCSI initiator against LIO, the Linux kernel's iSCSI target: verified random I/O over two
# portal groups, digests, CHAP right and wrong, R2T-heavy settings, ALUA changes under I/O, a group
# lost and back. The kernel runs in a machine of its own (tests/lab); about three minutes.
#
#   tests/lio.sh                the story; $UMPIO is the binary (target/release/umpio)
#
# $UMPIO_LAB keeps the built lab; $UMPIO_LAB_REQUIRED=1 makes a skip a failure.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
here=tests/lab
UMPIO=${UMPIO:-target/release/umpio}
export UMPIO_LAB=${UMPIO_LAB:-target/lab}
export PYTHONDONTWRITEBYTECODE=1
passed=0 failed=0 run='' bench=''
iqn=iqn.2026-01.dev.umpio:lab

finish() {
    [ -z "$bench" ] || kill "$bench" 2>/dev/null
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
        fail "LIO" "cannot be skipped here, but: $1"
        close
    fi
    echo "SKIPPED: LIO was not tested: $1"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
}
guest() { python3 "$here"/vm.py tell "$run" "$*"; }
change() { guest "$2" || fail "$1" "the lab could not do it"; } # change WHAT COMMANDS

[ -x "$UMPIO" ] || { echo "no $UMPIO: cargo build --release"; exit 2; }
command -v python3 >/dev/null || skip "python3 is not installed"
python3 "$here"/build.py
case $? in
0) ;;
75) skip "this host cannot build the lab (see above)" ;;
*) fail "the lab's build" "see above"; close ;;
esac
run=$(mktemp -d)
ports=$(python3 "$here"/vm.py start "$run") || { fail "the lab's machine" "did not start"; close; }
read -r _ _ p1 p2 <<<"$ports"
pass "boot" "LIO on 127.0.0.1 ports $p1 and $p2"

# paths QUERY [USER%SECRET@]: the two --path arguments
paths() {
    printf -- '--path iscsi://%s127.0.0.1:%s/%s/0%s ' "${2:-}" "$p1" $iqn "$1" "${2:-}" "$p2" $iqn "$1"
}
# start_bench BS SECONDS PATHS...: in the background; its report goes to $run/report
start_bench() {
    local bs=$1 seconds=$2
    shift 2
    timeout -k 90 $((seconds + 120)) "$UMPIO" bench "$@" --policy round_robin_with_subset \
        --rw randrw --bs "$bs" --iodepth 8 --runtime "$seconds" --verify --destroy --json \
        </dev/null >"$run/report" 2>"$run/progress" &
    bench=$!
}
# end_bench LABEL CONDITION [STATUS]
end_bench() {
    local status=0 said
    wait "$bench" || status=$?
    bench=''
    if said=$(python3 "$here"/figures.py "$run/report" "$2" 2>&1) && [ $status -eq "${3:-0}" ]; then
        pass "$1" "$said"
    else
        fail "$1" "exit status $status, $said"
        tail -n 5 "$run/progress"
    fi
}
stop_bench() { # a bench whose story is told: it is interrupted, reports and exits with 130
    kill -TERM "$bench"
    end_bench "$1" "$2" 130
}
clean='errors == 0 and miscompares == 0 and len(ios) == 2'

# Bytes that went to and fro over each group, by the guest's count of its sessions' counters.
moved() {
    guest "cat /sys/kernel/config/target/core/fileio_0/disk/statistics/scsi_lu/num_cmds" | tr -dc '0-9'
}
flows() { # flows LABEL: commands reach the device now, with the bench running
    local before now=0 until=$((SECONDS + 20))
    before=$(moved)
    while [ "$SECONDS" -lt "$until" ]; do
        sleep 0.3
        now=$(moved)
        kill -0 "$bench" 2>/dev/null || { fail "$1" "the bench ended before this was looked at"; return; }
        if [ "$now" -gt $((before + 20)) ]; then
            pass "$1" "$((now - before)) commands more at the device"
            return
        fi
    done
    fail "$1" "no I/O in 20 s"
}
joined() { # joined GROUP: waits until a connection to that group is established
    local until=$((SECONDS + 30)) count=0
    while [ "$SECONDS" -lt "$until" ]; do
        count=$(guest lio connections | awk -v g="$1" '$2 == g {print $3}')
        if [ "${count:-0}" -ge 1 ]; then
            pass "group $1 has a session again" "$count connections"
            return
        fi
        sleep 0.3
    done
    fail "group $1 has a session again" "none after 30 s"
}

echo "== verified I/O over both groups"
digests='?header_digest=crc32c&data_digest=crc32c'
for query in '' "$digests"; do
    for bs in 512 4k 64k 1m; do
        # shellcheck disable=SC2046
        start_bench $bs 3 $(paths "$query")
        end_bench "randrw $bs ${query:-digests off}" "$clean and all(n > 0 for n in ios)"
    done
done

echo "== a session of three connections"
three="iscsi://127.0.0.1:$p1/$iqn/0?conn=127.0.0.1:$p1&conn=127.0.0.1:$p1"
start_bench 512,4k,64k 5 --path "$three"
sleep 2
count=$(guest lio connections | awk '$2 == 1 {print $3}')
if [ "${count:-0}" -eq 3 ]; then pass "three connections" "as the kernel counts them"; else fail "three connections" "${count:-0}"; fi
end_bench "randrw over three connections" 'errors == 0 and miscompares == 0 and len(ios) == 1'

echo "== settings that need R2T, and ones that need none"
settings() { change "settings" "$(for g in 1 2; do for kv in "$@"; do printf 'lio set %s %s %s; ' $g "${kv%=*}" "${kv#*=}"; done; done)"; }
settings InitialR2T=Yes ImmediateData=No MaxBurstLength=8192 FirstBurstLength=4096 MaxOutstandingR2T=1
# shellcheck disable=SC2046
start_bench 512,4k,64k 3 $(paths '')
end_bench "R2T for everything, bursts of 8 KiB" "$clean and all(n > 0 for n in ios)"
settings MaxBurstLength=262144 FirstBurstLength=65536 InitialR2T=No ImmediateData=Yes
# shellcheck disable=SC2046
start_bench 512,4k,64k 3 $(paths '')
end_bench "immediate and unsolicited data" "$clean and all(n > 0 for n in ios)"

echo "== CHAP"
change "CHAP" "lio chap 1 on; lio chap 2 on"
secret='lab%labsecret1234567@'
# shellcheck disable=SC2046
start_bench 4k 2 $(paths '' "$secret")
end_bench "the right secret" "$clean and all(n > 0 for n in ios)"
# (Without a secret LIO closes the connection and sends no status.)
for who in 'lab%anothersecret123@' ''; do
    label="a wrong secret" why=authentication
    [ -n "$who" ] || label="no secret" why='authentication|closed by the target'
    # shellcheck disable=SC2046
    if said=$(timeout 60 "$UMPIO" bench $(paths '' "$who") --runtime 1 --json 2>&1 </dev/null); then
        fail "$label is refused" "it was let in"
    elif grep -qiE "$why" <<<"$said"; then
        pass "$label is refused" "$(grep -iE 'authentication|closed by' <<<"$said" | head -n 1)"
    else
        fail "$label is refused" "the message does not say why: $said"
    fi
done
change "CHAP" "lio chap 1 off; lio chap 2 off"

echo "== ALUA states that stand"
stand() { # stand STATE1 STATE2 CONDITION
    change "$1 | $2" "lio alua 1 $1; lio alua 2 $2"
    # shellcheck disable=SC2046
    start_bench 4k 3 $(paths '')
    end_bench "$1 | $2" "$clean and $3"
}
first='ios[0] > 0 and ios[1] * 100 <= ios[0]' second='ios[1] > 0 and ios[0] * 100 <= ios[1]'
stand optimized non-optimized "$first and access == ['optimized', 'nonoptimized']"
stand standby optimized "$second and access == ['standby', 'optimized']"
stand non-optimized unavailable "$first and access[0] == 'nonoptimized'"

echo "== ALUA changes during a run"
change "states" "lio alua 1 optimized; lio alua 2 non-optimized"
# shellcheck disable=SC2046
start_bench 4k 600 $(paths '')
flows "begun on group 1"
change "turn" "lio alua 1 non-optimized; lio alua 2 optimized"
flows "group 1 non-optimized, group 2 optimized"
change "turn" "lio alua 1 standby"
flows "group 1 standby"
change "turn" "lio alua 1 optimized; lio alua 2 unavailable"
flows "group 1 optimized again, group 2 unavailable"
change "turn" "lio alua 2 non-optimized"
flows "group 2 non-optimized"
stop_bench "ALUA changes" "$clean and all(n > 0 for n in ios)"

echo "== a group lost and back during a run"
change "states" "lio alua 1 optimized; lio alua 2 optimized"
# shellcheck disable=SC2046
start_bench 4k 600 $(paths '')
flows "begun on both groups"
change "loss" "lio group 2 off"
flows "group 2 lost"
change "return" "lio group 2 on"
joined 2
change "loss" "lio group 1 off"
flows "group 1 lost, the returned one carries on"
change "return" "lio group 1 on"
joined 1
flows "both back"
stop_bench "groups lost and back" "$clean and all(n > 0 for n in ios)"
close
