//! The loopback rule: where everything is open because only this machine can reach it, no page
//! on the web may use a visitor's browser to get in. `Host` stops rebound names, `Origin`
//! stops foreign pages.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use axum::{
    body::Body,
    extract::State,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{Request, StatusCode, Version, header};

use crate::{App, Problem, Settings};

pub(crate) async fn guard(
    State(app): State<Arc<App>>,
    request: Request<Body>,
    next: Next,
) -> Response {
    let settings = app.settings();
    if let Err(problem) = check(&request, &settings) {
        return problem.into_response();
    }
    next.run(request).await
}

fn check<B>(request: &Request<B>, settings: &Settings) -> Result<(), Problem> {
    check_form(request)?;
    if !settings.loopback_only {
        return Ok(());
    }
    let text = |name| request.headers().get(name).map(|value| value.to_str().unwrap_or("?"));
    // A target in absolute form outranks the header (RFC 9112, 3.2.2).
    let host = request.uri().authority().map(http::uri::Authority::as_str).or(text(header::HOST));
    host.map_or(Ok(()), |host| check_host(host, settings))?;
    text(header::ORIGIN).map_or(Ok(()), |origin| check_origin(origin, settings))
}

/// What holds wherever the server listens: a request says once whom it is for.
fn check_form<B>(request: &Request<B>) -> Result<(), Problem> {
    let count = |name| request.headers().get_all(name).iter().count();
    if count(header::HOST) > 1 || count(header::ORIGIN) > 1 {
        return Err(Problem::bad_request("there is more than one Host or Origin header: send one"));
    }
    // Before HTTP/1.1 there was no Host header; no browser leaves it out.
    if count(header::HOST) == 0 && request.version() == Version::HTTP_11 {
        return Err(Problem::bad_request("the Host header is missing"));
    }
    Ok(())
}

fn check_host(host: &str, settings: &Settings) -> Result<(), Problem> {
    let name = without_port(host);
    if is_loopback(name)
        || settings.allowed_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(name))
    {
        return Ok(());
    }
    Err(forbidden(format!(
        "this server serves its own machine, and {host:?} is no loopback name: to serve it under that name, start it with --allow-host {name}"
    )))
}

fn check_origin(origin: &str, settings: &Settings) -> Result<(), Problem> {
    let host = origin.split_once("://").map(|(_, host)| without_port(host));
    let configured =
        settings.cors_origins.iter().any(|allowed| allowed == "*" || allowed == origin);
    let own_name =
        |host| settings.allowed_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host));
    if configured || host.is_some_and(|host| is_loopback(host) || own_name(host)) {
        return Ok(());
    }
    Err(forbidden(format!(
        "pages of {origin} may not use this server: to allow them, start it with --cors-origin {origin}"
    )))
}

fn forbidden(detail: String) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, detail)
}

fn without_port(host: &str) -> &str {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((v6, rest)) => (v6, rest.strip_prefix(':').or(rest.is_empty().then_some(""))),
        None => host.split_once(':').map_or((host, Some("")), |(name, port)| (name, Some(port))),
    };
    // Whatever hides behind the port is no part of a host.
    let plain = port.is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()));
    if plain { name } else { host }
}

fn is_loopback(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
        || name.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(host: &str, origin: Option<&str>) -> bool {
        let settings = Settings {
            loopback_only: true,
            allowed_hosts: vec!["wall.test".into()],
            cors_origins: vec!["https://app.example".into()],
            ..Settings::default()
        };
        let mut request = Request::builder().header(header::HOST, host);
        if let Some(origin) = origin {
            request = request.header(header::ORIGIN, origin);
        }
        check(&request.body(()).unwrap(), &settings).is_ok()
    }

    #[test]
    fn hosts() {
        for good in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:1",
            "127.9.9.9",
            "[::1]:8080",
            "a.localhost",
            "wall.test:80",
        ] {
            assert!(allowed(good, None), "{good}");
        }
        for bad in [
            "example.com",
            "127.0.0.1.example.com",
            "localhost.example.com",
            "10.0.0.1",
            "",
            "[::2]",
            "localhost:1@evil.com",
            "[::1].evil.com",
            "[::1]x:1",
            "0.0.0.0",
        ] {
            assert!(!allowed(bad, None), "{bad}");
        }
    }

    #[test]
    fn origins() {
        for good in [
            "http://localhost:3000",
            "http://127.0.0.1:8080",
            "http://[::1]:1",
            "https://app.example",
            "http://wall.test",
        ] {
            assert!(allowed("localhost", Some(good)), "{good}");
        }
        for bad in [
            "null",
            "https://evil.example",
            "https://app.example.evil",
            "http://localhost.evil.example",
            "localhost",
            "file://",
        ] {
            assert!(!allowed("localhost", Some(bad)), "{bad}");
        }
    }

    #[test]
    fn a_missing_host_is_no_browser() {
        let old = Request::builder().version(Version::HTTP_10).body(()).unwrap();
        let new = Request::builder().body(()).unwrap();
        assert!(
            check(&old, &Settings::default()).is_ok() && check(&new, &Settings::default()).is_err()
        );
    }
}
