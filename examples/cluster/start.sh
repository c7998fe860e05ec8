#!/bin/sh
# Three nats-servers and three Eventwall nodes on this machine, until Ctrl-C. Their data is in DATA.
#
#   examples/cluster/start.sh
#
# Needs nats-server (Debian: apt-get install nats-server) and eventwall on the PATH, or named by
# NATS_SERVER and EVENTWALL. Nodes listen from PORT on (8080, 8081, 8082), NATS from NATS_PORT on.
set -eu

EVENTWALL=${EVENTWALL:-eventwall}
NATS_SERVER=${NATS_SERVER:-nats-server}
PORT=${PORT:-8080}
NATS_PORT=${NATS_PORT:-4222}
ROUTE_PORT=${ROUTE_PORT:-6222}
DATA=${DATA:-$(mktemp -d)}

for program in "$EVENTWALL" "$NATS_SERVER"; do
    command -v "$program" >/dev/null || {
        echo "start.sh: there is no $program: install it, or name it by EVENTWALL or NATS_SERVER" >&2
        exit 1
    }
done

pids=
stop() {
    trap - EXIT INT TERM
    # The nodes first: they take leave of their subscribers.
    for pid in $pids; do kill "$pid" 2>/dev/null || true; done
    wait
}
trap stop EXIT
trap 'exit 0' INT TERM

routes= hosts=
for n in 0 1 2; do
    routes="${routes:+$routes, }nats://127.0.0.1:$((ROUTE_PORT + n))"
    hosts="${hosts:+$hosts,}127.0.0.1:$((NATS_PORT + n))"
done
for n in 0 1 2; do
    mkdir -p "$DATA/nats-$n"
    cat >"$DATA/nats-$n.conf" <<CONFIG
server_name: nats-$n
listen: 127.0.0.1:$((NATS_PORT + n))
jetstream { store_dir: "$DATA/nats-$n" }
cluster { name: wall, listen: 127.0.0.1:$((ROUTE_PORT + n)), routes: [$routes] }
CONFIG
    "$NATS_SERVER" -c "$DATA/nats-$n.conf" -l "$DATA/nats-$n.log" &
    nats=$!
    pids="$nats $pids"
    sleep 0.3
    kill -0 "$nats" 2>/dev/null || {
        echo "start.sh: nats-server $n did not start: is port $((NATS_PORT + n)) taken? NATS_PORT names others" >&2
        tail -n 3 "$DATA/nats-$n.log" >&2
        exit 1
    }
done

for n in 0 1 2; do
    # Until the servers have found each other, a node says what is missing, and is started again.
    tries=0
    until
        "$EVENTWALL" --listen "127.0.0.1:$((PORT + n))" \
            --store "nats://$hosts/wall?replicas=3" >"$DATA/node-$n.out" 2>"$DATA/node-$n.log" &
        pid=$!
        while kill -0 "$pid" 2>/dev/null && ! grep -q "stops it" "$DATA/node-$n.out"; do
            sleep 0.2
        done
        kill -0 "$pid" 2>/dev/null
    do
        code=0
        wait "$pid" || code=$?
        tries=$((tries + 1))
        # 6: NATS is not ready yet. Anything else does not get better by waiting.
        if [ "$code" -ne 6 ] || [ "$tries" -ge 30 ]; then
            cat "$DATA/node-$n.log" >&2
            exit 1
        fi
        sleep 1
    done
    pids="$pid $pids"
    echo "node $n: http://127.0.0.1:$((PORT + n))/"
done
echo "data and logs: $DATA"
echo "Ctrl-C stops them."
wait
