# Checks of restarts in place. The images of these scenarios fail when `crash=COUNT` says so, so many times in all, each time
# soon after a device has interrupted.

# failing WORDS NAME: the driver domain will fail so often, and how (kernel/core/src/crash.rs).
failing() {
    config=/etc/xen/outrigger/$2.cfg
    grep -q ^cmdline "$config" || echo 'cmdline = ""' >>"$config"
    sed -i "s/^cmdline = \"\(.*\)\"/cmdline = \"\1 crash=$1\"/; s/ crash=[^ ]* crash=/ crash=/" "$config"
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

# The network domain alone.
start_failing_net_alone() {
    failing "$1" net
    xl create /etc/xen/outrigger/net.cfg
    wait_for 20 said net ready
}

# fetch_through COUNT [JOB SECONDS]: two guests fetch a file from each other, over and over, and compare it, while the
# network domain fails COUNT times.
fetch_through() {
    GUEST_VIF=$(vif 2 xenbr0) guest net2 "${2:-storm}2" "$SMALL"
    GUEST_VIF=$(vif 3 xenbr0) guest net3 "${2:-storm}3" "$SMALL"
    finish net2 "${3:-600}"
    finish net3 "${3:-600}"
    say value net-restarts "$(lives net)"
    has_lived "$1" net
    in_every_way net
}

# lives [NAME]: how often it has begun again.
lives() {
    xenstore-read "/local/domain/$(xl domid "${1:-block}")/data/restart/count" 2>/dev/null || echo 0
}

has_lived() {
    [ "$(lives "$2")" -ge "$1" ]
}

# in_every_way NAME: it has failed in every way that there is.
in_every_way() {
    for kind in "crash point" "data abort" "instruction abort" "stuck for" "stack overflow" "allocation"; do
        said "$1" "$kind"
    done
}

# The same domain goes on, and says so; a guest that uses its disk meanwhile notices nothing.
reboot_in_place() {
    before=$(xl domid block)
    xl reboot block
    # It may fail on purpose before it has obeyed, which is a restart, too.
    wait_for 20 said block "asked to shut down (Reboot)"
    wait_for 20 has_lived 1 block
    [ "$(xl domid block)" = "$before" ]
}

# verify_through COUNT [JOB SECONDS]: every block with a checksum, while the driver domain fails COUNT times.
verify_through() {
    guest verifier "${2:-verify}" "$LARGE" "$(disk virtio1 xvda w)"
    finish verifier "${3:-600}"
    say value restarts "$(lives)"
    has_lived "$1" block
    in_every_way block
}

# A domain that fails again and again stops, and says why on its console and in XenStore.
crash_loop() {
    failing 99,0,0,blamed block
    sed -i 's/^on_crash = .*/on_crash = "preserve"/' /etc/xen/outrigger/block.cfg
    start_block
    looping=$(xl domid block)
    guest victim load "$LARGE" "$(disk virtio1 xvda w)"
    wait_for 60 said block "FATAL: stopped after 5 restarts, 5 of them within 10 s; the last: panicked"
    xenstore-read "/local/domain/$looping/data/restart/state" | grep "^stopped after 5 restarts, .*crash point"
    xl list "$looping" | tee /tmp/looping
    grep " [-a-z]*c[-d] " /tmp/looping
    xl destroy victim
    xl destroy "$looping"
}

# nothing_left [NAME]: no device, no node, and the same domain.
nothing_left() {
    wait_for 20 no_devices "${1:-block}"
}

no_devices() {
    ! xenstore-ls "/local/domain/$(xl domid "$1")/backend" | grep -q state
}

# holdings NAME: what a driver domain without devices holds, and who could not die because it holds something of theirs, as
# Xen and XenStore count it.
holdings() {
    held_by=$(xl domid "$1")
    xl dmesg -c >/dev/null
    xl debug-keys e
    xl debug-keys g
    xl dmesg | tr -d '\r' >/tmp/dmesg
    echo "domains: $(($(xl list | wc -l) - 1))"
    echo "memory: $(xl list "$1" | awk 'NR == 2 { print $3 }') MiB"
    echo "ports: $(awk -v of="information for domain $held_by:" '
        /Event channel information/ { ours = index($0, of) }
        ours && /\[[01]\// { ports++ }
        END { print ports }' /tmp/dmesg)"
    echo "grants: $(awk -v of="remote d$held_by " '
        /grant-table for remote/ { ours = index($0 " ", of) }
        ours && /maptrack/ { print }
        ours && /^\(XEN\) \[0x/ { grants++ }
        END { print grants + 0, "in use" }' /tmp/dmesg | sed 's/(XEN) *//' | tr '\n' ' ')"
    echo "nodes: $(xenstore-ls "/local/domain/$held_by" | wc -l)"
}

# note_holdings NAME: of a domain that has failed once.
note_holdings() {
    holdings "$1" | tee "/tmp/holdings.$1"
    # One that counts nothing proves nothing.
    grep -q "ports: [1-9]" "/tmp/holdings.$1"
    grep -q "grants: .*maptrack" "/tmp/holdings.$1"
}

# same_holdings NAME: not one of anything more than then.
same_holdings() {
    holdings "$1" | tee /tmp/holdings
    cmp "/tmp/holdings.$1" /tmp/holdings
}

# What they hold after one failure, by the same guests as after a thousand.
block_once() {
    start_failing 1
    guest verifier verify "$LARGE" "$(disk virtio1 xvda w)"
    finish verifier 600
    has_lived 1 block
    nothing_left
    note_holdings block
    shut_down
}

net_once() {
    start_failing_net_alone 1
    GUEST_VIF=$(vif 2 xenbr0) guest net2 storm2 "$SMALL"
    GUEST_VIF=$(vif 3 xenbr0) guest net3 storm3 "$SMALL"
    finish net2 600
    finish net3 600
    has_lived 1 net
    nothing_left net
    note_holdings net
    shut_down_net
}
