# The whole of it once, as a user would do it, with figures.
ready() {
    for domain in block net; do
        begin=$(now)
        xl create /etc/xen/outrigger/$domain.cfg
        until said $domain ready; do
            usleep 20000
            [ $(($(now) - begin)) -lt 2000 ] || return 1
        done
        say value $domain-ready $((($(now) - begin) * 10)) ms
    done
    peer_up
}
first_read() {
    begin=$(now)
    GUEST_VIF=$(vif 1 xenbr0) guest left demo-left "$SMALL" "$(disk virtio0:1 xvda w)"
    wait_for 60 told left "first read"
    say value first-read $((($(now) - begin) * 10)) ms
    wait_for 60 told left stored
    say value files "$(figure left files)"
}
throughput() {
    GUEST_VIF=$(vif 2 xenbr0) guest right demo-right "$SMALL" "$(disk virtio1 xvda w)"
    wait_for 60 told right write
    for way in read write; do
        say value "$way" "$(figure right $way)"
    done
}
network() {
    finish left 90
    finish right 30
    say value round-trip "$(figure left round-trip)"
    for way in to-wire to-guest; do
        say value $way "$(figure left $way | awk '{ printf "%.0f Mb/s", $1 / 1000 }')"
    done
}
memory() {
    for domain in block net; do
        say value $domain-memory "$(xl list $domain | awk 'NR == 2 { print $3 " MiB" }')"
    done
}
check "driver domains ready" ready
check "ext4 with known hashes, written, synced and read back" first_read
check "throughput of a disk" throughput
check "guest to guest and to the wire" network
check "memory" memory
check "xl shutdown of the block domain" shut_down
check "xl shutdown of the network domain" shut_down_net
