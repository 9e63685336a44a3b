# Driver domains come and go, and in the end they serve a guest with the least memory that they can.
. /measuring.sh
. /plan # the numbers of the rounds, and the least memory of a Linux
export BACKEND

case $BACKEND in
linux-domain) ready="linux: ready" ;;
*) ready=", ready after" ;;
esac
# Where the code of the kernel begins and ends in memory, and where its image does.
for symbol in _text _stext _etext; do
    say value "kernel$symbol" "$(awk -v name=$symbol '$3 == name { print $1 }' /proc/kallsyms)"
done

comes_and_goes() {
    for round in $rounds; do
        python3.13 -IS /create.py "$TOKEN" "$1" "$ready" "$round"
        say value "$1/memory" "$(mib_of "$1")"
        if [ "$BACKEND" = linux-domain ]; then
            say value "$1/available" "$(awk '/^Mem:/ { print $7 / 1024 }' "$(log_of "$1")")"
        fi
        xl destroy "$1"
    done
}
# With the least memory that it works with: a guest reads 256 MiB, and gets an answer from the wire.
serves() {
    if [ "$BACKEND" = linux-domain ]; then
        sed -i "s/^\(memory\|maxmem\) = .*/\1 = $block_mib/" /etc/xen/outrigger/block.cfg
        sed -i "s/^\(memory\|maxmem\) = .*/\1 = $net_mib/" /etc/xen/outrigger/net.cfg
    fi
    peer_up
    for class in block net; do
        serve $class
        say value "$class/least" "$(mib_of $class)"
    done
    GUEST_VIF=$(vif 1 xenbr0) guest served served "$SMALL" "$(disk virtio0 xvda r)"
    finish served 60
}
check "block comes and goes" comes_and_goes block
check "net comes and goes" comes_and_goes net
check "both serve with little memory" serves
