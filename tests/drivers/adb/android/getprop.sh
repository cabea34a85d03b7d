#!/bin/sh
# Plays Android's getprop: one property, empty where there is none.
cat "$ANDROID_ROOT/var/prop/$1" 2>/dev/null
echo
