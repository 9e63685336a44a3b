# Checks of the input driver domain: what QEMU's `input-send-event` does, and what guests' evdev says of it (job `events`).

# Larger than any screen, so that positions arrive as the devices tell them.
VKB=backend=input,backend-type=linux,width=32767,height=32767
VKB_ABSOLUTE=$VKB,unique-id=one,feature-abs-pointer=1,feature-multi-touch=1
VKB_ABSOLUTE=$VKB_ABSOLUTE,multi-touch-width=32767,multi-touch-height=32767,multi-touch-num-contacts=4

# act EVENT...: the machine's user does something, all at once.
act() {
    act_events=
    for act_event; do
        act_events=$act_events${act_events:+,}$act_event
    done
    say qmp "{\"execute\":\"input-send-event\",\"arguments\":{\"events\":[$act_events]}}"
}

# key QCODE DOWN
key() {
    echo "{\"type\":\"key\",\"data\":{\"down\":$2,\"key\":{\"type\":\"qcode\",\"data\":\"$1\"}}}"
}

# button NAME DOWN
button() {
    echo "{\"type\":\"btn\",\"data\":{\"down\":$2,\"button\":\"$1\"}}"
}

# moved rel|abs AXIS VALUE
moved() {
    echo "{\"type\":\"$1\",\"data\":{\"axis\":\"$2\",\"value\":$3}}"
}

# finger begin|update|end|data SLOT ID AXIS VALUE
finger() {
    echo "{\"type\":\"mtt\",\"data\":{\"type\":\"$1\",\"slot\":$2,\"tracking-id\":$3,\"axis\":\"$4\",\"value\":$5}}"
}

# hears GUEST EVENT...: within ten seconds.
hears() {
    hearer=$1
    shift
    for heard; do
        wait_for 10 told "$hearer" "event $heard"
    done
}

# deaf GUEST EVENT: it has not heard that.
deaf() {
    ! told "$1" "event $2"
}

focus_is() {
    [ "$(xenstore-read "/local/domain/$(xl domid input)/data/focus")" = "$(xl domid "$1")/0" ]
}

# focus GUEST: Dom0 moves it, and waits until that is so.
focus() {
    xenstore-write "/local/domain/$(xl domid input)/data/focus" "$(xl domid "$1")"
    wait_for 10 focus_is "$1"
}

start_input() {
    xl create /etc/xen/outrigger/input.cfg
    wait_for 20 said input ready
    GUEST_VKB=$VKB_ABSOLUTE guest one events "$SMALL"
    wait_for 60 told one "reads mt"
    GUEST_VKB=$VKB,unique-id=two guest two events "$SMALL"
    wait_for 60 told two "reads ptr"
    for started in one two; do
        wait_for 20 said input "$(xl domid $started)/0: connected"
        wait_for 20 told $started "reads kbd"
    done
    wait_for 20 focus_is one
}

keys() {
    act "$(key a true)"
    hears one "kbd 1 30 1"
    act "$(key a false)" "$(key shift true)" "$(key b true)" "$(key b false)" "$(key shift false)"
    hears one "kbd 1 30 0" "kbd 1 42 1" "kbd 1 48 1" "kbd 1 48 0" "kbd 1 42 0"
    sed -n "s/.*@$TOKEN event kbd 1 //p" "$(log_of one)" | tr -d '\r' | tr '\n' ',' >/tmp/keys
    echo "keys: $(cat /tmp/keys)"
    [ "$(cat /tmp/keys)" = "30 1,30 0,42 1,48 1,48 0,42 0," ]
    deaf two "kbd"
}

positions() {
    act "$(moved abs x 12345)" "$(moved abs y 23456)"
    hears one "ptr 3 0 12345" "ptr 3 1 23456"
    act "$(moved abs x 0)" "$(moved abs y 32767)"
    hears one "ptr 3 0 0" "ptr 3 1 32767"
    act "$(button left true)"
    act "$(button left false)"
    hears one "ptr 1 272 1" "ptr 1 272 0"
    act "$(button wheel-up true)" "$(button wheel-up false)"
    hears one "ptr 2 8 1"
}

fingers() {
    act "$(finger begin 0 7 x 0)" "$(finger data 0 7 x 1000)" "$(finger data 0 7 y 2000)"
    hears one "mt 3 53 1000" "mt 3 54 2000"
    act "$(finger update 0 7 x 0)" "$(finger data 0 7 x 1500)" "$(finger data 0 7 y 2500)"
    hears one "mt 3 53 1500" "mt 3 54 2500"
    act "$(finger end 0 -1 x 0)"
    hears one "mt 3 57 -1"
}

# The other guest has not asked for positions.
motions() {
    focus two
    act "$(moved rel x 5)" "$(moved rel y -7)"
    hears two "ptr 2 0 5" "ptr 2 1 -7"
    act "$(button wheel-down true)" "$(button wheel-down false)"
    hears two "ptr 2 8 -1"
    act "$(key c true)"
    hears two "kbd 1 46 1"
    deaf one "kbd 1 46"
}

# `c` is still pressed. The first guest is the first in the order of their ids.
chord() {
    act "$(key ctrl true)" "$(key ctrl_r true)"
    act "$(key 1 true)"
    hears two "kbd 1 46 0" "kbd 1 29 1" "kbd 1 29 0"
    wait_for 10 focus_is one
    act "$(key 1 false)" "$(key ctrl_r false)" "$(key ctrl false)" "$(key c false)"
    act "$(key d true)" "$(key d false)"
    hears one "kbd 1 32 1" "kbd 1 32 0"
    for unheard in "kbd 1 46" "kbd 1 2 " "kbd 1 29"; do
        deaf one "$unheard"
    done
    deaf two "kbd 1 32"
}

# The readers are open since the guests began, and a key is pressed.
restart_input() {
    act "$(key e true)"
    hears one "kbd 1 18 1"
    before=$(xl domid input)
    xl reboot input
    wait_for 20 has_lived 1 input
    [ "$(xl domid input)" = "$before" ]
    # Nobody knows any more that it was pressed.
    hears one "kbd 1 18 0"
    act "$(key f true)" "$(key f false)"
    hears one "kbd 1 33 1" "kbd 1 33 0"
    focus_is one
    xenstore-read "/local/domain/$before/backend/vinput/$(xl domid one)/0/state" | grep 4
    focus two
    act "$(key g true)" "$(key g false)"
    hears two "kbd 1 34 1" "kbd 1 34 0"
}

lost_events() {
    xenstore-read "/local/domain/$(xl domid input)/backend/vinput/$(xl domid one)/0/statistics" | grep "dropped=[1-9]"
}

# One is paused, with a key pressed, and gets more than its ring and what waits for it hold.
no_reader() {
    focus one
    act "$(key h true)"
    hears one "kbd 1 35 1"
    xl pause one
    round=0
    while [ $round -lt 30 ]; do
        round=$((round + 1))
        act "$(key i true)" "$(key i false)" "$(key j true)" "$(key j false)" "$(key k true)" "$(key k false)" \
            "$(key l true)" "$(key l false)" "$(key m true)" "$(key m false)" "$(key n true)" "$(key n false)"
        usleep 20000
    done
    wait_for 20 lost_events
    focus two
    act "$(key o true)" "$(key o false)"
    hears two "kbd 1 24 1" "kbd 1 24 0"
    xl unpause one
    hears one "kbd 1 35 0"
    focus one
    act "$(key p true)" "$(key p false)"
    hears one "kbd 1 25 1" "kbd 1 25 0"
}

input_counters() {
    domain=/local/domain/$(xl domid input)
    wait_for 10 lost_events
    xenstore-read "$domain/backend/vinput/$(xl domid two)/0/statistics" | grep "events=[1-9].* notifications=[1-9].* dropped=0"
    xenstore-write "$domain/data/focus" nonsense
    wait_for 10 said input 'is neither DOMID, DOMID/DEVID nor next'
    xenstore-write "$domain/data/focus" next
    wait_for 10 focus_is two
    xenstore-write "$domain/data/focus" next
    wait_for 10 focus_is one
}

next_one() {
    xl destroy one
    wait_for 10 focus_is two
    act "$(key q true)" "$(key q false)"
    hears two "kbd 1 16 1" "kbd 1 16 0"
    xl destroy two
    wait_for 20 no_devices input
}

shut_down_input() {
    xl shutdown input
    wait_for 20 gone input
}
