# Checks of `outrigger restart` and `outrigger update`. A guest writes and reads all the while, and none of it may fail.

# goes_on NAME: the guest has two more true rounds.
goes_on() {
    rounds=$(grep -c "@$TOKEN round" "$(log_of "$1")")
    wait_for 60 told "$1" "round $((rounds + 2))"
    ! told "$1" "job failed"
}

restart() {
    guest steady steady "$SMALL" "$(disk virtio0:3 xvda w)"
    wait_for 60 told steady "round 1"
    domid=$(xl domid block)
    outrigger restart block
    outrigger restart block | grep "restart 2 (asked to reboot)"
    [ "$domid" = "$(xl domid block)" ]
    goes_on steady
}

# The same image but for one word, by which it is known.
update() {
    sed 's/ready after/READY after/' /etc/xen/outrigger/block.img >/tmp/new.img
    outrigger update block /tmp/new.img
    wait_for 20 said block READY
    goes_on steady
}

refuse() {
    restarts=$(xenstore-read "/local/domain/$(xl domid block)/data/restart/count")
    fails "its class is net, this is block" outrigger update block /etc/xen/outrigger/net.img
    fails "no arm64 Image" outrigger update block /etc/xen/outrigger/block.cfg
    fails "no domain of this name" outrigger update nobody /tmp/new.img
    [ "$restarts" = "$(xenstore-read "/local/domain/$(xl domid block)/data/restart/count")" ]
    goes_on steady
}

# And back, which works as often as one likes.
update_again() {
    outrigger update block /etc/xen/outrigger/block.img
    outrigger update block /tmp/new.img
    goes_on steady
    xl destroy steady
}
