# A driver domain that restarts in place, for being asked to and for failing, under guests that notice nothing.
check "driver domain ready" start_failing 60
check "xl reboot is a restart in place" reboot_in_place
check "fio verify through 60 failures of every kind" verify_through 60
check "nothing is left behind" nothing_left
check "xl shutdown of the driver domain" shut_down
check "a crash loop stops, and says why" crash_loop
