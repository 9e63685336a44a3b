# A stock guest reads its disk while the driver domain fails, every few milliseconds, in the first way there is (a panic).
kill $!
killall tail 2>/dev/null

sed -i 's/^cmdline = "\(.*\)"/cmdline = "\1 crash=40,0"/' /etc/xen/outrigger/block.cfg

pauses() {
    sed -n 's/.* served again after \([0-9]*\) us.*/\1/p' "$(log_of block)" | tr -d '\r' | sort -n
}
measure() {
    xl create /etc/xen/outrigger/block.cfg
    wait_for 20 said block ready
    guest pause pause "$LARGE" "$(disk virtio0 xvda w)"
    finish pause 200
    for name in latency-max latency-mean; do
        say value $name "$(sed -n "s/^@$TOKEN value $name //p" "$(log_of pause)" | tr -d '\r')"
    done
    say value restarts "$(pauses | wc -l)"
    say value pause-max "$(pauses | tail -n 1)"
    say value pause-mean "$(pauses | awk '{ sum += $1 } END { print int(sum / NR) }')"
}
check measured measure
