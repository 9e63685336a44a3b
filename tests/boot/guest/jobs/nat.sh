# What guests behind NAT do.

# leased: takes an address by DHCP, as any guest does, and tells what it got.
leased() {
    wait_for 20 test -d /sys/class/net/eth0
    ip link set eth0 up
    udhcpc -f -n -q -t 10 -T 1 -i eth0 -s /jobs/lease -O mtu
    say leased "$(cat /tmp/lease)"
}
