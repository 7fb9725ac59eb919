#!/bin/sh
# The first process of a node, in namespaces of its own: processes, mounts, network. When it ends the kernel ends all
# others and takes back mounts and links, so whoever stops a node has one process to kill.
# It gives the node a /run and a /var of its own, sets up the network, and keeps the services running.
# Arguments: the state folder, the node's name. It writes a line once it stands.
set -eu
state=$1 name=$2
node=/run/devcluster

echo started
exec > /dev/null

mount --make-rshared /
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p "$node" /run/lock /run/containerd
# Where the kubelet's cAdvisor looks for it; without it no metric of a container would say whose it is.
ln -s "$node/containerd.sock" /run/containerd/containerd.sock
mount --bind "$state" "$node"
mount --bind "$node/var" /var

echo "$name" > /proc/sys/kernel/hostname
ip link set lo up
sh -eu "$node/network.sh"

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
