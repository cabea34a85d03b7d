#!/bin/sh
# Plays Android's dumpsys: battery, power, thermalservice and power rails, in the words of AOSP.
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
  "android.hardware.power.stats.IPowerStats/default delta")
    # Rails that take 1.5 W and 0.25 W all the time: since the start, and since the dump before.
    read -r now rest < /proc/uptime
    before=$(cat "$var/rails_read" 2>/dev/null || echo "$now")
    printf %s "$now" > "$var/rails_read"
    echo "============= PowerStats HAL 2.0 energy meter =============="
    echo "Elapsed time: 1000 ms"
    echo "                           Channel    Cumulative Energy (      Delta   )"
    for rail in "[S2M_VDD_CPUCL2]:CPU(BIG) 1500" "[S1M_VDD_MIF]:MIF 250" "[PPVAR_VSYS_PWR_DISP]:Display 900"; do
      echo "$rail $now $before" | awk '{ printf "%34s   %14.2f mWs (%14.2f)\n", $1, $2 * $3, $2 * ($3 - $4) }'
    done
    echo "========== End of PowerStats HAL 2.0 energy meter =========="
    ;;
  *) echo "Can't find service: $1" >&2; exit 1 ;;
esac
