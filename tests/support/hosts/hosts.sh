#!/bin/bash
# Two emulated hosts on one machine: network namespaces joined by a veth pair (root, iproute2).
#   hosts.sh up            make them          hosts.sh down          remove them
#   hosts.sh on HOST CMD   run CMD on one, in place of ssh for mpirun: -launcher-exec hosts.sh
# HOST is one of the two addresses below.
set -eu
a=10.77.0.1 b=10.77.0.2

name() {
    case $1 in
        "$a") echo asyncred-a ;;
        "$b") echo asyncred-b ;;
        *) echo "no host $1" >&2; exit 1 ;;
    esac
}

down() {
    ip netns del asyncred-a 2>/dev/null || true
    ip netns del asyncred-b 2>/dev/null || true
}

up() {
    down
    ip netns add asyncred-a
    ip netns add asyncred-b
    ip link add asyncred-va netns asyncred-a type veth peer name asyncred-vb netns asyncred-b
    ip -n asyncred-a addr add "$a/24" dev asyncred-va
    ip -n asyncred-b addr add "$b/24" dev asyncred-vb
    for host in a b; do
        ip -n "asyncred-$host" link set lo up
        ip -n "asyncred-$host" link set "asyncred-v$host" up
    done
    for host in a b; do # the kernel takes up to a second to see the carrier
        for _ in $(seq 50); do
            ip -n "asyncred-$host" link show "asyncred-v$host" | grep -q 'state UP' && break
            sleep 0.1
        done
    done
}

on() { # a host has its own name, /dev/shm and System V memory
    host=$(name "$1")
    shift
    exec ip netns exec "$host" unshare --uts --ipc --mount \
        sh -c "hostname $host; mount -t tmpfs none /dev/shm; $*"
}

case ${1:-} in
    up) up ;;
    down) down ;;
    on) shift; on "$@" ;;
    *) # called as ssh by mpirun: [options] HOST COMMAND
        while [[ ${1:-} == -* ]]; do shift; done
        on "$@" ;;
esac
