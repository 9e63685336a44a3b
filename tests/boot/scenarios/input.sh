# Keyboards, pointers and a touch screen, for two guests of which one has the focus.
check "driver domain and two guests" start_input
check "keys arrive as they were sent" keys
check "positions, buttons and the wheel" positions
check "fingers" fingers
check "the focus moves by xenstore-write, and motions arrive" motions
check "the focus moves by a chord, and what is pressed is released" chord
check "restart in place under open readers" restart_input
check "a guest that does not read stalls nobody" no_reader
check "counters in XenStore" input_counters
check "a guest goes, and the next one has the focus" next_one
check "xl shutdown of the input domain" shut_down_input
