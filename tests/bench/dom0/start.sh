# Driver domains come and go, and in the end they serve a guest with the least memory that they can.
. /measuring.sh
. /plan # the numbers of the rounds, and how much memory to try
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
# tried MIB: whether both come up with so much memory, and a guest reads 256 MiB and gets an answer from the wire. Each is said
# to have at least what it was last tried with.
tried() {
    if [ "$BACKEND" = linux-domain ]; then
        sed -i "s/^\(memory\|maxmem\) = .*/\1 = $1/" /etc/xen/outrigger/block.cfg /etc/xen/outrigger/net.cfg
    fi
    for class in block net; do
        serve $class || return 1
    done
    GUEST_VIF=$(vif 1 xenbr0) guest served served "$SMALL" "$(disk virtio0 xvda r)" || return 1
    finish served 60 || return 1
    for class in block net; do
        say value "$class/least" "$(mib_of $class)"
    done
}
# With less and less memory, until it is not enough: the first amount must be.
serves() {
    peer_up
    enough=
    for mib in $sizes; do
        tried "$mib" || break
        enough=$mib
        xl destroy block
        xl destroy net
    done
    say value enough "$enough"
    [ -n "$enough" ]
}
# The first creation of all costs xl some 1.7 s of its own.
python3.13 -IS /create.py "$TOKEN" block "$ready" first
xl destroy block
check "block comes and goes" comes_and_goes block
check "net comes and goes" comes_and_goes net
check "both serve with little memory" serves
