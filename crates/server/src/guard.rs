//! The loopback rule: where everything is open because only this machine can reach it, no page
//! on the web may use a visitor's browser to get in. `Host` stops rebound names, `Origin`
//! stops foreign pages. Whatever passes has one `Host` header from then on, and it says what the client
//! asked for.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::body::Body;
use http::{HeaderValue, Request, StatusCode, Version, header};

use crate::{Client, Problem, Settings};

/// The request as it goes on, if it may.
pub(crate) fn admit(
    mut request: Request<Body>,
    settings: &Settings,
) -> Result<Request<Body>, Problem> {
    let host = check(&request, settings)?;
    let said = request.headers().get(header::HOST);
    let other = host.filter(|host| said.is_none_or(|said| said.as_bytes() != host.as_bytes()));
    if let Some(host) = other.and_then(|host| HeaderValue::from_str(host).ok()) {
        request.headers_mut().insert(header::HOST, host);
    }
    Ok(request)
}

/// Answers the host that the client asked for.
fn check<'a, B>(request: &'a Request<B>, settings: &Settings) -> Result<Option<&'a str>, Problem> {
    check_form(request)?;
    let text = |name| request.headers().get(name).map(|value| value.to_str().unwrap_or("?"));
    // A target in absolute form outranks the header (RFC 9112, 3.2.2); HTTP/2 has no other.
    let host = request.uri().authority().map(http::uri::Authority::as_str).or(text(header::HOST));
    let forwarded = Client::of(request.extensions()).and_then(|client| client.host.as_deref());
    let asked_for = forwarded.or(host);
    if settings.loopback_only {
        // Both: a rebound page can add the header of a proxy, but not change its own host.
        [host, forwarded].into_iter().flatten().try_for_each(|host| check_host(host, settings))?;
        text(header::ORIGIN).map_or(Ok(()), |origin| check_origin(origin, settings))?;
    } else if let Some(origin) = text(header::ORIGIN).filter(|_| !request.method().is_safe()) {
        check_writer(origin, asked_for, settings)?;
    }
    Ok(asked_for)
}

/// What holds wherever the server listens: a request says once whom it is for.
fn check_form<B>(request: &Request<B>) -> Result<(), Problem> {
    let count = |name| request.headers().get_all(name).iter().count();
    if count(header::HOST) > 1 || count(header::ORIGIN) > 1 {
        return Err(Problem::bad_request("there is more than one Host or Origin header: send one"));
    }
    let authority = request.uri().authority().map(http::uri::Authority::as_str);
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let differ = authority.zip(host).is_some_and(|(one, other)| one != other);
    if request.version() == Version::HTTP_2 && differ {
        let detail = "the Host header and :authority differ: send one of them";
        return Err(Problem::bad_request(detail));
    }
    // Before HTTP/1.1 there was no Host header; no browser leaves it out.
    if count(header::HOST) == 0 && request.version() == Version::HTTP_11 {
        return Err(Problem::bad_request("the Host header is missing"));
    }
    Ok(())
}

fn check_host(host: &str, settings: &Settings) -> Result<(), Problem> {
    let name = without_port(host);
    if is_loopback(name) || is_allowed_name(name, settings) {
        return Ok(());
    }
    Err(forbidden(format!(
        "this server serves its own machine, and {host:?} is no loopback name: to serve it under that name, start it with --allow-host {name}"
    )))
}

/// Where everyone may write, pages of other sites still may not do it by their visitors' browsers:
/// a plain `POST` needs no preflight.
fn check_writer(origin: &str, host: Option<&str>, settings: &Settings) -> Result<(), Problem> {
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    let own = host.is_some_and(|host| is_own(origin, host));
    let allowed = authority.is_some_and(|page| is_allowed_name(without_port(page), settings));
    if own || allowed || is_configured(origin, settings) {
        return Ok(());
    }
    Err(foreign_page(origin))
}

/// Whether a page of this origin is one of this host's own: a default port may be said or not.
#[must_use]
pub fn is_own(origin: &str, host: &str) -> bool {
    let Some((scheme, page)) = origin.split_once("://") else { return false };
    let default = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    let bare = |authority: &'_ str| -> String {
        authority.strip_suffix(default).unwrap_or(authority).to_ascii_lowercase()
    };
    bare(page) == bare(host)
}

fn check_origin(origin: &str, settings: &Settings) -> Result<(), Problem> {
    let host = origin.split_once("://").map(|(_, host)| without_port(host));
    let own = host.is_some_and(|host| is_loopback(host) || is_allowed_name(host, settings));
    if own || is_configured(origin, settings) {
        return Ok(());
    }
    Err(foreign_page(origin))
}

fn is_configured(origin: &str, settings: &Settings) -> bool {
    settings.cors_origins.iter().any(|allowed| allowed == "*" || allowed == origin)
}

fn is_allowed_name(host: &str, settings: &Settings) -> bool {
    settings.allowed_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host))
}

fn foreign_page(origin: &str) -> Problem {
    let how = if origin == "null" {
        "it has no origin that could be allowed".to_owned()
    } else {
        format!("to allow them, start it with --cors-origin {origin}")
    };
    forbidden(format!("pages of {origin} may not use this server: {how}"))
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
    const SUFFIX: &str = ".localhost";
    let end = name.len().checked_sub(SUFFIX.len()).and_then(|at| name.get(at..));
    name.eq_ignore_ascii_case("localhost")
        || end.is_some_and(|end| end.eq_ignore_ascii_case(SUFFIX))
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
    fn foreign_pages_do_not_write_where_everyone_may() {
        let settings = Settings {
            loopback_only: false,
            cors_origins: vec!["https://app.example".into()],
            ..Settings::default()
        };
        let allowed = |method: &str, origin: &str| {
            let request = Request::builder().method(method).header(header::HOST, "10.0.0.7:8080");
            check(&request.header(header::ORIGIN, origin).body(()).unwrap(), &settings).is_ok()
        };
        for origin in ["http://10.0.0.7:8080", "https://app.example"] {
            assert!(allowed("POST", origin) && allowed("DELETE", origin), "{origin}");
        }
        for origin in ["https://evil.example", "null", "http://10.0.0.7", "http://localhost:8080"] {
            assert!(!allowed("POST", origin) && !allowed("DELETE", origin), "{origin}");
            assert!(allowed("GET", origin), "CORS decides what may be read");
        }
    }

    #[test]
    fn a_default_port_is_said_or_not() {
        assert!(is_own("https://wall.test", "wall.test:443") && is_own("https://A.test", "a.test"));
        assert!(is_own("http://wall.test", "wall.test:80"));
        for (origin, host) in [
            ("https://a.test", "a.test:80"),
            ("https://a.test", "b.test"),
            ("null", "null"),
            ("", ""),
        ] {
            assert!(!is_own(origin, host), "{origin} {host}");
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
