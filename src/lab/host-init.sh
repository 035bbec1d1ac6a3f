#!/bin/sh
# Becomes one host of the lab. `tini` is PID 1, this script its child, both inside fresh network, mount,
# PID, IPC and UTS namespaces. It builds a root of its own, tells the lab that it stands, waits until the
# cables are in, then keeps the agent running, as an init system would.
#
# From the environment: LAB_HOST, LAB_TREE (what /etc begins as), LAB_DISK (block device with the host's
# own file system; empty: nothing survives a power loss), LAB_NODES ("path:major:minor ..."),
# LAB_CHECKOUT, LAB_NODE (the pinned Node), LAB_AGENT_COMMAND (empty: no agent on this host).
# File descriptor 3 is the channel to the lab: "ready" goes out, "go" comes in; if the lab dies, so does
# the host, so an interrupted start leaves nothing.
set -eu
umask 022
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

step="make its own mounts private"
trap 'status=$?; [ "$status" = 0 ] || echo "host-init: $LAB_HOST could not $step (status $status)" >&2' EXIT
mount --make-rprivate /

step="read the directories it is given"
# Held open: they may lie below what is hidden soon. 4: checkout, 5: Node, 6: tree.
exec 4<"$LAB_CHECKOUT" 5<"$(dirname "$LAB_NODE")" 6<"$LAB_TREE"

step="build a root"
# Any directory serves as the place: the mount is seen in this namespace only. What the machine has
# mounted below it goes from this namespace first.
root=/mnt
while read -r _ _ _ _ place _; do
  case $place in
    "$root" | "$root"/*) umount -n -l "$(printf '%b' "$place")" 2>/dev/null || true ;;
  esac
done </proc/self/mountinfo
mount -n -t tmpfs -o mode=0755,size=64m,nr_inodes=16k baton-root "$root"
for entry in /* /.[!.]*; do
  name=${entry#/}
  case $name in
    proc | sys | dev | run | tmp | etc | var | root | home | media | mnt | srv | boot | database | lost+found | '*' | '.[!.]*') continue ;;
  esac
  if [ -L "$entry" ]; then
    cp -P "$entry" "$root/$name"
  elif [ -d "$entry" ]; then
    mkdir "$root/$name"
    mount -n --rbind "$entry" "$root/$name"
  fi
done
mkdir -p "$root/proc" "$root/sys" "$root/dev" "$root/run" "$root/tmp" "$root/etc" "$root/var" "$root/home" \
  "$root/media" "$root/mnt" "$root/srv" "$root/database"
mkdir -m 0700 "$root/root"

step="mount its disk"
# What is on the machine's disks can be read here, never written.
while read -r _ _ _ _ place _; do
  case $place in
    "$root"/*) mount -n -o remount,bind,ro "$(printf '%b' "$place")" || echo "host-init: $place stays writable" >&2 ;;
  esac
done </proc/self/mountinfo
if [ -n "$LAB_DISK" ]; then
  mkdir "$root/run/disk"
  mount -n -t ext4 -o noatime "$LAB_DISK" "$root/run/disk"
  mount -n --bind "$root/run/disk/etc" "$root/etc"
  mount -n --bind "$root/run/disk/var" "$root/var"
  umount -n "$root/run/disk"
else
  cp -a /proc/self/fd/6/. "$root/"
fi

step="mount /run, /tmp, /proc and /sys"
mount -n -t tmpfs -o mode=0755,nosuid,size=64m tmpfs "$root/run"
mount -n -t tmpfs -o mode=1777,nosuid,size=1g tmpfs "$root/tmp"
mount -n -t proc -o nosuid,noexec proc "$root/proc"
mount -n -t sysfs -o nosuid,noexec sysfs "$root/sys"
mkdir -p "$root/run/lock" "$root/run/baton-lab/bin"

step="fill /dev"
mount -n -t tmpfs -o mode=0755,nosuid,size=1m tmpfs "$root/dev"
node() { mknod -m "$1" "$root/dev/$2" "$3" "$4" "$5"; }
node 666 null c 1 3
node 666 zero c 1 5
node 666 full c 1 7
node 666 random c 1 8
node 666 urandom c 1 9
node 666 tty c 5 0
mkdir "$root/dev/net" "$root/dev/pts" "$root/dev/shm" "$root/dev/san" "$root/dev/local"
node 666 net/tun c 10 200
node 666 fuse c 10 229
node 660 loop-control c 10 237
mount -n -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts "$root/dev/pts"
mount -n -t tmpfs -o mode=1777,nosuid tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/0 "$root/dev/stdin"
ln -s /proc/self/fd/1 "$root/dev/stdout"
ln -s /proc/self/fd/2 "$root/dev/stderr"
for spec in $LAB_NODES; do
  path=${spec%%:*}
  numbers=${spec#*:}
  node 660 "$path" b "${numbers%:*}" "${numbers#*:}"
done
# A script that asks the kernel for a reset must not reach the machine's.
if [ -e "$root/proc/sysrq-trigger" ]; then mount -n --bind "$root/dev/null" "$root/proc/sysrq-trigger"; fi

step="show the checkout and its Node at their own paths"
show() { # descriptor, path
  [ -e "$root$2" ] && return
  mkdir -p "$root$2"
  mount -n -c --rbind "/proc/self/fd/$1" "$root$2"
  mount -n -o remount,bind,ro "$root$2"
}
show 4 "$LAB_CHECKOUT"
show 5 "$(dirname "$LAB_NODE")"
exec 4<&- 5<&- 6<&-

step="enter its root"
mkdir "$root/run/machine"
cd "$root"
pivot_root . run/machine
cd /
exec </dev/null
umount -n -l /run/machine
rmdir /run/machine

step="take its name"
hostname "$LAB_HOST"
for name in baton cl_status hb_standby hb_takeover drbdadm; do
  cat >"/run/baton-lab/bin/$name" <<SCRIPT
#!/bin/sh
BATON_NAME=$name exec "$LAB_NODE" --disable-warning=ExperimentalWarning "$LAB_CHECKOUT/src/main.ts" "\$@"
SCRIPT
  chmod 755 "/run/baton-lab/bin/$name"
done
export PATH=/run/baton-lab/bin:$PATH HOME=/root LANG=C.UTF-8
install -d -m 0755 -o mysql -g mysql /run/mysqld

step="hear from the lab"
echo ready >&3
read -r word <&3
[ "$word" = go ]
exec 3>&-

step="go on"
if [ -n "$LAB_AGENT_COMMAND" ]; then
  mkdir -p /var/log/baton
  while :; do
    status=0
    sh -c "$LAB_AGENT_COMMAND" >>/var/log/baton/agent.out 2>&1 || status=$?
    echo "host-init: the agent ended with status $status" >>/var/log/baton/agent.out
    # As a unit with Restart=on-failure and RestartSec=100ms: a stop that was asked for, or a refused
    # configuration, is final.
    case $status in
      0 | 2) break ;;
    esac
    sleep 0.1
  done
fi
exec sleep infinity
