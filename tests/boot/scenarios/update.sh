# A driver domain is restarted, and updated, under a guest that uses it.
check "both driver domains ready" start_both
check "restart in place" restart
check "update to another image" update
check "what cannot be taken is refused" refuse
check "updates again" update_again
check "xl shutdown of the driver domain" shut_down
