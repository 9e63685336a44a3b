# Checks of disks, whoever serves them. Disks are named as the driver domain names them (see `disk` in lib.sh).

ext4() {
    guest system ext4 "$SMALL" "$(disk virtio0:1 xvda w)"
    finish system 90
}

read_only() {
    guest reader readonly "$SMALL" "$(disk "$1" xvda r)"
    finish reader 90
}

# Where there is the newest kernel, the second one runs that: Linux's frontends change.
two_guests() {
    guest left ext4 "$SMALL" "$(disk "$1" xvda w)"
    newest
    guest right ext4 "$NEWER" "$(disk "$2" xvda w)"
    finish left 120
    finish right 120
    is_newest right
}

# The disk comes and goes under a running guest, twenty times, and reads the same each time.
attach_detach() {
    guest holder hold "$SMALL" "$(disk virtio0:3 xvda r)"
    for round in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        xl block-attach holder "$(disk virtio0:1 xvdb r)"
        wait_for 30 told holder "seen $round "
        xl block-detach holder xvdb
        wait_for 30 told holder "lost $round"
    done
    hashes=$(grep -F "@$TOKEN seen" "$(log_of holder)" | sed 's/.*seen [0-9]* //' | sort | uniq -c)
    xl destroy holder
    echo "$hashes"
    [ "$(echo "$hashes" | wc -l)" = 1 ]
}

# A guest is destroyed in the midst of writing; another one, in the midst of its work, notices nothing.
destroy_under_io() {
    guest victim load "$SMALL" "$(disk virtio0:3 xvda w)"
    guest witness ext4 "$SMALL" "$(disk virtio0:1 xvda w)"
    wait_for 60 told victim loading
    wait_for 60 told witness "first read"
    xl destroy victim
    finish witness 90
    guest heir ext4 "$SMALL" "$(disk virtio0:2 xvda w)"
    finish heir 90
}

# Every block of a whole disk is written with a checksum, and read back.
verify() {
    guest verifier verify "$LARGE" "$(disk virtio1 xvda w)"
    finish verifier 300
}

# What a guest discards is gone, and nothing else is.
discard() {
    guest trimmer discard "$SMALL" "$(disk virtio0:3 xvda w)"
    finish trimmer 60
}
