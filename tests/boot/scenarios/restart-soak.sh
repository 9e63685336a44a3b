# A thousand failures.
check "driver domain ready" start_failing 1000
check "fio verify through 1000 failures of every kind" verify_through 1000 soak 3000
check "nothing is left behind" nothing_left
check "xl shutdown of the driver domain" shut_down
