//! A real HAProxy in front of some servers: it passes TCP on, and asks `/readyz` who wants it.

use std::{
    fmt::Write as _,
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::{nats::free_ports, until};

/// Ends when dropped.
#[derive(Debug)]
pub struct Haproxy {
    child: Child,
    pub addr: SocketAddr,
    _temp: TempDir,
}

impl Haproxy {
    /// In front of these.
    #[must_use]
    pub fn before(servers: &[SocketAddr]) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let addr = free_ports(1)[0];
        let mut config = format!(
            "global\n maxconn 4000\n\
             defaults\n mode tcp\n timeout connect 1s\n timeout client 60s\n timeout server 60s\n \
             option redispatch\n retries 3\n\
             frontend hub\n bind {addr}\n default_backend nodes\n\
             backend nodes\n balance leastconn\n option httpchk GET /readyz\n \
             http-check send hdr Host localhost\n"
        );
        for (n, server) in servers.iter().enumerate() {
            let _ = writeln!(config, " server n{n} {server} check inter 200ms fall 1 rise 1");
        }
        let file = temp.path().join("haproxy.cfg");
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        until("HAProxy listens", || TcpStream::connect(addr).is_ok());
        Self { child, addr, _temp: temp }
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
