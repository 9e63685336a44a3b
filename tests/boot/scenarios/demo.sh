# The whole of it once, as a user would do it, with figures.
ready() {
    begin=$(now)
    xl create /etc/xen/outrigger/block.cfg
    until said block ready; do
        usleep 20000
        [ $(($(now) - begin)) -lt 2000 ] || return 1
    done
    say value ready $((($(now) - begin) * 10)) ms
}
first_read() {
    begin=$(now)
    guest system ext4 "$SMALL" "$(disk virtio0:1 xvda w)"
    wait_for 60 told system "first read"
    say value first-read $((($(now) - begin) * 10)) ms
    finish system 60
    say value files "$(grep -F "@$TOKEN files" "$(log_of system)" | sed 's/.*files //')"
}
throughput() {
    guest fast throughput "$SMALL" "$(disk virtio1 xvda w)"
    finish fast 60
    for way in read write; do
        say value "$way" "$(grep -F "@$TOKEN $way " "$(log_of fast)" | sed "s/.*$way //")"
    done
}
memory() {
    say value memory "$(xl list block | awk 'NR == 2 { print $3 " MiB" }')"
}
check "driver domain ready" ready
check "ext4 with known hashes, written, synced and read back" first_read
check "throughput" throughput
check "memory" memory
check "xl shutdown of the driver domain" shut_down
