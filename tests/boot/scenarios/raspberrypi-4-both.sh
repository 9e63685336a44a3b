# Both driver domains on the Raspberry Pi 4, whose card the image builder has written. The network domain has no card: no
# emulator has the board's. The emulated board is slow, and has little room.
start_here() {
    start_block
    said block "SD card of 1024 MiB"
    xl create /etc/xen/outrigger/net.cfg
    wait_for 60 said net "0 cards, ready"
}

data_partition() {
    guest system ext4 "$SMALL" "$(disk mmc0:2 xvda w)"
    finish system 200
}

two_guests() {
    GUEST_VIF=$(vif 2 xenbr0) guest net2 pair2 "$SMALL"
    GUEST_VIF=$(vif 3 xenbr0) guest net3 pair3 "$SMALL"
    finish net2 300
    finish net3 300
}

# On another segment there is nobody, though a guest on the first one runs.
apart() {
    GUEST_VIF=$(vif 2 xenbr0) guest net2 sit "$SMALL"
    wait_for 120 told net2 "here"
    GUEST_VIF=$(vif 4 private) guest net4 alone "$SMALL"
    finish net4 200
}

# The guest of the check before is there to be met.
one_guest_both() {
    GUEST_VIF=$(vif 5 xenbr0) guest net5 meets "$SMALL" "$(disk mmc0:2 xvda w)"
    finish net5 200
    xl destroy net2
}

check "both driver domains ready" start_here
check "ext4 on the card's data partition" data_partition
check "guest to guest, and a file each way" two_guests
check "a segment is private" apart
check "disk and network in one guest" one_guest_both
check "xl shutdown of the network domain" shut_down_net
check "xl shutdown of the driver domain" shut_down
