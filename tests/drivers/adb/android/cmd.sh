#!/bin/sh
# Plays Android's cmd: fixed performance mode, which a phone without the power HAL refuses (var/no_fixed).
echo "cmd $*" >> "$ANDROID_ROOT/var/calls"
if [ "$1 $2" = "power set-fixed-performance-mode-enabled" ]; then
  if [ -e "$ANDROID_ROOT/var/no_fixed" ]; then
    echo "Failed to set FIXED_PERFORMANCE mode" >&2
    exit 255
  fi
  printf %s "$3" > "$ANDROID_ROOT/var/fixed_performance"
fi
