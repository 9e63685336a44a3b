# A driver domain under fio: every block of a whole disk with a checksum.
check "driver domain ready" start_block
check "fio verify=crc32c over the whole disk" verify
check "fio verify over two rings of four pages" verify_rings
check "xl shutdown of the driver domain" shut_down
