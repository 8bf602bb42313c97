# Shared by the stories that play in the lab's machine (nvmet.sh, lio.sh, open_iscsi.sh): sourced, from the
# top of the tree, with $peer set to what is tested against. It counts, skips, starts the machine and
# takes it away again.
#
# $UMPIO is the binary, $UMPIO_LAB keeps the built lab, $UMPIO_LAB_REQUIRED=1 makes a skip a failure.
# $UMPIO_LAB_WAIT_S (300) is how long anything may take to come about: an emulated machine on a busy
# host is slow, and no story is about speed.
here=tests/lab
UMPIO=${UMPIO:-target/release/umpio}
export UMPIO_LAB=${UMPIO_LAB:-target/lab}
export PYTHONDONTWRITEBYTECODE=1
wait_s=${UMPIO_LAB_WAIT_S:-300}
passed=0 failed=0 run='' child=''

finish() {
    [ -z "$child" ] || kill "$child" 2>/dev/null
    if [ -n "$run" ]; then
        python3 "$here"/vm.py stop "$run"
        if [ "$failed" -gt 0 ]; then echo "kept for a look: $run"; else rm -rf "$run"; fi
    fi
}
trap finish EXIT
trap 'exit 130' INT TERM

pass() { passed=$((passed + 1)); echo "PASS $1: $2"; }
fail() { failed=$((failed + 1)); echo "FAIL $1: $2"; }
# judge LABEL COMMAND...: passes when the command does; what it prints last are the figures
judge() {
    local label=$1 said
    shift
    if said=$("$@" 2>&1); then pass "$label" "$(tail -n 3 <<<"$said" | tr '\n' ' ')"; else fail "$label" "$said"; fi
}
close() {
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
    exit
}
skip() {
    if [ -n "${UMPIO_LAB_REQUIRED:-}" ]; then
        fail "$peer" "cannot be skipped here, but: $1"
        close
    fi
    echo "SKIPPED: $peer was not tested: $1"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
}
guest() { python3 "$here"/vm.py tell "$run" "$*"; }
change() { guest "$2" || fail "$1" "the lab could not do it"; } # change WHAT COMMANDS

# awaits LABEL COMMAND...: passes as soon as the command does; what it prints are the figures
awaits() {
    local label=$1 until=$((SECONDS + wait_s)) said=''
    shift
    while [ "$SECONDS" -lt "$until" ]; do
        if said=$("$@" 2>&1); then
            pass "$label" "$said"
            return
        fi
        sleep 0.3
    done
    fail "$label" "not within $wait_s s: $said"
    return 1
}

# lab_build SCRIPT...: makes the lab's parts
lab_build() {
    local script
    command -v python3 >/dev/null || skip "python3 is not installed"
    for script in "$@"; do
        python3 "$here/$script"
        case $? in
        0) ;;
        75) skip "this host cannot build the lab (see above)" ;;
        *) fail "the lab's build" "see above"; close ;;
        esac
    done
    run=$(mktemp -d)
}
# lab_start [initiator]: boots it; its ports go to $ports
lab_start() {
    ports=$(python3 "$here"/vm.py start "$run" "$@") || { fail "the lab's machine" "did not start"; close; }
}
needs_umpio() { [ -x "$UMPIO" ] || { echo "no $UMPIO: cargo build --release"; exit 2; }; }
