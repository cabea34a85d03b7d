#!/bin/sh
# Plays Android's settings: only how often the phone started.
[ "$1 $2 $3" = "get global boot_count" ] && cat "$ANDROID_ROOT/var/boot_count" || echo null
echo
