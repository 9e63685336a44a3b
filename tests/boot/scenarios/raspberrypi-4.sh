# The driver domain on the card of a Raspberry Pi 4, where all data goes through the controller's data port.
card_ready() {
    start_block
    said block "SD card of 4096 MiB, no DMA, not coherent"
}

card_ext4() {
    guest system ext4 "$SMALL" "$(disk mmc0:1 xvda w)"
    finish system 200
}

# Without fio, which is large for this machine.
card_blocks() {
    guest blocks blocks "$SMALL" "$(disk mmc0:2 xvda w)"
    finish blocks 300
}

card_attach_detach() {
    guest holder hold "$SMALL" "$(disk mmc0:2 xvda r)"
    for round in 1 2 3; do
        xl block-attach holder "$(disk mmc0:1 xvdb r)"
        wait_for 60 told holder "seen $round "
        xl block-detach holder xvdb
        wait_for 60 told holder "lost $round"
    done
    hashes=$(grep -F "@$TOKEN seen" "$(log_of holder)" | sed 's/.*seen [0-9]* //' | sort -u | wc -l)
    xl destroy holder
    [ "$hashes" = 1 ]
}

check "driver domain ready" card_ready
check "ext4 with known hashes" card_ext4
check "every block of a slice, checked" card_blocks
check "attach and detach three times" card_attach_detach
check "xl shutdown of the driver domain" shut_down
