# Checks on two processors. Guest net2 has a disk and a card, guest net3 a card; Dom0 is on the wire as 10.0.2.4. Both guests
# listen at their consoles. The host may have other work: the harness measures what the processors get in a window (`say
# window`, free or stolen), and judges waits and rates by that. Time limits are for a host that has much.

start_cores() {
    for domain in block net; do
        xl create /etc/xen/outrigger/$domain.cfg
        wait_for 120 said $domain ready
    done
    peer_up
    GUEST_VIF=$(vif 2 xenbr0) guest net2 console "$SMALL" "$(disk virtio0 xvda w)"
    GUEST_VIF=$(vif 3 xenbr0) guest net3 console "$SMALL"
    for n in 2 3; do
        wait_for 400 told "net$n" listens
        on "net$n" 200 "net_up $n; iperf3 --server --daemon; reach 10.0.2.4"
    done
    on net2 200 "reach 10.0.2.30"
}

# reads free|stolen: random reads of 4 KiB, one after the other, in a window. Judged by the longest wait.
reads() {
    say window "$1"
    on net2 200 "reads 5"
    say window end
    say value "reads-$1" "$(figure net2 count) in 5 s"
    [ "$(figure net2 count)" -ge 3 ]
}

# rates: what arrives of TCP in 3 s each way, in kbit/s: to the wire, from it, and to the other guest.
rates() {
    say window "$1"
    on net2 200 "for way in '10.0.2.4' '10.0.2.4 -R' '10.0.2.30'; do iperf \$way -t 3 >>/tmp/rates; done; say rates \$(cat /tmp/rates); rm /tmp/rates"
    say window end
    rates=$(figure net2 rates)
    say value "tcp-$1" "to the wire, from it, to a guest: $rates kbit/s"
}

# Whatever the host has left for us, two guests are not much further apart than a guest and the wire.
tcp_each_way() {
    rates free
    echo "$rates" | awk '{ exit !($1 > 50 && $2 > 50 && $3 > 50 && 20 * $3 > $1) }'
}

# Twice, free and stolen by turns: the lesser of what was free and the greater of what was left, in pairs.
tcp_kept() {
    rates free
    first=$rates
    rates stolen
    first="$first $rates"
    rates free
    second=$rates
    rates stolen
    echo "$first $second $rates" | awk '
        { for (i = 1; i <= 3; i++) print ($i < $(i + 6) ? $i : $(i + 6)), ($(i + 3) > $(i + 9) ? $(i + 3) : $(i + 9)) }' |
        tr '\n' ' ' >/tmp/kept
    [ "$(wc -w </tmp/kept)" = 6 ]
}

shut_down_both() {
    xl destroy net2
    xl destroy net3
    xl shutdown block
    xl shutdown net
    wait_for 60 gone block
    wait_for 60 gone net
}

# What the scenarios check; each of them comes with both interrupt controllers.
cores() {
    check "both driver domains and two guests" start_cores
    check "a disk is read" reads free
    say longest "$(figure net2 longest)" "a disk answers soon"
    check "TCP each way" tcp_each_way
    check "xl shutdown of both domains" shut_down_both
}

stolen_time() {
    check "both driver domains and two guests" start_cores
    check "a disk is read" reads stolen
    say longest "$(figure net2 longest)" "a disk answers soon although time is stolen"
    check "TCP each way is measured" tcp_kept
    say kept "$(cat /tmp/kept)of TCP each way although time is stolen"
    check "xl shutdown of both domains" shut_down_both
}
