# What scenarios are written with. Lines that begin with @TOKEN are for the harness; nobody else knows the token.
. /scenario/env

# Memory of guests, in MiB: without fio in their ramdisk, with it, and without it but with the newest kernel.
SMALL=128
LARGE=320
NEWER=192

# say WORD...: one line to the harness.
say() {
    echo "@$TOKEN $*"
}

# check NAME COMMAND...: runs the command in a shell of its own, which ends at the first failure, and reports on it.
check() {
    check_name=$1
    shift
    # Not as a condition: a shell takes no notice of `set -e` there.
    (
        set -e
        "$@"
    )
    case $? in
    0) say pass "$check_name" ;;
    *) say fail "$check_name" ;;
    esac
}

# fails TEXT COMMAND...: succeeds if the command fails and says TEXT.
fails() {
    expected=$1
    shift
    if said=$("$@" 2>&1); then
        echo "succeeded, but was to fail: $*"
        return 1
    fi
    echo "$said"
    case "$said" in *"$expected"*) return 0 ;; esac
    echo "failed without saying: $expected"
    return 1
}

# Centiseconds since Dom0 started.
now() {
    read -r uptime rest </proc/uptime
    echo "${uptime%.*}${uptime#*.}"
}

# wait_for SECONDS COMMAND...: until the command succeeds.
wait_for() {
    local wait_end=$(($(now) + $1 * 100)) # the command may wait, too
    shift
    until "$@" >/dev/null 2>&1; do
        if [ "$(now)" -ge "$wait_end" ]; then
            echo "waited in vain for: $*"
            return 1
        fi
        usleep 100000
    done
}

log_of() {
    echo "/var/log/xen/console/guest-$1.log"
}

# said NAME TEXT: whether the console of domain NAME has shown TEXT.
said() {
    grep -qF -e "$2" "$(log_of "$1")"
}

# told NAME WORDS: whether guest NAME has said so in this run's name.
told() {
    said "$1" "@$TOKEN $2"
}

gone() {
    ! xl domid "$1"
}

# guest NAME JOB MIB DISK...: creates a stock Debian-kernel guest that does JOB (a file in guest/jobs). GUEST_VCPUS says how
# many processors it has, GUEST_BLKFRONT what its frontend is told (module parameters with commas between them), GUEST_LINUX=-newer
# that it has the newest kernel instead of the release's (scenarios with `newer_guests`).
guest() {
    guest_name=$1 guest_job=$2 guest_mib=$3
    shift 3
    guest_disks=
    for guest_disk; do
        guest_disks="$guest_disks'$guest_disk', "
    done
    cat >"/tmp/$guest_name.cfg" <<CFG
name = "$guest_name"
kernel = "/images/linux$GUEST_LINUX"
ramdisk = "/images/guest$GUEST_LINUX.cpio"
memory = $guest_mib
vcpus = ${GUEST_VCPUS:-1}
extra = "console=hvc0 cma=0 loglevel=5 watchdog_thresh=60 job=$guest_job token=$TOKEN blkfront=$GUEST_BLKFRONT"
disk = [ $guest_disks ]
vif = [ ${GUEST_VIF:+"'$GUEST_VIF'"} ]
vkb = [ ${GUEST_VKB:+"'$GUEST_VKB'"} ]
on_crash = "destroy"
CFG
    rm -f "$(log_of "$guest_name")"
    xl create "/tmp/$guest_name.cfg"
}

# newest: guests that follow have the newest kernel, if the scenario has it.
newest() {
    if [ -e /images/linux-newer ]; then
        GUEST_LINUX=-newer
    fi
}

# is_newest NAME: the guest had it, and not Dom0's.
is_newest() {
    if [ -n "$GUEST_LINUX" ]; then
        told "$1" "runs Linux"
        if told "$1" "runs Linux $(uname -r)"; then false; fi
    fi
}

# on GUEST SECONDS COMMAND: a guest whose job is `console` runs the command; succeeds if it did, in that time.
on() {
    on_number=$(($(cat "/tmp/on.$1" 2>/dev/null || echo 0) + 1))
    echo $on_number >"/tmp/on.$1"
    echo "$on_number $3" >"$(xenstore-read "/local/domain/$(xl domid "$1")/console/tty")"
    wait_for "$2" told "$1" "end $on_number "
    told "$1" "end $on_number 0"
}

# figure GUEST WORD: what guest GUEST said last after WORD.
figure() {
    sed -n "s/.*@$TOKEN $2 //p" "$(log_of "$1")" | tail -n 1 | tr -d '\r'
}

# finish NAME SECONDS: until the guest has powered off; succeeds if its job did.
finish() {
    wait_for "$2" gone "$1" && told "$1" "job done"
}

# disk TARGET VDEV MODE: an xl disk specification (w or r), served by the driver domain `block`, or in the stand-in by
# Linux in Dom0. TARGET is as the driver domain takes it: virtioN, or virtioN:PARTITION.
disk() {
    if [ "$BACKEND" = linux ]; then
        echo "vdev=$2,format=raw,access=$3,script=block-direct,target=$(dom0_device "$1")"
    elif [ "$BACKEND" = linux-domain ]; then
        echo "backend=block,vdev=$2,format=raw,access=$3,script=block-direct,target=/dev/vda"
    else
        echo "backend=block,vdev=$2,format=raw,access=$3,target=$1"
    fi
}

dom0_device() {
    for disk_dir in /sys/block/vd*; do
        if [ "$(cat "$disk_dir/serial")" = "${1%:*}" ]; then
            case $1 in
            *:*) echo "/dev/${disk_dir##*/}${1#*:}" ;;
            *) echo "/dev/${disk_dir##*/}" ;;
            esac
        fi
    done
}

# Every console that xenconsoled logs, also to the harness, with the domain's name before each line.
relay_consoles() {
    relayed=
    while :; do
        for log in /var/log/xen/console/*.log; do
            case "$relayed" in *" $log "*) continue ;; esac
            [ -f "$log" ] || continue
            relayed="$relayed $log "
            name=${log##*/guest-}
            tail -n +1 -F "$log" 2>/dev/null | awk -v name="${name%.log}" '{ print name "| " $0; fflush() }' &
        done
        usleep 200000
    done
}
