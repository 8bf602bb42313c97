#!/usr/bin/env bash
# umpio's iSCSI initiator against LIO, the Linux kernel's iSCSI target: verified random I/O over two
# portal groups, digests, CHAP right and wrong, R2T-heavy settings, ALUA changes under I/O, a group
# lost and back. The kernel runs in a machine of its own (tests/lab); about three minutes.
#
#   tests/lio.sh                the story; tests/lab/story.sh says what the environment changes
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
peer=LIO
iqn=iqn.2026-01.dev.umpio:lab
# shellcheck source=tests/lab/story.sh
. tests/lab/story.sh

needs_umpio
lab_build build.py
lab_start
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
    child=$!
}
# end_bench LABEL CONDITION [STATUS]
end_bench() {
    local status=0 said
    wait "$child" || status=$?
    child=''
    if said=$(python3 "$here"/figures.py "$run/report" "$2" 2>&1) && [ $status -eq "${3:-0}" ]; then
        pass "$1" "$said"
    else
        fail "$1" "exit status $status, $said"
        tail -n 5 "$run/progress"
    fi
}
stop_bench() { # a bench whose story is told: it is interrupted, reports and exits with 130
    kill -TERM "$child"
    end_bench "$1" "$2" 130
}
clean='errors == 0 and miscompares == 0 and len(ios) == 2'

# Bytes that went to and fro over each group, by the guest's count of its sessions' counters.
moved() {
    guest "cat /sys/kernel/config/target/core/fileio_0/disk/statistics/scsi_lu/num_cmds" | tr -dc '0-9'
}
flowed() { # flowed BEFORE: more commands have reached the device since
    local now
    kill -0 "$child" 2>/dev/null || { echo "the bench ended before this was looked at"; return 1; }
    now=$(moved)
    echo "$((now - $1)) commands more at the device"
    [ "$now" -gt $(($1 + 20)) ]
}
flows() { awaits "$1" flowed "$(moved)"; } # flows LABEL: commands reach the device now, with the bench running
connected() {
    local count
    count=$(guest lio connections | awk -v g="$1" '$2 == g {print $3}')
    echo "${count:-0} connections"
    [ "${count:-0}" -ge 1 ]
}
joined() { awaits "group $1 has a session again" connected "$1"; } # joined GROUP

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
start_bench 512,4k,64k 600 --path "$three"
three_there() { [ "$(guest lio connections | awk '$2 == 1 {print $3}')" -eq 3 ] && echo "as the kernel counts them"; }
awaits "three connections" three_there
kill -TERM "$child"
end_bench "randrw over three connections" 'errors == 0 and miscompares == 0 and len(ios) == 1' 130

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
