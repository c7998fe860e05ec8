//! What every request passes before the router: who sends it, whether its target fits, and whether its
//! client has room; and what every response gets after it.

use std::{
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use axum::{
    Router,
    body::{Body, HttpBody},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, Version, header};
use http_body::{Frame, SizeHint};
use tokio::time::Instant;
use tower::ServiceExt as _;

use super::{
    accept::Served,
    deadline::Full,
    detach::Detachable,
    open::Speaks,
    subscribed::{On, Subscribed},
};
use crate::{App, Client, Problem, metrics::TurnedAway, quota::Place, unavailable::Refused};

/// Answers the requests of one connection.
pub(super) struct Answering {
    router: Router,
    app: Arc<App>,
    peer: IpAddr,
    tls: bool,
    speaks: Speaks,
    full: Full,
    refused: Option<TurnedAway>,
    subscribed: Arc<Subscribed>,
    asked: AtomicBool,
    /// Its peer is a trusted proxy: of its requests each counts.
    of_proxy: bool,
    /// Requests whose answer is not begun.
    handling: AtomicUsize,
}

/// Requests at once on one connection that are not streams; HTTP/1.1 has one.
pub(super) const OTHER_REQUESTS: usize = 28;
/// Headers of a request, as hyper has it for HTTP/1.1.
const MAX_HEADERS: usize = 100;

impl Answering {
    pub(super) fn new(
        served: &Served,
        peer: IpAddr,
        (tls, speaks, full): (bool, Speaks, Full),
        refused: Option<TurnedAway>,
    ) -> Self {
        let (router, app) = (served.router.clone(), served.app.clone());
        let of_proxy = app.settings().trust.trusts(peer);
        let (subscribed, asked) = (Arc::default(), AtomicBool::new(false));
        let handling = AtomicUsize::new(0);
        Self {
            router,
            app,
            peer,
            tls,
            speaks,
            full,
            refused,
            subscribed,
            asked,
            of_proxy,
            handling,
        }
    }

    pub(super) fn app(&self) -> &App {
        &self.app
    }

    /// Whether all its requests are refused.
    pub(super) fn is_refused(&self) -> bool {
        self.refused.is_some()
    }

    /// Whether there was a request.
    pub(super) fn was_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    pub(super) async fn answer(&self, request: Request<Body>) -> Response<Body> {
        self.asked.store(true, Ordering::Relaxed);
        let settings = self.app.settings();
        let client = settings.trust.client(self.peer, self.tls, request.headers());
        let (method, uri, version) =
            (request.method().clone(), request.uri().clone(), request.version());
        let (began, addr) = (Instant::now(), client.addr);
        let place = self
            .of_proxy
            .then(|| self.app.places.take(client.origin(), settings.limits.address_connections));
        let full = matches!(place, Some(None)).then_some(TurnedAway::Address);
        let handling = Handling::one_of(&self.handling);
        let mut response = match self.refuse_at_once(&request) {
            Some(problem) => problem,
            None => {
                let detaches = self.speaks == Speaks::Http1 && !self.full.is_full();
                let (subscribed, of_proxy) = (self.subscribed.clone(), self.of_proxy);
                let on = On { subscribed, of_proxy, detaches };
                self.route(request, (client, on), self.refused.or(full)).await
            }
        };
        drop(handling);
        let (status, took) = (response.status().as_u16(), began.elapsed());
        tracing::debug!(client = %addr, %method, %uri, status, ?took, "answered");
        self.app.metrics.answered(&response);
        self.finish(&mut response, version);
        if let Some(detachable) = response.extensions().get::<Detachable>() {
            detachable.hold(place.flatten());
            return response;
        }
        match place.flatten() {
            Some(place) => response.map(|body| Body::new(Placed { body, _place: place })),
            None => response,
        }
    }

    async fn route(
        &self,
        mut request: Request<Body>,
        (client, on): (Client, On),
        refused: Option<TurnedAway>,
    ) -> Response {
        request.extensions_mut().insert(client);
        request.extensions_mut().insert(on);
        if let Some(why) = refused {
            request.extensions_mut().insert(Refused(why));
        }
        self.router.clone().oneshot(request).await.unwrap_or_else(|never| match never {})
    }

    fn refuse_at_once(&self, request: &Request<Body>) -> Option<Response> {
        if self.speaks == Speaks::PlainHttp {
            return Some(speak_tls(request));
        }
        if self.handling.load(Ordering::Relaxed) > OTHER_REQUESTS {
            let detail = format!(
                "more than {OTHER_REQUESTS} requests of your connection wait for an answer: send fewer at once"
            );
            let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).retry_after(1);
            return Some(problem.into_response());
        }
        if request.headers().len() > MAX_HEADERS {
            let detail = format!("the request has more than {MAX_HEADERS} headers");
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            return Some(Problem::new(status, detail).into_response());
        }
        let (length, max) = (target_length(request), self.app.settings().limits.url_bytes);
        (length > max).then(|| {
            let detail = format!(
                "the URL has {length} bytes, and {max} are allowed (the server's `max_url`): shorten it"
            );
            Problem::new(StatusCode::URI_TOO_LONG, detail).into_response()
        })
    }

    fn finish(&self, response: &mut Response, version: Version) {
        let headers = response.headers_mut();
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if version >= Version::HTTP_2 {
            headers.remove(header::CONNECTION);
            return;
        }
        // Before HTTP/1.1 there were no chunks: what has no length ends with its connection.
        let endless = version < Version::HTTP_11 && response.body().size_hint().exact().is_none();
        if endless {
            // Else hyper would promise to keep the connection if it was asked to.
            *response.version_mut() = version;
        }
        if endless || self.is_refused() || self.app.drain.is_draining() {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
    }
}

fn target_length(request: &Request<Body>) -> usize {
    request.uri().path_and_query().map_or(0, |target| target.as_str().len())
}

/// Whoever speaks HTTP where TLS is due is sent there.
fn speak_tls(request: &Request<Body>) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.filter(|host| host.parse::<http::uri::Authority>().is_ok());
    let path = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let close = HeaderValue::from_static("close");
    let problem = Problem::bad_request("this port speaks TLS: use https:// instead of http://");
    let mut response = problem.header(header::CONNECTION, close).into_response();
    let location =
        host.and_then(|host| HeaderValue::try_from(format!("https://{host}{path}")).ok());
    if let Some(location) =
        location.filter(|_| matches!(*request.method(), Method::GET | Method::HEAD))
    {
        *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
        *response.body_mut() = Body::empty();
        response.headers_mut().remove(header::CONTENT_TYPE);
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// A request whose answer is not begun.
struct Handling<'a>(&'a AtomicUsize);

impl<'a> Handling<'a> {
    fn one_of(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Handling<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A body whose client's place is taken until it ends.
struct Placed {
    body: Body,
    _place: Place,
}

impl HttpBody for Placed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
