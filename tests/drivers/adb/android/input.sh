#!/bin/sh
# Plays Android's input: the keys that switch the screen off and on.
echo "input $*" >> "$ANDROID_ROOT/var/calls"
case "$2" in
  223) printf Asleep > "$ANDROID_ROOT/var/wakefulness" ;;
  224) printf Awake > "$ANDROID_ROOT/var/wakefulness" ;;
esac
