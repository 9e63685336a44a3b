# Stock guests wait for a driver domain that fails: in the first way there is (a panic), each time soon after a device or a
# guest had something to say. Nothing in Dom0 polls.
kill $!
killall tail 2>/dev/null

# pauses NAME: from each fault until all was served again, sorted.
pauses() {
    sed -n 's/.* served again after \([0-9]*\) us.*/\1/p' "$(log_of "$1")" | tr -d '\r' | sort -n
}
# answers NAME: from each fault until some guest was answered, sorted.
answers() {
    sed -n 's/.*first answer came after \([0-9]*\) us.*/\1/p' "$(log_of "$1")" | tr -d '\r' | sort -n
}
# half: the median of what is sorted.
half() {
    awk '{ all[NR] = $1 } END { if (NR) print all[int((NR + 1) / 2)] }'
}
# report NAME CASE: how often NAME failed, and what guest `waits` waited. A guest that has not asked for anything is answered
# late, so it is said how many answers came in time.
report() {
    say value "$2/restarts" "$(pauses "$1" | wc -l)"
    say value "$2/pause-max" "$(pauses "$1" | tail -n 1)"
    say value "$2/pause-half" "$(pauses "$1" | half)"
    say value "$2/answers" "$(answers "$1" | wc -l)"
    say value "$2/answer-half" "$(answers "$1" | half)"
    say value "$2/answer-soon" "$(answers "$1" | awk '$1 <= 10000 { soon++ } END { print soon + 0 }')"
    sed -n "s/^@$TOKEN \(value \)/\1$2\//p" "$(log_of waits)" | tr -d '\r' | while read -r line; do say "$line"; done
}
# The guest's start and its measurement; whoever looks meanwhile takes the processor that is measured.
asleep_until_done() {
    sleep 40
    finish waits 100
}
# first NAME: a driver domain has a larger weight than guests, or one that is always busy keeps it waiting for its time slice
# of 10 ms (credit2), with failures or without.
first() {
    xl sched-credit2 -d "$1" -w 4096
}
# block_case CASE WORDS
block_case() {
    failing "$2" block
    rm -f "$(log_of block)"
    xl create /etc/xen/outrigger/block.cfg
    wait_for 20 said block ready
    first block
    guest waits reads "$LARGE" "$(disk virtio0 xvda w)"
    asleep_until_done
    report block "$1"
    xl shutdown block
    wait_for 20 gone block
}
# net_case CASE WORDS
net_case() {
    failing "$2" net
    rm -f "$(log_of net)"
    xl create /etc/xen/outrigger/net.cfg
    wait_for 20 said net ready
    first net
    GUEST_VIF=$(vif 1 xenbr0) guest waits pings "$LARGE"
    asleep_until_done
    report net "$1"
    xl shutdown net
    wait_for 20 gone net
}
check "block, no failure" block_case block-none 0
check "block, failures apart" block_case block-apart 1000,0,50
check "block, failures in a row" block_case block-row 4000,0
peer_up
check "net, no failure" net_case net-none 0
check "net, failures apart" net_case net-apart 1000,0,50
check "net, failures in a row" net_case net-row 4000,0
