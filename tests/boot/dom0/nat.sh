# Checks of the network driver domain `net` with an address of its own on the wire, by DHCP from Dom0, and a segment `guests`
# behind it. Guests listen at their consoles.

OWN=10.0.2.77

start_nat() {
    peer_up
    serve
    peer=$(card 52:54:00:00:00:01)
    cat >/tmp/udhcpd.conf <<CONF
start $OWN
end $OWN
max_leases 1
interface $peer
lease_file /tmp/leases
pidfile /tmp/udhcpd.pid
opt subnet 255.255.255.0
opt router 10.0.2.4
opt dns 10.0.2.53
opt lease 3600
CONF
    touch /tmp/leases
    udhcpd /tmp/udhcpd.conf
    xl create /etc/xen/outrigger/net.cfg
    wait_for 20 said net ready
    wait_for 60 said net "own address $OWN/24"
}

own_address() {
    for size in 1 56 1472; do
        reach $OWN -s $size
    done
    # Nothing else is open, and nobody says so.
    if wget -q -T 2 -O /dev/null "http://$OWN/"; then false; fi
}

# behind N: guest N, on the segment behind our address.
behind() {
    GUEST_VIF=$(vif "$1" guests) guest "net$1" console "$SMALL"
}

# leased N: its address and what else DHCP has told it.
leased() {
    wait_for 90 told "net$1" listens
    on "net$1" 60 ". /jobs/nat.sh; leased; serve"
    figure "net$1" leased
}

leases() {
    behind 2
    behind 3
    leased 2 | tee /tmp/lease2
    leased 3 | tee /tmp/lease3
    for n in 2 3; do
        grep -E '^10\.0\.3\.[0-9]+/24 router 10\.0\.3\.1 dns 10\.0\.2\.53 mtu 1500$' "/tmp/lease$n"
    done
    if cmp -s /tmp/lease2 /tmp/lease3; then false; fi
}

nat_ping() {
    on net2 60 "reach 10.0.3.1; for size in 1 56 1472 1473 8000 60000; do reach 10.0.2.4 -s \$size; done"
    # The first router on the way says so when a packet has come too far.
    on net2 30 "traceroute -n -I -m 3 -q 1 -w 2 10.0.2.4 | tee /tmp/way; grep -q ' 10.0.3.1 ' /tmp/way; grep -q ' 10.0.2.4 ' /tmp/way"
    # Both at once, with whatever identifiers they choose.
    on net3 30 "ping -q -c 20 -i 0.2 -W 5 10.0.2.4 >/tmp/pings; grep -q ' 0% packet loss' /tmp/pings" &
    other=$!
    on net2 30 "ping -q -c 20 -i 0.2 -W 5 10.0.2.4 >/tmp/pings; tail -n 2 /tmp/pings; grep -q ' 0% packet loss' /tmp/pings"
    wait $other
}

nat_tcp() {
    on net2 60 "fetch 10.0.2.4" &
    other=$!
    on net3 60 "fetch 10.0.2.4"
    wait $other
    on net2 60 "say to-wire \$(iperf 10.0.2.4 -t 2); say from-wire \$(iperf 10.0.2.4 -R -t 2); say udp \$(iperf 10.0.2.4 -u -b 2M -t 2)"
    for way in to-wire from-wire udp; do
        rate=$(figure net2 $way)
        say value "nat-$way" "$rate kbit/s"
        [ "${rate%.*}" -gt 1500 ]
    done
}

# Nobody on the wire has heard of a guest.
one_address() {
    neighbours=$(ip neigh show dev "$(card 52:54:00:00:00:01)")
    echo "$neighbours"
    echo "$neighbours" | grep -q "^$OWN lladdr 52:54:00:00:00:02"
    if echo "$neighbours" | grep -F 10.0.3.; then false; fi
    if echo "$neighbours" | grep -F 00:16:3e; then false; fi
    # Not even by way of us: the table lets in what answers.
    address=$(sed 's,/.*,,' /tmp/lease2)
    ip route add 10.0.3.0/24 via $OWN
    unreachable "$address"
    ip route del 10.0.3.0/24 via $OWN
}

nat_to_bridge() {
    GUEST_VIF=$(vif 4 xenbr0) guest net4 console "$SMALL"
    wait_for 90 told net4 listens
    on net4 30 "net_up 4; serve; reach 10.0.2.4; reach $OWN"
    on net2 60 "reach 10.0.2.40; fetch 10.0.2.40"
}

nat_bounds() {
    # Our own address outside, another guest through the router, the network of loopback.
    on net2 30 "unreachable $OWN"
    # Another guest is a neighbour, as on any segment, and its address is its own.
    other=$(sed 's,/.*,,' /tmp/lease3)
    on net2 30 "reach $other"
    on net2 30 "ip addr add 10.0.3.250/24 dev eth0; unreachable 10.0.2.4 -I 10.0.3.250; reach 10.0.2.4; ip addr del 10.0.3.250/24 dev eth0"
    wait_for 10 dropped 2 0 source-ip
}

lease_again() {
    before=$(xl domid net2)
    xl destroy net2
    wait_for 15 no_vifs "$before"
    rm -f /tmp/on.net2
    behind 2
    [ "$(leased 2)" = "$(cat /tmp/lease2)" ]
    on net2 60 "reach 10.0.2.4; fetch 10.0.2.4"
}
