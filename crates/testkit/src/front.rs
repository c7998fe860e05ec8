//! A real proxy in front of a server, by the recipe that users are given. Only addresses, names and files
//! differ from what stands there; beside its port with TLS it has one without, for tests that write bytes.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::{Certificate, nats::free_ports, until};

/// Which proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrontKind {
    Nginx,
    Caddy,
    Haproxy,
    /// Passes bytes on, with the PROXY protocol; the server speaks TLS itself.
    HaproxyTcp,
    Apache,
}

impl FrontKind {
    pub const ALL: [Self; 5] =
        [Self::Nginx, Self::Caddy, Self::Haproxy, Self::HaproxyTcp, Self::Apache];

    /// Those that understand HTTP.
    pub const HTTP: [Self; 4] = [Self::Nginx, Self::Caddy, Self::Haproxy, Self::Apache];

    fn recipe(self) -> &'static str {
        match self {
            Self::Nginx => include_str!("../../../examples/proxies/nginx.conf"),
            Self::Caddy => include_str!("../../../examples/proxies/Caddyfile"),
            Self::Haproxy => include_str!("../../../examples/proxies/haproxy.cfg"),
            Self::HaproxyTcp => include_str!("../../../examples/proxies/haproxy-tcp.cfg"),
            Self::Apache => include_str!("../../../examples/proxies/apache.conf"),
        }
    }
}

/// Ends when dropped.
#[derive(Debug)]
pub struct Front {
    kind: FrontKind,
    child: Option<Child>,
    /// Without TLS; of [`FrontKind::HaproxyTcp`], with it.
    pub addr: SocketAddr,
    /// With TLS.
    pub tls: SocketAddr,
    /// What it shows.
    pub certificate: Certificate,
    temp: TempDir,
}

impl Front {
    /// In front of a server, which may be there or not.
    #[must_use]
    pub fn start(kind: FrontKind, server: SocketAddr) -> Self {
        Self::start_with(kind, server, str::to_owned)
    }

    /// With a recipe that somebody has changed.
    #[must_use]
    pub fn start_with(
        kind: FrontKind,
        server: SocketAddr,
        change: impl FnOnce(&str) -> String,
    ) -> Self {
        let (temp, certificate) = (tempfile::tempdir().unwrap(), Certificate::new());
        // Proxies that give up their rights read it as somebody else.
        fs::set_permissions(temp.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let ports = free_ports(2);
        let (addr, tls) = match kind {
            FrontKind::HaproxyTcp => (ports[0], ports[0]),
            _ => (ports[0], ports[1]),
        };
        let mut front = Self { kind, child: None, addr, tls, certificate, temp };
        let recipe = change(&front.adapted(server));
        fs::write(front.file("site"), recipe).unwrap();
        front.prepare();
        front.restart();
        front
    }

    /// Kills it, as a crash does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have children of its own: they are of its group.
            let group = format!("-{}", child.id());
            let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
            let _ = child.wait();
        }
    }

    /// Starts it again on the same ports.
    pub fn restart(&mut self) {
        self.kill();
        self.child = Some(self.command().spawn().unwrap());
        for addr in [self.addr, self.tls] {
            until(&format!("{:?} listens", self.kind), || TcpStream::connect(addr).is_ok());
        }
    }

    fn file(&self, name: &str) -> String {
        self.temp.path().join(name).display().to_string()
    }

    fn adapted(&self, server: SocketAddr) -> String {
        let (chain, key) = (path(&self.certificate.file()), path(&self.certificate.key()));
        let (addr, tls, recipe) = (self.addr, self.tls, self.kind.recipe());
        let recipe = recipe
            .replace("127.0.0.1:8080", &server.to_string())
            // Few machines allow so many open files without being asked.
            .replace("maxconn 20000", "maxconn 2000")
            .replace("/etc/ssl/wall.example.org/fullchain.pem", &chain)
            .replace("/etc/ssl/wall.example.org/key.pem", &key);
        match self.kind {
            FrontKind::Nginx => recipe
                .replace(
                    "listen 443 ssl http2;",
                    &format!("listen {tls} ssl http2; listen {addr};"),
                )
                .replace("server_name wall.example.org;", ""),
            FrontKind::Caddy => {
                let site = "wall.example.org {\n";
                let tls = format!("https://localhost:{} {{\n\ttls {chain} {key}\n", tls.port());
                let plain = format!("http://:{} {{\n", addr.port());
                let (with_tls, without) =
                    (recipe.replace(site, &tls), recipe.replace(site, &plain));
                format!(
                    "{{\n\tadmin off\n\tauto_https off\n\tdefault_bind 127.0.0.1\n}}\n{with_tls}\n{without}"
                )
            }
            FrontKind::Haproxy => recipe
                .replace("bind :443 ssl", &format!("bind {addr}\n    bind {tls} ssl"))
                .replace("/etc/haproxy/wall.example.org.pem", &self.file("both.pem")),
            FrontKind::HaproxyTcp => recipe
                .replace("bind :443", &format!("bind {addr}"))
                .replace("127.0.0.1:8443", &server.to_string()),
            FrontKind::Apache => {
                let with_tls = recipe.replace("*:443", &tls.to_string());
                let without = recipe
                    .replace("*:443", &addr.to_string())
                    .replace("SSLEngine on", "SSLEngine off");
                format!("Listen {tls}\nListen {addr}\n{with_tls}\n{without}")
            }
        }
    }

    /// What is around the recipe on a machine.
    fn prepare(&self) {
        let folder = self.temp.path().display();
        match self.kind {
            FrontKind::Nginx => {
                let around = format!(
                    "daemon off; master_process off; user root; pid {folder}/pid; error_log {folder}/error;\n\
                     events {{ worker_connections 4000; }}\n\
                     http {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n\
                     fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n\
                     include {folder}/site; }}\n"
                );
                fs::write(self.file("main"), around).unwrap();
            }
            FrontKind::Haproxy => {
                let both = [self.certificate.file(), self.certificate.key()];
                let both: String =
                    both.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
                fs::write(self.file("both.pem"), both).unwrap();
            }
            FrontKind::Apache => {
                let modules = [
                    "mpm_event",
                    "authz_core",
                    "socache_shmcb",
                    "ssl",
                    "http2",
                    "proxy",
                    "proxy_http",
                    "headers",
                    "env",
                    "reqtimeout",
                ];
                let loads: String = modules
                    .iter()
                    .map(|name| {
                        format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n")
                    })
                    .collect();
                let around = format!(
                    "ServerRoot {folder}\nDefaultRuntimeDir {folder}\nPidFile {folder}/pid\nServerName localhost\n{loads}\
                     User www-data\nGroup www-data\nErrorLog {folder}/error\nThreadsPerChild 64\nMaxRequestWorkers 256\n\
                     <Location />\nRequire all granted\n</Location>\nInclude {folder}/site\n"
                );
                fs::write(self.file("main"), around).unwrap();
            }
            FrontKind::Caddy | FrontKind::HaproxyTcp => {}
        }
    }

    fn command(&self) -> Command {
        use std::os::unix::process::CommandExt as _;
        let (site, main) = (self.file("site"), self.file("main"));
        let words: &[&str] = match self.kind {
            FrontKind::Nginx => &["nginx", "-c", &main],
            FrontKind::Caddy => &["caddy", "run", "--adapter", "caddyfile", "--config", &site],
            FrontKind::Haproxy | FrontKind::HaproxyTcp => &["haproxy", "-db", "-f", &site],
            FrontKind::Apache => &["apache2", "-X", "-f", &main],
        };
        let mut command = Command::new(words[0]);
        let shows = std::env::var_os("EVENTWALL_TEST_LOG").is_some();
        let out = || if shows { Stdio::inherit() } else { Stdio::null() };
        command.args(&words[1..]).stdin(Stdio::null()).stdout(out()).stderr(out());
        command.env("HOME", self.temp.path()).env("XDG_DATA_HOME", self.temp.path());
        command.env("XDG_CONFIG_HOME", self.temp.path()).process_group(0);
        command
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.kill();
    }
}

fn path(file: &Path) -> String {
    file.display().to_string()
}
