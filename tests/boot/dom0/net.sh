# Checks of the network driver domain `net`. Guests are numbered; guest N has the address 10.0.2.N0 and a MAC that ends in N0.

start_both() {
    start_block
    xl create /etc/xen/outrigger/net.cfg
    wait_for 20 said net ready
}

# vif N BRIDGE: an xl network specification.
vif() {
    echo "backend=net,bridge=$2,mac=00:16:3e:00:00:${1}0"
}

# Each guest pings the wire and the other, and fetches a file of known content from it.
exchange() {
    GUEST_VIF=$(vif 2 xenbr0) guest net2 peer2 "$SMALL"
    GUEST_VIF=$(vif 3 xenbr0) guest net3 peer3 "$SMALL"
    finish net2 120
    finish net3 120
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
