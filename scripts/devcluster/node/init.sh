#!/bin/sh
# The first process of a node, in namespaces of its own: processes, mounts, network. When it ends the kernel ends all
# others and takes back mounts and links, so whoever stops a node has one process to kill.
# It gives the node a /run and a /var of its own, waits for its link, and keeps the services running.
# Arguments: the state folder, the node's name, its address, the address of the host's end. It writes a line once it stands.
set -eu
state=$1 name=$2 address=$3 gateway=$4
node=/run/devcluster

echo started
exec > /dev/null

mount --make-rshared /
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p "$node" /run/lock
mount --bind "$state" "$node"
mount --bind "$node/var" /var

echo "$name" > /proc/sys/kernel/hostname
ip link set lo up
until ip link show eth0 > /dev/null 2>&1; do sleep 0.02; done
ip addr add "$address/24" dev eth0
ip link set eth0 up
ip route add default via "$gateway"

keep_running() {
    while :; do
        "$1" >> "$node/log/$(basename "$1").log" 2>&1 || true
        sleep 1
    done
}
for service in "$node"/services/*; do
    keep_running "$service" &
done
wait
