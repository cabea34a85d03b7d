#!/bin/sh
# Plays Android's dumpsys: battery, power and thermalservice, in the words of AOSP.
var="$ANDROID_ROOT/var"
case "$1 $2" in
  "battery unplug") printf true > "$var/updates_stopped" ;;
  "battery reset") printf false > "$var/updates_stopped" ;;
  "battery ")
    echo "Current Battery Service state:"
    [ "$(cat "$var/updates_stopped")" = true ] && echo "  (UPDATES STOPPED -- use 'reset' to restart)"
    echo "  AC powered: false"
    echo "  USB powered: $(cat "$var/usb_powered")"
    echo "  Wireless powered: false"
    echo "  Max charging current: 0"
    echo "  Charge counter: 3270000"
    echo "  status: $(cat "$var/battery_status")"
    echo "  health: 2"
    echo "  present: true"
    echo "  level: $(cat "$var/level")"
    echo "  scale: 100"
    echo "  voltage: 4120"
    echo "  temperature: 274"
    echo "  technology: Li-ion"
    ;;
  "power ")
    echo "POWER MANAGER (dumpsys power)"
    echo "  mWakefulness=$(cat "$var/wakefulness")"
    ;;
  "thermalservice ")
    [ -e "$var/no_thermal" ] && { echo "Can't find service: thermalservice" >&2; exit 1; }
    echo "IsStatusOverride: false"
    echo "ThermalEventListeners:"
    echo "Thermal Status: $(cat "$var/thermal_status")"
    echo "Cached temperatures:"
    printf '\tTemperature{mValue=91.0, mType=0, mName=BIG, mStatus=3}\n'
    echo "HAL Ready: true"
    echo "HAL connection:"
    echo "Current temperatures from HAL:"
    printf '\tTemperature{mValue=%s, mType=0, mName=BIG, mStatus=0}\n' "$(cat "$var/cpu_c")"
    printf '\tTemperature{mValue=31.25, mType=3, mName=VIRTUAL-SKIN, mStatus=0}\n'
    echo "Current cooling devices from HAL:"
    printf '\tCoolingDevice{mValue=0, mType=5, mName=tpu_cooling}\n'
    ;;
  *) echo "Can't find service: $1" >&2; exit 1 ;;
esac
