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

# serve: offers a file of 4 MiB, which everybody can make.
serve() {
    mkdir /tmp/www
    contents >/tmp/www/file
    httpd -h /tmp/www
}

contents() {
    yes "frames of known content" | head -c 4194304
}

# fetch ADDRESS: gets that file, as soon as it is offered, and compares.
fetch() {
    wait_for 30 wget -q -O /tmp/fetched "http://$1/file"
    [ "$(sha256sum </tmp/fetched)" = "$(contents | sha256sum)" ]
}

# peer OWN OTHER: all of it, both ways.
peer() {
    net_up "$1"
    serve
    reach 10.0.2.2
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
