//! Nodes that share a log in NATS, and what tests ask of them.

use crate::{Follower, NatsCluster, NatsSetup, NatsVersion, Response, Server, Setup, get, request};

pub fn one_server(version: NatsVersion) -> NatsCluster {
    NatsCluster::start(version, 1, &NatsSetup::default())
}

pub fn node(nats: &NatsCluster) -> Server {
    Setup::default().store(&nats.url("main")).arg("--heartbeat").arg("200ms").start()
}

pub fn send(node: &Server, method: &str, target: &str, headers: &[&str], body: &str) -> Response {
    request(node.addr, method, target, headers, body.as_bytes())
}

pub fn try_publish(node: &Server, topic: &str, data: &str) -> Response {
    send(node, "POST", &format!("/topics/{topic}"), &[], data)
}

pub fn publish(node: &Server, topic: &str, data: &str) -> String {
    let answer = try_publish(node, topic, data);
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["id"].as_str().unwrap().to_owned()
}

pub fn is_ready(node: &Server) -> bool {
    get(node.addr, "/readyz", &[]).status == 200
}

/// A follower from now on, which is there.
pub fn live(node: &Server, target: &str) -> Follower {
    let follower = Follower::start(node.addr, target, &[]);
    follower.wait("it is live", |seen| !seen.events.is_empty());
    follower
}

pub fn epoch(id: &str) -> &str {
    id.split_once('-').unwrap().0
}

pub fn position(id: &str) -> u64 {
    id.split_once('-').unwrap().1.parse().unwrap()
}
