#!/usr/bin/env bash
# umpio against the Linux kernel's NVMe/TCP target: verified random I/O over two ports, ANA
# changes, a port lost and back. The kernel runs in a machine of its own (tests/lab), which
# needs no root, only Debian's apt; about four minutes.
#
#   tests/nvmet.sh              the story; $UMPIO is the binary (target/release/umpio)
#   tests/nvmet.sh --selftest   the lab itself, asked by a client that is not umpio
#
# $UMPIO_BENCH_ARGS goes to every bench; tests/lab/story.sh says what else the environment changes.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
peer="the kernel's nvmet"
# shellcheck source=tests/lab/story.sh
. tests/lab/story.sh

lab() { python3 "$here"/vm.py tell "$run" "lab $*"; }

# ---- the lab -------------------------------------------------------------------------------
[ "${1:-}" = --selftest ] || needs_umpio
began=$SECONDS
lab_build build.py
echo "lab in $UMPIO_LAB ($((SECONDS - began)) s)"
began=$SECONDS
lab_start
read -r p1 p2 _ <<<"$ports"
pass "boot" "nvmet on 127.0.0.1 ports $p1 and $p2 after $((SECONDS - began)) s: \
$(tr -d '\r' <"$run/console.log" | grep LAB-READY)"

# ---- selftest ------------------------------------------------------------------------------
# states WANT1 WANT2: configfs and the ANA logs, read by the client, agree
states() {
    local shown
    shown=$(lab show | awk '{print $4}' | xargs) &&
        python3 - "$1" "$2" "$shown" "$p1" "$p2" <<'PY'
import sys
sys.path.insert(0, "tests/lab")
import client
want, shown, ports = sys.argv[1:3], sys.argv[3].split(), sys.argv[4:6]
asked = [client.ask(int(p))["ana"][1] for p in ports]
print("configfs", *shown, "ANA logs", *asked)
sys.exit(want != shown or want != asked)
PY
}
# shape INLINE: what the namespace is, the same through both ports
shape() {
    python3 - "$1" "$p1" "$p2" <<'PY'
import sys
sys.path.insert(0, "tests/lab")
import client
one, two = (client.ask(int(p)) for p in sys.argv[2:4])
print(one)
sys.exit(not (one["identity"] == two["identity"] == {
    "uuid": "6c61622d000040008000000000000001", "nguid": "6c6162000000000000000000000000a1"}
    and one["blocks"] * one["block_size"] == 64 << 20 and one["controller"] >= 1
    and one["inline"] == two["inline"] == int(sys.argv[1])))
PY
}
exchange() {
    python3 - "$1" "$p1" "$p2" <<'PY'
import sys
sys.path.insert(0, "tests/lab")
import client
client.exchange(int(sys.argv[2]), int(sys.argv[3]), sys.argv[1] == "on")
print("written through one port, read through the other")
PY
}
refuses() {
    if python3 "$here"/client.py "$1" >/dev/null 2>&1; then echo "it answers"; false; else echo "no answer"; fi
}
set_inline() {
    guest "lab port 1 off; lab port 2 off; lab inline 1 $1; lab inline 2 $1; lab port 1 on; lab port 2 on"
}

if [ "${1:-}" = --selftest ]; then
    judge "identity and size" shape 16384
    judge "data, digests off" exchange off
    judge "data, digests on" exchange on
    judge "both optimized" states optimized optimized
    for state in non-optimized inaccessible persistent-loss change optimized; do
        lab ana 2 $state
        judge "port 2 $state" states optimized $state
    done
    lab port 2 off
    judge "port 2 off" refuses "$p2"
    judge "port 1 still there" python3 "$here"/client.py "$p1"
    lab port 2 on
    judge "port 2 back" states optimized optimized
    set_inline 1024
    judge "in-capsule size 1024" shape 1024
    judge "data past that size" exchange on
    judge "bytes counted" lab io
    guest false
    judge "a failing command is told" test $? -eq 1
    close
fi

# ---- the story -----------------------------------------------------------------------------
# paths DIGESTS: the two --path arguments
paths() {
    local tail="nqn.2026-01.dev.umpio:lab?nsid=1"
    [ "$1" = off ] || tail="$tail&hdgst=1&ddgst=1"
    echo "--path nvme-tcp://127.0.0.1:$p1/$tail --path nvme-tcp://127.0.0.1:$p2/$tail"
}
# start_bench DIGESTS BS SECONDS: in the background; its report goes to $run/report
start_bench() {
    # shellcheck disable=SC2046,SC2086
    timeout -k 90 $(($3 + 120)) "$UMPIO" bench $(paths "$1") --policy round_robin_with_subset \
        --rw randrw --bs "$2" --iodepth 8 --runtime "$3" --verify --destroy --json \
        ${UMPIO_BENCH_ARGS:-} </dev/null >"$run/report" 2>"$run/progress" &
    child=$!
}
# end_bench LABEL CONDITION [STATUS]: waits for it; that exit status and a report that meets the
# condition
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
# stop_bench LABEL CONDITION: the same for a bench whose story is told, however long that took: it
# is interrupted, reports, and exits with 130
stop_bench() {
    kill -TERM "$child"
    end_bench "$1" "$2" 130
}
clean='errors == 0 and miscompares == 0 and len(ios) == 2'

# moved_bytes: what the namespace's device has read and written so far, by the guest's count
moved_bytes() { lab io | awk '{printf "%.0f\n", $1 + $2}'; }
# flows LABEL: I/O reaches the device now, with the bench running (looked at for up to 20 s)
flows() {
    local before now=0 until=$((SECONDS + 20))
    before=$(moved_bytes)
    while [ "$SECONDS" -lt "$until" ]; do
        sleep 0.3
        now=$(moved_bytes)
        if ! kill -0 "$child" 2>/dev/null; then
            fail "$1" "the bench ended before this was looked at"
            return
        fi
        if [ "$now" -gt $((before + 65536)) ]; then
            pass "$1" "$((now - before)) bytes more at the device"
            return
        fi
    done
    fail "$1" "no I/O in 20 s"
}
# joined PORT: waits until connections to a port are established, by the guest's count
joined() {
    local until=$((SECONDS + 20)) count began=$SECONDS
    while [ "$SECONDS" -lt "$until" ]; do
        count=$(lab connections | awk -v p="$1" '$2 == p {print $3}')
        if [ "${count:-0}" -ge 2 ]; then
            echo "$count connections $((SECONDS - began)) s later"
            return 0
        fi
        sleep 0.3
    done
    echo "${count:-0} connections after 20 s"
    return 1
}
# reached BEFORE: what the report claims, the device has moved since
reached() {
    local moved=$(($(moved_bytes) - $1)) claimed
    claimed=$(python3 -c 'import json, sys
print(sum(path["bytes"] for path in json.load(open(sys.argv[1]))["paths"]))' "$run/report") || return
    echo "$claimed bytes reported, $moved at the device"
    [ "$claimed" -gt 0 ] && [ "$moved" -ge "$claimed" ]
}
change() { # change WHAT COMMANDS: done in the guest, all at once
    if ! guest "$2"; then fail "$1" "the lab could not do it"; fi
}

echo "== verified I/O over both ports"
for digests in off on; do
    for bs in 512 4k 64k 1m; do
        before=$(moved_bytes)
        start_bench $digests $bs 3
        end_bench "randrw $bs, digests $digests" "$clean and all(n > 0 for n in ios)"
        judge "reached the kernel's device" reached "$before"
    done
done
set_inline 1024
start_bench on 4k 3
end_bench "randrw 4k, in-capsule size 1024" "$clean and all(n > 0 for n in ios)"
set_inline 16384

echo "== ANA states that stand"
# stand STATE1 STATE2 CONDITION: a run under these states of the two ports
stand() {
    change "$1 | $2" "lab ana 1 $1; lab ana 2 $2"
    start_bench off 4k 3
    end_bench "$1 | $2" "$clean and $3"
}
# The idle path gets next to nothing: 1 % for what is read while it is being opened. How
# umpio names ANA's inaccessible state is its own affair.
first='ios[0] > 0 and ios[1] * 100 <= ios[0]' second='ios[1] > 0 and ios[0] * 100 <= ios[1]'
usable="('optimized', 'nonoptimized')"
stand optimized non-optimized "$first and access == ['optimized', 'nonoptimized']"
stand inaccessible optimized "$second and access[0] not in $usable and access[1] == 'optimized'"
stand non-optimized inaccessible "$first and access[0] == 'nonoptimized' and access[1] not in $usable"

for digests in off on; do
    echo "== ANA changes during a run, digests $digests"
    change "states" "lab ana 1 optimized; lab ana 2 non-optimized"
    start_bench $digests 4k 600
    flows "begun on port 1"
    change "turn" "lab ana 1 non-optimized; lab ana 2 optimized"
    flows "port 1 non-optimized, port 2 optimized"
    change "turn" "lab ana 1 inaccessible"
    flows "port 1 inaccessible"
    change "turn" "lab ana 1 optimized; lab ana 2 inaccessible"
    flows "port 1 optimized again, port 2 inaccessible"
    change "turn" "lab ana 2 non-optimized"
    flows "port 2 non-optimized"
    stop_bench "ANA changes" "$clean and all(n > 0 for n in ios) \
and access == ['optimized', 'nonoptimized']"

    echo "== a port lost and back during a run, digests $digests"
    change "states" "lab ana 1 optimized; lab ana 2 optimized"
    start_bench $digests 4k 600
    flows "begun on both ports"
    change "loss" "lab port 2 off"
    flows "port 2 lost"
    change "return" "lab port 2 on"
    judge "port 2 back" joined 2
    # Now only the returned port is left: what flows, flows over it.
    change "loss" "lab port 1 off"
    flows "port 1 lost, the returned one carries on"
    change "return" "lab port 1 on"
    judge "port 1 back" joined 1
    flows "both back"
    stop_bench "ports lost and back" "$clean and all(n > 0 for n in ios) \
and access == ['optimized', 'optimized']"
done
close
