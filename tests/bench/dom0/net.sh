# Stock guests measure their network, whoever serves it, and every domain's processor time is read meanwhile.
# From here on nothing in Dom0 polls; measure.py shows the consoles.
kill $!
killall tail 2>/dev/null

version=/sys/hypervisor/version
say value xen "$(cat $version/major).$(cat $version/minor)$(cat $version/extra)"
say value linux "$(uname -r)"

prepare() {
    peer_up
    # One server does one test at a time.
    for number in 1 2 3 4 5 6 7 8; do
        iperf3 --server --daemon --port "520$number"
    done
    if [ "$BACKEND" = linux ]; then
        bridge_up
    else
        xl create /etc/xen/outrigger/net.cfg
        wait_for 20 said net ready
        say value memory "$(xl list net | awk 'NR == 2 { print $3 }')"
    fi
}
# phase NAME GUESTS: so many guests do the jobs of a phase together.
phase() {
    names=
    for number in $(seq "$2"); do
        names="$names guest$number"
        GUEST_VIF=$(vif "$number" xenbr0) guest "guest$number" "$1" "$SMALL"
    done
    python3.13 -IS /measure.py "$TOKEN" $names
    for name in $names; do
        xl destroy "$name"
    done
}
measure() {
    . /phases # which, and of how many guests
}
check prepared prepare
check measured measure
