#!/usr/bin/env bash
# Three machines with sshd, ZooKeeper and Kafka, in network namespaces: machines.sh FOLDER JARS
# Prints `ready`; ends with its standard input, or when it is killed (run it in `unshare -mnpf --mount-proc`).
set -euo pipefail
folder="$1" jars="$2"
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir -p /run/sshd /run/netns /run/machine
# Whatever this user's shells begin with is no part of the machines, whose sessions would each do it.
[ ! -e ~/.bashrc ] || mount --bind /dev/null ~/.bashrc
ip link set lo up
ip link add machines type bridge
ip addr add 198.18.9.1/24 dev machines
ip link set machines up
for name in key host of-agent; do ssh-keygen -q -t ed25519 -N '' -f "$folder/$name"; done
# The third machine is reached by way of another one, and with a key that only an agent has.
export SSH_AUTH_SOCK="$folder/agent"
ssh-agent -a "$SSH_AUTH_SOCK" >/dev/null
ssh-add -q "$folder/of-agent"
rm "$folder/of-agent"
mkdir /run/jars
mount --bind "$jars" /run/jars
# Whoever logs in on the second machine is an ordinary user, who may by sudo what the test writes into sudoers.d.
user=root login=
if command -v sudo >/dev/null; then
    user=tester login='user = "tester", sudo = true, '
    for file in passwd shadow group; do cp -p "/etc/$file" "/run/$file"; done
    echo 'tester:x:2001:2001::/run/machine:/bin/sh' >> /run/passwd
    echo 'tester:*:20000:0:99999:7:::' >> /run/shadow
    echo 'tester:x:2001:' >> /run/group
    printf 'Defaults env_reset, use_pty, !fqdn\nroot ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n' > /run/sudoers
    chmod 440 /run/sudoers
    for file in passwd shadow group sudoers; do mount --bind "/run/$file" "/etc/$file"; done
    mkdir "$folder/sudoers.d"
    mount --bind "$folder/sudoers.d" /etc/sudoers.d
fi
# in_machine NUMBER COMMAND...: in its network, with its files in /run/machine.
in_machine() {
    local number="$1"
    shift
    ip netns exec "m$number" sh -c 'mount --rbind "$1" /run/machine; shift; exec "$@"' sh "$folder/m$number" "$@"
}
# service NUMBER SERVICE: starts one, as whoever logs in there.
service() {
    local as=()
    [ "$1" != 2 ] || as=(setpriv --reuid "$user" --regid "$user" --init-groups)
    in_machine "$1" "${as[@]}" /run/machine/service "$2" start
}
# network NUMBER: a namespace with an address.
network() {
    local i="$1"
    ip netns add "m$i"
    ip link add "v$i" type veth peer name eth0 netns "m$i"
    ip link set "v$i" master machines up
    ip -n "m$i" addr add "198.18.9.1$i/24" dev eth0
    ip -n "m$i" link set eth0 up
    ip -n "m$i" link set lo up
    mkdir "$folder/m$i"
}
# listen NUMBER KEY: its sshd takes logins with this key.
listen() {
    cp "$folder/$2.pub" "/run/authorized-$1"
    in_machine "$1" /usr/sbin/sshd -f /dev/null -p 22 -h "$folder/host" -o PidFile=none -o StrictModes=no \
        -o PermitRootLogin=yes -o AuthorizedKeysFile="/run/authorized-$1" -o MaxSessions=10
    printf '198.18.9.1%s %s\n' "$1" "$(cut -d' ' -f1,2 "$folder/host.pub")" >> "$folder/known"
}
for i in 1 2 3; do
    network "$i"
    mkdir "$folder/m$i/zookeeper" "$folder/m$i/kafka"
    files="$folder/m$i" home=/run/machine
    echo "$i" > "$files/zookeeper/myid"
    {
        printf 'tickTime=2000\ninitLimit=10\nsyncLimit=5\nadmin.enableServer=false\n4lw.commands.whitelist=*\n'
        printf 'dataDir=%s/zookeeper\nclientPort=2181\n' "$home"
        for n in 1 2 3; do printf 'server.%s=198.18.9.1%s:2888:3888\n' "$n" "$n"; done
    } > "$files/zookeeper.properties"
    {
        printf 'broker.id=%s\nlog.dirs=%s/kafka\n' "$i" "$home"
        printf 'listeners=PLAINTEXT://198.18.9.1%s:9092\nadvertised.listeners=PLAINTEXT://198.18.9.1%s:9092\n' "$i" "$i"
        printf 'zookeeper.connect=198.18.9.11:2181,198.18.9.12:2181,198.18.9.13:2181\n'
        printf 'zookeeper.session.timeout.ms=6000\noffsets.topic.replication.factor=3\ndefault.replication.factor=3\n'
        printf 'min.insync.replicas=2\ngroup.initial.rebalance.delay.ms=0\noffsets.topic.num.partitions=10\n'
    } > "$files/server.properties"
    cat > "$files/log4j.properties" <<'L'
log4j.rootLogger=INFO, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=[%d] %p %m (%c)%n
L
    # service SERVICE start|status: what stands for systemd.
    cat > "$files/service" <<S
#!/bin/sh
pid=\$(cat "$home/\$1.pid" 2>/dev/null)
# One that has ended, and waits for its parent to take notice, does not run.
[ -n "\$pid" ] && grep -qs '^State:[[:space:]]*[^Z]' "/proc/\$pid/status" || pid=
case "\$2" in
status) echo "\$pid" ;;
start)
    [ -z "\$pid" ] || exit 0
    case "\$1" in
    kafka) main=kafka.Kafka config="$home/server.properties" heap=512m ;;
    *) main=org.apache.zookeeper.server.quorum.QuorumPeerMain config="$home/zookeeper.properties" heap=128m ;;
    esac
    # Where a JVM says how it crashed, on a full disk.
    cd "$home"
    setsid java -XX:-UsePerfData -Xmx\$heap -XX:TieredStopAtLevel=1 -Dlog4j.configuration="file:$home/log4j.properties" -cp "/run/jars/*" \
        \$main "\$config" </dev/null >>"$home/\$1.log" 2>&1 &
    echo \$! > "$home/\$1.pid"
    ;;
esac
S
    chmod +x "$files/service"
    # A disk that can be filled.
    [ "$i" != 3 ] || mount -t tmpfs -o size=400m tmpfs "$files/kafka"
    [ "$i" != 2 ] || chown -R "$user:" "$files"
    listen "$i" "$([ "$i" = 3 ] && echo of-agent || echo key)"
    service "$i" zookeeper
done
network 4
listen 4 of-agent
await_broker() {
    for _ in $(seq 600); do (exec 3<>"/dev/tcp/198.18.9.1$1/9092") 2>/dev/null && break; sleep 0.1; done
}
# The first one becomes the controller.
service 1 kafka
await_broker 1
for i in 2 3; do service "$i" kafka; done
for i in 2 3; do await_broker "$i"; done
for _ in $(seq 300); do
    registered=$( (exec 3<>/dev/tcp/198.18.9.11/2181; echo dump >&3; cat <&3) 2>/dev/null | grep -c /brokers/ids/) || true
    [ "$registered" = 3 ] && sleep 4 && break
    sleep 0.2
done
{
    cat <<T
backend = "ssh"
name = "machines"
description = "three machines of a test"
allow = ["signal", "restart", "network", "metadata"]
[ssh]
user = "root"
known-hosts = "$folder/known"
T
    for role in broker:9092:kafka:server zookeeper:2181:zookeeper:zookeeper; do
        IFS=: read -r section port service config <<< "$role"
        cat <<T
[$section]
port = $port
driver = { commands = { start = "/run/machine/service $service start", status = "/run/machine/service $service status" } }
data = "/run/machine/$service"
config = "/run/machine/$config.properties"
log = "/run/machine/$service.log"
T
    done
    logins=("key = \"$folder/key\"" "${login}key = \"$folder/key\"" 'jump = "root@198.18.9.14"')
    for i in 1 2 3; do
        printf '[[node]]\nname = "m%s"\naddress = "198.18.9.1%s"\ninterface = "eth0"\nbroker = %s\nzookeeper = %s\n' "$i" "$i" "$i" "$i"
        printf 'ssh = { %s }\n' "${logins[i - 1]}"
    done
    printf '[[topic]]\nname = "user-events"\nassignment = [[1, 2, 3], [2, 3, 1], [3, 1, 2]]\n[topic.config]\n"min.insync.replicas" = "2"\n'
} > "$folder/inventory.toml"
echo ready
shift 2
"$@"
