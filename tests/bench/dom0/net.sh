# Stock guests measure their network, whoever serves it, and every domain's processor time is read meanwhile.
. /measuring.sh

prepare() {
    peer_up
    # One server does one test at a time.
    for number in $(seq 16); do
        iperf3 --server --daemon --port "520$number"
    done
    if [ "$BACKEND" = linux ]; then
        bridge_up
    fi
    serve net
}
# phase NAME GUESTS: so many guests do the jobs of a phase together.
phase() {
    names=
    for number in $(seq "$2"); do
        names="$names guest$number"
        digit=$(printf %x $((number % 16)))
        GUEST_VIF=$(vif "$digit" xenbr0) guest "guest$number" "$1" "$SMALL"
    done
    measured $names
}
measure() {
    . /phases # which, and of how many guests
}
check prepared prepare
check measured measure
