# A driver domain dies altogether, and a new one takes its place.
check "both driver domains ready" start_both
check "network cards are plugged in again" network
check "disks are plugged in again" disks
check "what is served is left alone" again

# kill NAME: the driver domain is destroyed, and created anew.
kill() {
    xl destroy "$1"
    rm -f "$(log_of "$1")"
    xl create "/etc/xen/outrigger/$1.cfg"
    wait_for 20 said "$1" ready
}

network() {
    GUEST_VIF=$(vif 2 xenbr0) guest net2 plugs "$SMALL" "$(disk virtio0:1 xvda w)" "$(disk virtio0:2 xvdb r)"
    wait_for 60 told net2 "reached 1"
    kill net
    outrigger reattach --dry-run net
    outrigger reattach net
    wait_for 60 told net2 "reached 2"
}

disks() {
    wait_for 60 told net2 "read 1"
    kill block
    outrigger reattach block
    xenstore-ls /local/domain/$(xl domid net2)/device
    wait_for 60 told net2 "read 2"
}

again() {
    [ -z "$(outrigger reattach block)" ]
    [ -z "$(outrigger reattach net)" ]
    fails "no domain of this name" outrigger reattach nobody
}
