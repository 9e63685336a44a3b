# What the network jobs share.

# net_up N: brings the card up with the address 10.0.2.N0.
net_up() {
    wait_for 20 test -d /sys/class/net/eth0
    ip addr add "10.0.2.${1}0/24" dev eth0
    ip link set eth0 up
}

# reach ADDRESS [PING OPTION...]: within half a minute.
reach() {
    address=$1
    shift
    wait_for 30 ping -c 1 -W 1 "$@" "$address"
}

# iperf ADDRESS OPTION...: runs iperf3 against a server there, and tells what arrived, in kbit/s.
iperf() {
    iperf3 --format k --client "$@" >/tmp/iperf
    sed -n 's/.* \([0-9.]*\) Kbits\/sec.* receiver$/\1/p' /tmp/iperf
}

# serve: offers a file of known content, which everybody can make.
serve() {
    mkdir /tmp/www
    contents >/tmp/www/file
    sha256sum </tmp/www/file >/tmp/known
    httpd -h /tmp/www
}

# contents: some 4 MiB that repeat after 108,894 bytes: no two pages or segments are alike, and it is soon made.
contents() {
    part=$(seq 1 20000)
    for round in 1 2 3 4 5 6 7 8 9 10 11 12 13; do
        echo "$part"
        echo "$part"
        echo "$part"
    done
}

# fetch ADDRESS: gets that file, as soon as it is offered, and compares. After `serve`.
fetch() {
    wait_for 30 wget -q -O /tmp/fetched "http://$1/file"
    sha256sum </tmp/fetched | cmp - /tmp/known
}

# peer OWN OTHER: the wire, and all that two guests can do.
peer() {
    net_up "$1"
    reach 10.0.2.2
    pair "$1" "$2"
}

# pair OWN OTHER: all that two guests whose cards are up can do, both ways.
pair() {
    serve
    reach "10.0.2.${2}0"
    for size in 1 100 1472 1473 8000 60000; do
        reach "10.0.2.${2}0" -s "$size"
    done
    fetch "10.0.2.${2}0"
    say value "guest$1/received" "$(cat /sys/class/net/eth0/statistics/rx_bytes)"
    # The other one may not have fetched yet, nor seen that we have.
    echo done >/tmp/www/done
    wait_for 60 wget -q -O /dev/null "http://10.0.2.${2}0/done"
    sleep 3
}

# unreachable ADDRESS [PING OPTION...]: nobody answers, three times, within a second.
unreachable() {
    address=$1
    shift
    if ping -c 3 -i 0.3 -W 1 "$@" "$address"; then return 1; fi
}

# packets ETH: how many the card has received.
packets() {
    cat "/sys/class/net/$1/statistics/rx_packets"
}

# listen ETH: from now on everything that comes is counted.
listen() {
    ip link set "$1" promisc on
    packets "$1" >/tmp/before
}

# heard ETH: how much came since.
heard() {
    echo $(($(packets "$1") - $(cat /tmp/before)))
}

# xdp_program pass|drop|off: what the card does with each frame before anybody else sees it.
xdp_program() {
    case $1 in
    off) /usr/bin/ip link set dev eth0 xdpdrv off ;;
    *) /usr/bin/ip -force link set dev eth0 xdpdrv object "/xdp/$1.o" section xdp ;;
    esac
}

# second ADDRESS: the second card appears, and gets this address.
second() {
    wait_for 20 test -d /sys/class/net/eth1
    ip addr add "$1" dev eth1
    ip link set eth1 up
}

# storm OWN OTHER ROUNDS: fetches the other's file over and over, and each time all of it is right.
storm() {
    net_up "$1"
    serve
    reach "10.0.2.${2}0"
    for round in $(seq "$3"); do
        fetch "10.0.2.${2}0"
    done
    echo done >/tmp/www/done
    wait_for 120 wget -q -O /dev/null "http://10.0.2.${2}0/done"
    sleep 3
}
