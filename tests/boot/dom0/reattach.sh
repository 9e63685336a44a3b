# Checks of `outrigger reattach`.

# replace NAME: the driver domain is destroyed, and created anew.
replace() {
    xl destroy "$1"
    rm -f "$(log_of "$1")"
    xl create "/etc/xen/outrigger/$1.cfg"
    wait_for 20 said "$1" ready
}

network() {
    GUEST_VIF=$(vif 2 xenbr0) guest net2 plugs "$SMALL" "$(disk virtio0:2 xvda r)"
    wait_for 60 told net2 "reached 1"
    replace net
    outrigger reattach --dry-run net
    outrigger reattach net
    wait_for 60 told net2 "reached 2"
}

disks() {
    wait_for 60 told net2 "read 1"
    replace block
    outrigger reattach block
    wait_for 60 told net2 "read 2"
}

again() {
    [ -z "$(outrigger reattach block)" ]
    [ -z "$(outrigger reattach net)" ]
    fails "no domain of this name" outrigger reattach nobody
}
