# Checks of restarts in place. The images of these scenarios fail when `crash=COUNT` says so, so many times in all, each time
# soon after a device has interrupted.

# failing COUNT NAME: the driver domain will fail so often.
failing() {
    config=/etc/xen/outrigger/$2.cfg
    grep -q ^cmdline "$config" || echo 'cmdline = ""' >>"$config"
    sed -i "s/^cmdline = \"\(.*\)\"/cmdline = \"\1 crash=$1\"/" "$config"
}

# start_failing COUNT: the driver domain `block`.
start_failing() {
    failing "$1" block
    start_block
}

# Both driver domains, and the one of the network fails.
start_failing_net() {
    failing "$1" net
    start_both
}

# Two guests fetch a file from each other, over and over, and compare it, while the network domain fails COUNT times.
fetch_through() {
    GUEST_VIF=$(vif 2 xenbr0) guest net2 storm2 "$SMALL"
    GUEST_VIF=$(vif 3 xenbr0) guest net3 storm3 "$SMALL"
    finish net2 600
    finish net3 600
    restarts=$(xenstore-read "/local/domain/$(xl domid net)/data/restart/count")
    say value net-restarts "$restarts"
    [ "$restarts" -ge "$1" ]
}

lives() {
    xenstore-read "/local/domain/$(xl domid block)/data/restart/count" 2>/dev/null || echo 0
}

has_lived() {
    [ "$(lives)" -ge "$1" ]
}

# The same domain goes on, and says so; a guest that uses its disk meanwhile notices nothing.
reboot_in_place() {
    before=$(xl domid block)
    xl reboot block
    # It may fail on purpose before it has obeyed, which is a restart, too.
    wait_for 20 said block "asked to shut down (Reboot)"
    wait_for 20 has_lived 1
    [ "$(xl domid block)" = "$before" ]
}

# verify_through COUNT [JOB SECONDS]: every block with a checksum, while the driver domain fails COUNT times.
verify_through() {
    guest verifier "${2:-verify}" "$LARGE" "$(disk virtio1 xvda w)"
    finish verifier "${3:-600}"
    say value restarts "$(lives)"
    has_lived "$1"
    for kind in "crash point" "data abort" "instruction abort" "stuck for" "stack overflow" "allocation"; do
        said block "$kind"
    done
}

# No device, no node, and the same domain.
nothing_left() {
    wait_for 20 no_devices
}

no_devices() {
    ! xenstore-ls "/local/domain/$(xl domid block)/backend/vbd" | grep -q state
}
