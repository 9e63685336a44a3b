# Linux blkback in Dom0 serves; fio checks every block.
check "fio verify=crc32c over the whole disk" verify
