//! The settings of who may do what: what is public, TLS, and which proxies are believed.

use std::path::PathBuf;

use clap::{Args, ValueEnum, builder::BoolishValueParser};
use eventwall_log::Pattern;
use ipnet::IpNet;

use crate::address::{HostName, Origin, network, pattern, wall_pattern};

#[derive(Debug, Args)]
pub(crate) struct AccessArgs {
    /// Walls that everyone may read, and post to as a visitor: `lobby`, or `*` for all; repeatable.
    /// Where any `public_…` is given, nothing else is open to anyone
    #[arg(long, value_name = "WALL", env = "EVENTWALL_PUBLIC_WALLS", value_delimiter = ',', value_parser = wall_pattern)]
    pub(crate) public_walls: Vec<Pattern>,

    /// Topics that everyone may read: names or patterns such as `news/**`; repeatable
    #[arg(long, value_name = "TOPICS", env = "EVENTWALL_PUBLIC_READ", value_delimiter = ',', value_parser = pattern)]
    pub(crate) public_read: Vec<Pattern>,

    /// Topics that everyone may publish to, likewise
    #[arg(long, value_name = "TOPICS", env = "EVENTWALL_PUBLIC_WRITE", value_delimiter = ',', value_parser = pattern)]
    pub(crate) public_write: Vec<Pattern>,

    /// Let everyone who can reach the address read, publish and erase everything
    #[arg(long, env = "EVENTWALL_ALLOW_ANYONE", value_parser = BoolishValueParser::new(), hide_short_help = true)]
    pub(crate) allow_anyone: bool,

    /// Speak TLS with the certificates in this PEM file, the server's own first; read again when it
    /// changes
    #[arg(long, value_name = "FILE", env = "EVENTWALL_TLS_CERT")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// The PEM file with the certificate's private key
    #[arg(long, value_name = "FILE", env = "EVENTWALL_TLS_KEY")]
    pub(crate) tls_key: Option<PathBuf>,

    /// An address or network, such as `10.0.0.0/8`, of proxies whose word is taken for who their
    /// clients are; repeatable
    #[arg(
        long,
        value_name = "ADDR",
        env = "EVENTWALL_TRUSTED_PROXY",
        value_delimiter = ',',
        value_parser = network,
        hide_short_help = true
    )]
    pub(crate) trusted_proxy: Vec<IpNet>,

    /// Where trusted proxies name their clients; the other header is not read, as a proxy may pass on
    /// what anybody wrote there
    #[arg(
        long,
        value_enum,
        env = "EVENTWALL_FORWARDED_HEADER",
        default_value = "x-forwarded",
        hide_short_help = true
    )]
    pub(crate) forwarded_header: ForwardedArg,

    /// Connections of trusted proxies begin with a header of the PROXY protocol, version 1 or 2
    #[arg(long, env = "EVENTWALL_PROXY_PROTOCOL", value_parser = BoolishValueParser::new(), hide_short_help = true)]
    pub(crate) proxy_protocol: bool,

    /// A web origin whose pages may read and publish, such as `https://example.org`; repeatable
    #[arg(
        long,
        value_name = "ORIGIN",
        env = "EVENTWALL_CORS_ORIGIN",
        value_delimiter = ',',
        hide_short_help = true
    )]
    pub(crate) cors_origin: Vec<Origin>,

    /// A further host name under which a loopback server may be reached; repeatable
    #[arg(
        long,
        value_name = "HOST",
        env = "EVENTWALL_ALLOW_HOST",
        value_delimiter = ',',
        hide_short_help = true
    )]
    pub(crate) allow_host: Vec<HostName>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ForwardedArg {
    /// X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host
    XForwarded,
    /// Forwarded (RFC 7239)
    Forwarded,
}
