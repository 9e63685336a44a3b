# Checks of the network driver domain `net`. Guests are numbered; guest N has the address 10.0.2.N0 and a MAC that ends in N0.

start_both() {
    start_block
    xl create /etc/xen/outrigger/net.cfg
    wait_for 20 said net ready
}

# vif N BRIDGE: an xl network specification, served by the driver domain `net`, or in the stand-in by Linux in Dom0.
vif() {
    if [ "$BACKEND" = linux ]; then
        echo "script=vif-direct,bridge=$2,mac=00:16:3e:00:00:${1}0"
    elif [ "$BACKEND" = linux-domain ]; then
        echo "backend=net,script=vif-direct,bridge=$2,mac=00:16:3e:00:00:${1}0"
    else
        echo "backend=net,bridge=$2,mac=00:16:3e:00:00:${1}0"
    fi
}

# card MAC: the network interface with this address.
card() {
    for card in /sys/class/net/*; do
        if [ "$(cat "$card/address")" = "$1" ]; then
            echo "${card##*/}"
            return
        fi
    done
    return 1
}

# peer_up: Dom0 on the wire, as 10.0.2.4, with iperf3 to measure against (machines whose wire is `Wire::Dom0`).
peer_up() {
    peer=$(card 52:54:00:00:00:01)
    quiet "$peer"
    ip addr add 10.0.2.4/24 dev "$peer"
    ip link set "$peer" up
    iperf3 --server --daemon
}

# bridge_up: what the stand-in has instead of a driver domain, a bridge xenbr0 with the machine's card. Only the peer's card
# answers for Dom0.
bridge_up() {
    brctl addbr xenbr0
    wire=$(card 52:54:00:00:00:02)
    for link in xenbr0 "$wire"; do
        quiet "$link"
        echo 1 >"/proc/sys/net/ipv4/conf/$link/arp_ignore"
        [ "$link" = xenbr0 ] || brctl addif xenbr0 "$link"
        ip link set "$link" up
    done
}

# quiet INTERFACE: nothing is sent on it that nobody asked for.
quiet() {
    echo 1 >"/proc/sys/net/ipv6/conf/$1/disable_ipv6"
}

# Each guest pings the wire and the other, and fetches a file of known content from it. Where there is the newest kernel, the
# second one runs that.
exchange() {
    GUEST_VIF=$(vif 2 xenbr0) guest net2 peer2 "$SMALL"
    newest
    GUEST_VIF=$(vif 3 xenbr0) guest net3 peer3 "$NEWER"
    finish net2 120
    finish net3 120
    is_newest net3
}

# On another segment there is neither the wire nor the guest on it, though both run.
private() {
    GUEST_VIF=$(vif 2 xenbr0) guest net2 stay "$SMALL"
    wait_for 60 told net2 "here"
    GUEST_VIF=$(vif 4 private) guest net4 alone "$SMALL"
    finish net4 90
    xl destroy net2
}

both_classes() {
    GUEST_VIF=$(vif 5 xenbr0) guest net5 both "$SMALL" "$(disk virtio0:1 xvda w)"
    finish net5 90
}

shut_down_net() {
    xl shutdown net
    wait_for 30 gone net
}
