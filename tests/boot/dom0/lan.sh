# Checks of the network driver domain `net` with eight guests that listen at their consoles, and Dom0 on the wire as
# 10.0.2.4. Guest N is called netN; what `vif` gives it is its first card.

DROPS=10 # seconds within which counters are in XenStore
GUESTS="1 2 3 4 5 6 7 8"

start_lan() {
    xl create /etc/xen/outrigger/net.cfg
    wait_for 20 said net ready
    peer_up
    serve
    for n in $GUESTS; do
        listener $n
    done
    for n in $GUESTS; do
        listening $n
    done
}

# listener N: guest N. The fourth has an address that it must keep to, the fifth a rate.
listener() {
    case $1 in
    4) rules=,ip=10.0.2.40 ;;
    5) rules=,rate=20Mb/s ;;
    *) rules= ;;
    esac
    GUEST_VIF=$(vif "$1" xenbr0)$rules guest "net$1" console "$SMALL"
}

# listening N: it is up, has its address, and offers what others fetch.
listening() {
    wait_for 90 told "net$1" listens
    on "net$1" 30 "net_up $1; serve; iperf3 --server --daemon; reach 10.0.2.4"
}

# second_vif N KEY=VALUE...: another card for guest N, with a MAC of its own.
second_vif() {
    second_vif=$1
    shift
    xl network-attach "net$second_vif" backend=net "mac=00:16:3e:00:01:${second_vif}0" "$@"
}

# statistic N DEVID KEY: what the driver domain says of a vif of guest N; 0 if it does not say so.
statistic() {
    words=$(xenstore-read "/local/domain/$(xl domid net)/backend/vif/$(xl domid "net$1")/$2/statistics")
    for word in $words; do
        case $word in "$3="*) echo "${word#*=}" && return ;; esac
    done
    echo 0
}

# dropped N DEVID REASON: some frames of guest N were dropped for that.
dropped() {
    [ "$(statistic "$1" "$2" "tx-dropped-$3")" -gt 0 ]
}

# Through the wire and between guests; to one byte and around every edge: headers, pages, frames, the largest packet.
ping_sizes() {
    sizes="1 2 7 8 55 56 64 127 128 150 151 255 256 511 512 1023 1024 1471 1472 1473 1480 2047 2048 2952 2953 4000
        4095 4096 4097 8000 8192 16384 32768 60000 65000 65506 65507"
    on net1 60 "for size in $(echo $sizes); do ping -q -c 1 -W 5 -s \$size 10.0.2.4; ping -q -c 1 -W 5 -s \$size 10.0.2.20; done"
}

# Wire to guest, guest to wire, guest to guest: every byte arrives as it was.
known_content() {
    on net1 60 "fetch 10.0.2.4; fetch 10.0.2.20"
    fetch 10.0.2.10
}

iperf_each_way() {
    on net1 60 "say to-wire \$(iperf 10.0.2.4 -t 2); say from-wire \$(iperf 10.0.2.4 -R -t 2); say to-guest \$(iperf 10.0.2.20 -t 2)"
    for way in to-wire from-wire to-guest; do
        rate=$(figure net1 $way)
        say value "$way" "$rate kbit/s"
        [ "${rate%.*}" -gt 10000 ]
    done
}

# A frame of 1,514 bytes passes and one of a byte more does not, whatever the guest sets; where the vif says so, one of 9,014.
mtu_edges() {
    on net1 30 "ip link set eth0 mtu 9000; reach 10.0.2.20 -s 1472; unreachable 10.0.2.20 -s 1473; ip link set eth0 mtu 1500"
    wait_for $DROPS dropped 1 0 malformed
    for n in 1 2; do
        second_vif $n bridge=private mtu=9000
        on net$n 30 "second 10.1.0.${n}0/24; ip link set eth1 mtu 9000"
    done
    on net1 30 "reach 10.1.0.20 -s 8972; reach 10.1.0.20 -s 8973; reach 10.1.0.20 -s 40000"
    on net1 30 "ip link set eth1 mtu 9001; unreachable 10.1.0.20 -s 8973"
    for n in 1 2; do
        xl network-detach net$n 1
        on net$n 30 "wait_for 20 test ! -d /sys/class/net/eth1"
    done
    jumbo_on_the_wire
}

# The card has an MTU of 9,000, so one vif may have it, too.
jumbo_on_the_wire() {
    peer=$(card 52:54:00:00:00:01)
    ip link set "$peer" mtu 9000
    ip addr add 10.8.0.4/24 dev "$peer"
    second_vif 3 bridge=xenbr0 mtu=9000
    on net3 60 "second 10.8.0.30/24; ip link set eth1 mtu 9000; reach 10.8.0.4 -s 8972; reach 10.8.0.4 -s 40000"
    # Whole frames, not fragments: the sixty of each way are no more on the wire.
    before=$(packets "$peer")
    on net3 60 "ping -q -c 60 -i 0.02 -s 8972 10.8.0.4"
    after=$(packets "$peer")
    say value jumbo-frames $((after - before))
    [ $((after - before)) -lt 120 ]
    xl network-detach net3 1
    on net3 30 "wait_for 20 test ! -d /sys/class/net/eth1"
    ip addr del 10.8.0.4/24 dev "$peer"
    ip link set "$peer" mtu 1500
    wait_for 30 ping -c 1 -W 1 10.0.2.10
}

# Guest 6 has a program that passes every frame: files come as without, from the wire and from a guest, each frame behind the
# headroom that the program was promised. One that drops every frame, which that guest's own counters then lack; and none.
xdp() {
    reading="xenstore-read /local/domain/$(xl domid net6)/device/vif/0/xdp-headroom"
    on net6 30 "xdp_program pass"
    [ "$($reading)" = 256 ]
    on net6 90 "reach 10.0.2.10 -s 1472; fetch 10.0.2.4; fetch 10.0.2.10"
    on net1 60 "fetch 10.0.2.60"
    on net6 60 "xdp_program drop; unreachable 10.0.2.4; xdp_program off"
    [ "$($reading)" = 0 ]
    on net6 60 "reach 10.0.2.4; fetch 10.0.2.4"
}

# Guest 3 takes everything that comes to its card, while others exchange megabytes; it gets broadcasts, and nothing else.
sniffing() {
    on net3 20 "listen eth0"
    on net1 60 "fetch 10.0.2.20; fetch 10.0.2.4"
    on net3 20 "say sniffed \$(heard eth0)"
    say value sniffed "$(figure net3 sniffed) frames"
    [ "$(figure net3 sniffed)" -le 10 ]
    on net3 20 "listen eth0"
    on net1 20 "if arping -q -c 4 -w 4 -I eth0 10.0.2.99; then false; fi"
    on net3 20 "heard eth0; [ \$(heard eth0) -ge 3 ]"
}

# Guest 3 with the MAC of guest 1, guest 4 with another IP address: neither is heard, and guest 1 loses nothing.
spoofing() {
    on net3 40 "ip link set eth0 down; ip link set eth0 address 00:16:3e:00:00:10; ip link set eth0 up; unreachable 10.0.2.4" &
    spoofer=$!
    on net1 30 "ping -q -c 20 -i 0.2 -W 5 10.0.2.4 >/tmp/pings; tail -n 2 /tmp/pings; grep -q ' 0% packet loss' /tmp/pings"
    wait $spoofer
    wait_for $DROPS dropped 3 0 source-mac
    on net3 30 "ip link set eth0 down; ip link set eth0 address 00:16:3e:00:00:30; ip link set eth0 up; reach 10.0.2.4"
    on net4 30 "reach 10.0.2.4; ip addr add 10.0.2.44/24 dev eth0; unreachable 10.0.2.4 -I 10.0.2.44; reach 10.0.2.4"
    wait_for $DROPS dropped 4 0 source-ip
}

# Two guests and the wire in VLAN 5, one in VLAN 6, one that puts tags on by itself.
vlans() {
    second_vif 6 bridge=xenbr0 vlan=5
    second_vif 7 bridge=xenbr0 vlan=5
    second_vif 8 bridge=xenbr0 vlan=6
    peer=$(card 52:54:00:00:00:01)
    vconfig add "$peer" 5
    quiet "$peer.5"
    ip addr add 10.5.0.4/24 dev "$peer.5"
    ip link set "$peer.5" up
    for n in 6 7 8; do
        on net$n 30 "second 10.5.0.${n}0/24"
    done
    on net6 30 "reach 10.5.0.70; reach 10.5.0.4; reach 10.5.0.4 -s 20000"
    on net8 30 "unreachable 10.5.0.60; unreachable 10.5.0.4"
    on net1 30 "vconfig add eth0 5; ip addr add 10.5.0.10/24 dev eth0.5; ip link set eth0.5 up; unreachable 10.5.0.4; vconfig rem eth0.5"
    wait_for $DROPS dropped 1 0 vlan
    vconfig rem "$peer.5"
}

# 20 Mb/s by the toolstack; what arrives may be a tenth more or less.
rate_limit() {
    on net5 60 "say rate \$(iperf 10.0.2.4 -t 4)"
    rate=$(figure net5 rate)
    say value rate "$rate kbit/s"
    [ "${rate%.*}" -ge 18000 ] && [ "${rate%.*}" -le 22000 ]
}

# A card comes and goes, five times, with pings on it as fast as they are answered; another guest's stream goes on.
attach_detach_under_traffic() {
    ip addr add 10.7.0.4/24 dev "$(card 52:54:00:00:00:01)"
    on net1 90 "iperf 10.0.2.4 -t 15 >/tmp/stream; [ \$(cut -d . -f 1 /tmp/stream) -gt 5000 ]" &
    stream=$!
    for round in 1 2 3 4 5; do
        second_vif 2 bridge=xenbr0
        on net2 30 "second 10.7.0.20/24; reach 10.7.0.4; ping -A -q 10.7.0.4 >/tmp/pings & echo \$! >/tmp/pid"
        xl network-detach net2 1
        on net2 30 "wait_for 20 test ! -d /sys/class/net/eth1; kill \$(cat /tmp/pid)"
    done
    wait $stream
}

# A guest dies while it sends and receives; two others go on, and one like it takes its place.
destroyed_under_traffic() {
    on net8 20 "iperf3 --client 10.0.2.4 -t 60 >/tmp/sending 2>&1 &"
    on net7 20 "iperf3 --client 10.0.2.80 -t 60 >/tmp/sending 2>&1 &"
    on net1 60 "iperf 10.0.2.20 -t 6 >/tmp/stream; [ \$(cut -d . -f 1 /tmp/stream) -gt 5000 ]" &
    stream=$!
    sleep 2
    dead=$(xl domid net8)
    xl destroy net8
    wait_for 15 no_vifs "$dead"
    wait $stream
    on net7 20 "killall iperf3 || true; reach 10.0.2.20"
    # The peer's iperf3 still waits for the dead.
    killall iperf3
    iperf3 --server --daemon
    listener 8
    listening 8
    on net8 60 "fetch 10.0.2.70"
}

no_vifs() {
    ! xenstore-list "/local/domain/$(xl domid net)/backend/vif/$1"
}

# Each fetches from the wire and from its neighbour, all at the same time.
eight_at_once() {
    fetching=
    for n in $GUESTS; do
        on net$n 120 "fetch 10.0.2.$((n % 8 + 1))0; fetch 10.0.2.4" &
        fetching="$fetching $!"
    done
    for one in $fetching; do
        wait "$one"
    done
}

# What guest 2 has counted is what the driver domain has, and the card's counters are there.
counters_agree() {
    wait_for 40 same_counts
    xenstore-read "/local/domain/$(xl domid net)/data/net0" | grep -E "^link=up tx-frames=[1-9][0-9]* .* rx-frames=[1-9]"
}

same_counts() {
    on net2 10 "say counted \$(cat /sys/class/net/eth0/statistics/tx_packets) \$(packets eth0)"
    [ "$(figure net2 counted)" = "$(statistic 2 0 tx-frames) $(statistic 2 0 rx-frames)" ]
}
