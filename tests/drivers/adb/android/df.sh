#!/bin/sh
# Plays toybox's df -k: how much is free.
echo "Filesystem     1K-blocks     Used Available Use% Mounted on"
echo "/dev/block/dm-42 112000000 60000000 $(cat "$ANDROID_ROOT/var/free_kib") 54% /data"
