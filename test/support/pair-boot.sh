#!/bin/sh
# PID 1's child of one host of a test pair: makes the machine look like that host, then runs its daemon.
# Called inside new mount, PID, UTS and IPC namespaces: PAIR_HOST PAIR_TREE PAIR_DAEMON are set.
set -e
mount --make-rprivate /
mount -t proc proc /proc
# heartbeat's stop-failure path reboots: here it must not reach the machine.
if [ -e /proc/sysrq-trigger ]; then mount --bind /dev/null /proc/sysrq-trigger; fi
hostname "$PAIR_HOST"
mount --bind "$PAIR_TREE/ha.d" /etc/ha.d
mount --bind "$PAIR_TREE/init.d" /etc/init.d
mkdir -p "$PAIR_TREE/log" "$PAIR_TREE/lib"
mount --bind "$PAIR_TREE/log" /var/log
mount --bind "$PAIR_TREE/lib" /var/lib/heartbeat
chown -R hacluster:haclient "$PAIR_TREE/lib"
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/heartbeat/dopd /run/heartbeat/ccm /run/heartbeat/crm /run/resource-agents /run/lock
chown -R hacluster:haclient /run/heartbeat
mkdir -p "$PAIR_TREE/batonlib" /var/lib/baton 2>/dev/null || true
ip link set lo up
mkdir -p /var/lib/heartbeat/cores 2>/dev/null || true

# Runs the real one until it has ended for good: when it restarts itself (after a healed split) it goes
# on as a daemon with another process id. Signals that init passes on go to whichever it is.
heartbeat_until_end() {
  trap 'kill -TERM $(cat /run/heartbeat.pid)' TERM
  trap 'kill -HUP $(cat /run/heartbeat.pid)' HUP
  /usr/libexec/heartbeat/heartbeat -f &
  first=$!
  while kill -0 $first 2>/dev/null; do wait $first || true; done
  silent=0
  while [ $silent -lt 25 ]; do
    # shellcheck disable=SC2046 # the file has blanks before the number
    if kill -0 $(cat /run/heartbeat.pid 2>/dev/null || echo 999999) 2>/dev/null; then
      silent=0
    else
      # Ended, or between two processes: its last words say which.
      last=$(grep -oE 'shutdown complete|restart exec' /var/log/ha-log | tail -n 1)
      [ "$last" = "restart exec" ] || break
      silent=$((silent + 1))
    fi
    sleep 0.2 &
    wait $! || true
  done
}

echo ready >"$PAIR_TREE/ready"
case $PAIR_DAEMON in
  heartbeat) heartbeat_until_end ;;
  *) exec sh -c "$PAIR_DAEMON" ;;
esac
