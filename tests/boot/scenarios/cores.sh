# Two guests, a disk and a wire, on two processors.
check "both driver domains and two guests" start_cores
check "a disk is read" reads free
say longest "$(figure net2 longest)" "a disk answers soon"
check "TCP each way" tcp_each_way
check "xl shutdown of both domains" shut_down_both
