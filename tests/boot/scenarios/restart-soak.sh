# A thousand failures, after which nothing more is held than after one.
check "what is held after one failure" block_once
check "driver domain ready" start_failing 1000
check "fio verify through 1000 failures of every kind" verify_through 1000 soak 3000
check "nothing is left behind" nothing_left
check "what is held after 1000 failures" same_holdings block
check "xl shutdown of the driver domain" shut_down
