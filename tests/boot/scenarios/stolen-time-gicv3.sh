# Two guests, a disk and a wire, on two processors that now and then stand still.
check "both driver domains and two guests" start_cores
check "a disk is read" reads stolen
say longest "$(figure net2 longest)" "a disk answers soon although time is stolen"
check "TCP each way is measured" tcp_kept
say kept "$(cat /tmp/kept)of TCP each way although time is stolen"
check "xl shutdown of both domains" shut_down_both
