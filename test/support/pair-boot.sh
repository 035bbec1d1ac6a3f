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
echo ready >"$PAIR_TREE/ready"
case $PAIR_DAEMON in
  heartbeat) exec /usr/libexec/heartbeat/heartbeat -f ;;
  *) exec sh -c "$PAIR_DAEMON" ;;
esac
